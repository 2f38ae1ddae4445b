"""Operational logs, one JSON line an event on standard error; knows no secret and is not the audit log."""

import logging
import sys
from typing import Any

import structlog


def configure(*, json: bool, level: int = logging.INFO) -> None:
    """Choose the form of the log for this process: JSON lines for machines, columns for a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(part: str) -> Any:
    """The logger of one part of the program. Values passed to it must never be secrets, tokens or bodies."""
    return structlog.get_logger(part=part)
