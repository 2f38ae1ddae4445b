"""Writes a configuration's text into the log, so that a digest in any record leads to it; knows nothing of what it says."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import orjson

from gateway.audit.ledger import LONGEST_STRING, Ledger

WHOLE: Final = 1 << 20
"""A longer text, in characters, is named by its digest alone."""
_LINES: Final = 100
_BYTES: Final = 16_000


def record_configuration(ledger: Ledger, policy: str, file: str, text: str) -> Iterator[Callable[[], None]]:
    """What writes one `config` record, for each part of the text. A call raises `Refusal("audit_unavailable")`.

    The text is the file as it stands, where secrets are only named and `${NAME}` is not replaced.
    """
    parts = list(_parts(text)) if len(text) <= WHOLE else []
    for number, lines in enumerate(parts or [[]], start=1):
        facts = {"policy": policy, "file": file, "part": number, "parts": len(parts), "text": lines}
        yield partial(ledger.note, "config", facts)


def _parts(text: str) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for line in text.removesuffix("\n").split("\n") if text else ():
        encoded = min(len(orjson.dumps(line)), LONGEST_STRING) + 1
        if part and (len(part) == _LINES or size + encoded > _BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += encoded
    yield part
