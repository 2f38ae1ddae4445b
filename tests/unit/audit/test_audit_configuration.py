"""The text of a configuration in the log: whole, in parts that fit, or by its digest alone."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.audit.configuration import _BYTES, _LINES, WHOLE, record_configuration
from gateway.audit.ledger import Ledger


async def recorded(new_ledger: Callable[..., Ledger], parts: SimpleNamespace, log: Path, text: str) -> list[dict]:
    """The `config` records that a real ledger keeps of a text."""
    ledger = new_ledger()
    await ledger.start()
    for record in record_configuration(ledger, "a1b2c3", "doorward.yaml", text):
        record()
    await ledger.stop()
    return [record for record in parts.records(log) if record["type"] == "config"]


async def test_a_short_text_is_one_record(new_ledger, parts, log) -> None:
    """Line by line, with the digest that other records name and the file that it was."""
    (record,) = await recorded(new_ledger, parts, log, "version: 1\n\n# a note\ntenant: acme\n")
    assert (record["policy"], record["file"], record["part"], record["parts"]) == ("a1b2c3", "doorward.yaml", 1, 1)
    assert record["text"] == ["version: 1", "", "# a note", "tenant: acme"]


async def test_an_empty_text_is_recorded_too(new_ledger, parts, log) -> None:
    """A record stands there whatever was loaded."""
    (record,) = await recorded(new_ledger, parts, log, "")
    assert record["text"] == []


@pytest.mark.parametrize(("lines", "parted"), [(_LINES, 1), (_LINES + 1, 2), (5 * _LINES, 5)])
async def test_many_lines_are_recorded_in_parts(new_ledger, parts, log, lines: int, parted: int) -> None:
    """Put together in order, the parts are the text."""
    text = "".join(f"key{number}: value\n" for number in range(lines))
    found = await recorded(new_ledger, parts, log, text)
    assert [(record["part"], record["parts"]) for record in found] == [(n, parted) for n in range(1, parted + 1)]
    assert max(len(record["text"]) for record in found) == _LINES
    assert "".join(f"{line}\n" for record in found for line in record["text"]) == text


async def test_long_lines_are_recorded_in_parts(new_ledger, parts, log) -> None:
    """So many characters stand in one record, that it stays within the longest line of the log."""
    text = "".join(f"# {'x' * 900}\n" for _ in range(50))
    found = await recorded(new_ledger, parts, log, text)
    assert len(found) == found[0]["parts"] > 1
    assert all(sum(len(line.encode()) for line in record["text"]) <= _BYTES for record in found)
    assert "".join(f"{line}\n" for record in found for line in record["text"]) == text


async def test_one_line_beyond_all_bounds_is_cut(new_ledger, parts, log) -> None:
    """It is no reason not to start, and what was cut shows."""
    (record,) = await recorded(new_ledger, parts, log, f"# {'x' * 2 * _BYTES}\n")
    assert record["text"][0].endswith("…")


@pytest.mark.parametrize(("size", "whole"), [(WHOLE, True), (WHOLE + 1, False)])
async def test_a_longer_text_is_named_by_its_digest_alone(new_ledger, parts, log, size: int, whole: bool) -> None:
    """The log is not filled by one file; the digest still says which it was."""
    text = ("#" + "x" * 98 + "\n") * (size // 100)
    found = await recorded(new_ledger, parts, log, text + "#" * (size - len(text)))
    assert {record["policy"] for record in found} == {"a1b2c3"}
    if whole:
        assert sum(len(record["text"]) for record in found) == size // 100 + 1
    else:
        ((record),) = found
        assert (record["parts"], record["text"]) == (0, [])


async def test_no_token_stands_in_the_text(new_ledger, parts, log) -> None:
    """Somebody may have pasted one into a comment."""
    (record,) = await recorded(new_ledger, parts, log, "# dwt_eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJl\n")
    assert "eyJ" not in str(record["text"])


async def test_text_of_any_script_fits(new_ledger, parts, log):
    """Characters of three bytes and quotation marks count for what they take in a record."""
    found = await recorded(new_ledger, parts, log, ("# " + "設" * 150 + "\n") * 150 + ('# """' * 60 + "\n") * 150)
    assert len(found) > 3
    assert found[0]["text"][0] == "# " + "設" * 150
