"""The command `doorward audit replay`: decides by the log whether anything revoked was ever accepted; changes nothing."""

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.audit import segments
from gateway.audit.replay import Judgement, Replay
from gateway.errors import DoorwardError
from gateway.settings.load import load

HELP = "decide whether anything was accepted after it had been revoked"
WITHIN: Final = 10.0
"""Seconds that a revocation may take to other writers: after so many without a heartbeat they accept nothing."""
CUT: Final = 1.0
"""Seconds more for what is open."""


def configure(parser: argparse.ArgumentParser) -> None:
    """All logs of one installation are judged together."""
    parser.add_argument("-c", "--config", type=Path, default=Path("doorward.yaml"), metavar="FILE", help="the configuration")
    parser.add_argument(
        "--log", type=Path, action="append", default=[], metavar="FILE", help="a log of each writer; else the configuration's"
    )
    parser.add_argument(
        "--acknowledged", type=Path, metavar="FILE", help="revocations that were seen acknowledged: kind, id and time a line"
    )
    parser.add_argument(
        "--within", type=float, default=WITHIN, metavar="SECONDS", help=f"how long one may take to other writers ({WITHIN})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge; 1 if something was accepted, or stayed open, that should not have been."""
    logs = arguments.log or [_log_of(arguments.config)]
    for log in logs:
        if not segments.files(log):
            raise DoorwardError(f"{log}: there is no audit log; it begins with the first start of doorward serve")
    try:
        noted = () if arguments.acknowledged is None else _noted(arguments.acknowledged)
        replay = Replay(within=arguments.within, cut_within=arguments.within + CUT)
        found = replay.judge([partial(_records, log) for log in logs], noted)
    except ValueError as error:
        raise DoorwardError(f"a revocation cannot be read: {error}") from None
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        for line in _as_text(found):
            print(line)
    return 1 if found.breaches else 0


def _log_of(config: Path) -> Path:
    loaded = load(config)
    return loaded.resolve(loaded.document.audit.log.path)


def _noted(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise DoorwardError(f"{file}: cannot be read: {error.strerror}") from None
    for line in lines:
        record = orjson.loads(line)
        if not isinstance(record, dict):
            raise ValueError("a line is no object")  # noqa: TRY004 it is what a line that is no JSON raises too
        yield record


def _records(path: Path) -> Iterable[Mapping[str, Any]]:
    for located in segments.all_lines(path):
        try:
            record = orjson.loads(located.line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            yield record


def _as_text(found: Judgement) -> Iterator[str]:
    yield from (str(breach) for breach in found.named)
    if found.breaches:
        yield f"BREACHED: {found.breaches} time(s), by {found.accepted} accepted requests and {found.revocations} revocations"
    else:
        yield f"held: nothing revoked was accepted, by {found.accepted} accepted requests and {found.revocations} revocations"
    yield f"  refused as revoked: {found.refused}; cut while open: {found.cut}"
    yield f"  after a revocation: latest acceptance {found.latest_acceptance:.3f} s, latest end {found.latest_close:.3f} s"
