"""Tests of the journal in shared memory."""

import pytest

from gateway.audit.journal import LARGEST, Journal
from gateway.errors import DoorwardError

HALF = 4 * LARGEST


def line(number, size=100):
    """A line of exactly `size` bytes."""
    return (b'{"v":1,"seq":%d,' % number).ljust(size - 2, b"x") + b"}"


@pytest.fixture
def journal(tmp_path):
    """A small journal."""
    opened = Journal(tmp_path / "journal", HALF)
    opened.taking = True
    yield opened
    opened.close()


def pending(journal):
    """The bytes that wait to be written."""
    views = journal.pending()
    text = b"".join(views)
    for view in views:
        view.release()
    return text


def test_lines_come_out_in_order(journal):
    """What is pending is what was put, each with a newline."""
    for number in (1, 2, 3):
        journal.put(line(number))
    assert pending(journal) == b"".join(line(number) + b"\n" for number in (1, 2, 3))
    assert list(journal.lines()) == [line(1), line(2), line(3)]


def test_lines_survive_the_journal(tmp_path):
    """A new journal on the same file finds them."""
    first = Journal(tmp_path / "journal", HALF)
    first.put(line(1))
    first.close()
    second = Journal(tmp_path / "journal", HALF)
    assert list(second.lines()) == [line(1)]
    second.clear()
    assert list(second.lines()) == []
    second.close()


def test_a_line_without_its_first_byte_is_none(journal):
    """A kill in the middle of a copy leaves no line, and hides none that came before."""
    journal.put(line(1))
    journal.put(line(2))
    journal._memory[len(line(1)) + 1] = 0
    assert list(journal.lines()) == [line(1)]


def test_a_freed_half_shows_no_old_lines(journal):
    """What is in the log is forgotten, although its bytes are still there."""
    for number in range(20):
        journal.put(line(number))
    journal.written(len(pending(journal)))
    journal.put(line(99, size=50))
    assert list(journal.lines()) == [line(99, size=50)]


def test_the_halves_take_turns(journal):
    """Many times the size of the journal passes through it, in order."""
    out = b""
    expected = b""
    for number in range(3000):
        assert journal.reserve(700)
        journal.put(line(number, 600))
        journal.release(700)
        expected += line(number, 600) + b"\n"
        if number % 7 == 0:
            part = pending(journal)[:1234]
            journal.written(len(part))
            out += part
        while journal.pending() and len(expected) - len(out) > HALF:
            part = pending(journal)
            journal.written(len(part))
            out += part
    assert out + pending(journal) == expected


def test_what_was_promised_always_fits(journal):
    """With no line written to the log, every reserved line can be put, and no more is promised than fits."""
    promised = 0
    while journal.reserve(LARGEST):
        promised += 1
    assert promised >= 4
    for number in range(promised):
        journal.put(line(number, LARGEST - 1))
        journal.release(LARGEST)
    assert len(list(journal.lines())) == promised


def test_a_full_journal_promises_nothing_until_lines_are_written(journal):
    """Whoever asks before every line is told when the journal is full, and when it is not any more."""
    count = 0
    while journal.reserve(LARGEST):
        journal.put(line(count, LARGEST - 1))
        journal.release(LARGEST)
        count += 1
    assert len(list(journal.lines())) == count
    journal.written(len(pending(journal)))
    assert journal.reserve(LARGEST)


def test_room_comes_back_whole(journal):
    """After everything was written and released the journal takes as much as when it was new."""
    fresh = journal._room
    for number in range(500):
        journal.reserve(300)
        journal.put(line(number, 200))
        journal.release(300)
        journal.written(len(pending(journal)))
    assert (journal._room, journal.reserved) == (fresh, 0) or journal._active == 1


def test_a_line_without_room_is_an_error(journal):
    """Without a reservation the journal does not overwrite what is pending."""
    while journal._room > LARGEST:
        journal.put(line(1, 1000))
    journal.put(line(2, journal._room))
    with pytest.raises(OverflowError):
        journal.put(line(3, 1000))


@pytest.mark.usefixtures("journal")
def test_two_cannot_have_it(tmp_path):
    """The journal is locked against other processes, and says so."""
    with pytest.raises(DoorwardError, match="another process"):
        Journal(tmp_path / "journal", HALF)


@pytest.mark.usefixtures("journal")
def test_its_file_is_private_and_has_all_its_blocks(tmp_path):
    """Only its owner reads it, and a full disk cannot strike later."""
    state = (tmp_path / "journal").stat()
    assert state.st_mode & 0o777 == 0o600
    assert state.st_size == 2 * HALF
    assert state.st_blocks * 512 >= 2 * HALF


@pytest.mark.parametrize("size", [1, 7, HALF, 4 * HALF])
def test_a_journal_of_another_size_is_read_and_replaced(tmp_path, size):
    """What it holds can be read; then it gets the size of today."""
    (tmp_path / "other").write_bytes((line(1) + b"\n").ljust(size, b"\0")[:size])
    journal = Journal(tmp_path / "other", HALF)
    assert list(journal.lines()) == ([line(1)] if size > 200 else [])
    journal.clear()
    journal.put(line(2))
    assert list(journal.lines()) == [line(2)]
    assert (tmp_path / "other").stat().st_size == 2 * HALF
    journal.close()


def test_rubbish_is_no_line(tmp_path):
    """A journal full of noise yields nothing that ends the reading of it."""
    (tmp_path / "noise").write_bytes(b"{" * (2 * HALF))
    journal = Journal(tmp_path / "noise", HALF)
    assert list(journal.lines()) == []
    journal.close()
