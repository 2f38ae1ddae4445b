"""Tests of the files of a log: names, reading while they grow, and appending."""

import os

import pytest

from gateway.audit import segments
from gateway.audit.segments import Segments, all_lines, files, last_line


def line(number):
    """A line as the chain begins them."""
    return b'{"v":1,"seq":%d,"x":"%s"}\n' % (number, b"y" * 50)


def lines(first, last):
    """Several of them, as one view."""
    return memoryview(b"".join(line(number) for number in range(first, last + 1)))


@pytest.fixture
def opened(log):
    """A log of small files."""
    made = Segments(log, rotate=1000, keep=100)
    made.open()
    yield made
    made.close()


def test_files_are_listed_in_the_order_of_the_chain(log):
    """Full files first, by number and not by text; other files beside the log are none of it."""
    for name in (
        "audit.jsonl.000000000002",
        "audit.jsonl.1000000000000",
        "audit.jsonl.journal",
        "audit.jsonl.torn-1",
        "audit.jsonl",
    ):
        (log.parent / name).touch()
    assert [file.name for file in files(log)] == ["audit.jsonl.000000000002", "audit.jsonl.1000000000000", "audit.jsonl"]


def test_a_full_file_gets_the_number_of_its_first_line(log, opened):
    """Lines are never split between files, and all of them are there."""
    for first in range(1, 100, 7):
        assert opened.append(lines(first, first + 6)) == (len(lines(first, first + 6)), None)
    found = list(all_lines(log))
    assert [located.line + b"\n" for located in found] == [line(number) for number in range(1, 106)]
    for file in files(log)[:-1]:
        assert file.read_bytes().startswith(b'{"v":1,"seq":%d,' % int(file.name[-12:]))
        assert file.stat().st_size <= 1000
    opened.sync()


def test_old_files_are_removed(log):
    """Only as many full files stay as were asked for."""
    made = Segments(log, rotate=100, keep=2)
    made.open()
    for number in range(1, 10):
        made.append(lines(number, number))
    made.close()
    assert [file.name[-3:] for file in files(log)] == ["007", "008", "onl"]


def test_a_torn_line_is_completed_before_a_new_file_begins(log):
    """After a short write the rest of the line goes into the same file, however full it is."""
    steps = [30]

    def write(descriptor, chunk):
        if steps:
            return os.write(descriptor, chunk[: steps.pop()])
        raise OSError(28, "No space left on device")

    made = Segments(log, rotate=50, keep=9, write=write)
    made.open()
    text = lines(1, 1)
    written, reason = made.append(text)
    assert (written, reason) == (30, "No space left on device")
    made._write = os.write
    assert made.append(text[written:]) == (len(text) - 30, None)
    assert made.append(lines(2, 2))[1] is None
    made.close()
    assert b"".join(file.read_bytes() for file in files(log)) == bytes(lines(1, 2))
    assert [file.read_bytes().count(b"\n") for file in files(log)] == [1, 1]


def test_a_rotation_that_failed_half_way_goes_on(log, opened, monkeypatch):
    """When the new file cannot be made, nothing is lost, and the next attempt makes it."""
    opened.append(lines(1, 14))
    real = os.open
    monkeypatch.setattr(segments.os, "open", lambda *_arguments: (_ for _ in ()).throw(OSError(24, "Too many open files")))
    assert opened.append(lines(15, 20)) == (0, "Too many open files")
    monkeypatch.setattr(segments.os, "open", real)
    assert opened.append(lines(15, 20))[1] is None
    assert [located.line + b"\n" for located in all_lines(log)] == [line(number) for number in range(1, 21)]


def test_the_last_whole_line_of_a_file(tmp_path):
    """An incomplete line does not count."""
    file = tmp_path / "file"
    for text, last in ((b"", b""), (b"a", b""), (b"a\n", b"a"), (b"a\nb\n", b"b"), (b"a\nb\nc", b"b")):
        file.write_bytes(text)
        assert last_line(file) == last


def test_reading_follows_a_log_that_grows_and_rotates(log, opened):
    """A reader misses nothing and repeats nothing when files are renamed and grow under it."""
    opened.append(lines(1, 10))
    seen = []
    following = 11
    for located in all_lines(log):
        seen.append(located.line + b"\n")
        if following <= 60 and len(seen) % 3 == 0:
            opened.append(lines(following, following + 4))
            following += 5
    assert seen == [line(number) for number in range(1, following)]


def test_a_line_without_end_does_not_fill_the_memory(log, monkeypatch):
    """It is read in pieces, none of which is a whole line."""
    monkeypatch.setattr(segments, "LONGEST_LINE", 100)
    log.write_bytes(b"x" * 250 + b"\n" + line(1))
    found = list(all_lines(log))
    assert [len(located.line) for located in found[:3]] == [100, 100, 50]
    assert [located.whole for located in found[:2]] == [False, False]
    assert found[-1].line + b"\n" == line(1)
