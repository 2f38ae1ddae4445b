"""Tests of finding and completing an existing log after a kill, and of refusing one that was touched."""

import pytest

from gateway.audit.chain import digest
from gateway.audit.journal import LARGEST
from gateway.audit.verify import Follower
from gateway.errors import DoorwardError
from gateway.model import Outcome


async def written(new_ledger, parts, exchanges=3):
    """A log with some exchanges, ended as a clean stop leaves it."""
    ledger = new_ledger()
    await ledger.start()
    for _ in range(exchanges):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
    await ledger.stop()


async def killed(new_ledger, parts, exchanges=3):
    """A log whose last lines are only in the journal, as a kill leaves it."""
    ledger = new_ledger()
    await ledger.start()
    for _ in range(exchanges):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
    parts.decide(ledger.open("127.0.0.1"))
    ledger._log._pump._task.cancel()
    for task in ledger._tasks:
        task.cancel()
    ledger._log._journal.close()
    ledger._log._segments.close()


async def restart(new_ledger):
    """Start and stop, for the sake of the recovery."""
    ledger = new_ledger()
    try:
        await ledger.start()
    finally:
        await ledger.stop()


def intact(log):
    """Whether verification finds nothing."""
    follower = Follower()
    for line in log.read_bytes().splitlines():
        follower.feed(line, "")
    follower.finish()
    return not follower.findings and not follower.opened and not follower.unclosed.count


async def test_lines_come_back_from_the_journal(new_ledger, log, parts):
    """What a kill kept from the file is there after the restart, and the open exchange is closed as unknown."""
    await killed(new_ledger, parts)
    assert log.read_bytes() == b""
    await restart(new_ledger)
    types = [each["type"] for each in parts.records(log)]
    assert types == ["start", *["request", "response"] * 4, "start", "stop", "checkpoint"]
    unknown, start = parts.records(log)[8:10]
    assert (unknown["ending"], unknown["agent"], unknown["status"]) == ("unknown", parts.principal.agent, None)
    assert (start["unclosed"], start["recovered"], start["set_aside"]) == (1, 8, 0)
    assert intact(log)


@pytest.mark.parametrize("kept", [1, 50, 600, -1])
async def test_a_torn_last_line_is_completed(new_ledger, log, parts, kept):
    """A line that the kill cut in the file is replaced by the whole one from the journal."""
    await killed(new_ledger, parts)
    journal = log.with_name("audit.jsonl.journal").read_bytes()
    first = journal[: journal.index(b"\n")]
    log.write_bytes(first[: kept if kept > 0 else len(first)])
    await restart(new_ledger)
    assert intact(log)
    assert log.read_bytes().startswith(first + b"\n")
    assert not list(log.parent.glob("*.torn-*"))


async def test_a_torn_line_that_nobody_knows_is_set_aside(new_ledger, log, parts):
    """What is no beginning of a journalled line is moved out of the log, not thrown away."""
    await killed(new_ledger, parts)
    await restart(new_ledger)
    size = len(log.read_bytes())
    with log.open("ab") as file:
        file.write(b"half a li")
    await restart(new_ledger)
    (aside,) = log.parent.glob("*.torn-*")
    assert aside.read_bytes() == b"half a li"
    assert log.read_bytes()[size:].startswith(b'{"v":1')
    assert intact(log)


async def test_lines_that_were_written_are_not_written_again(new_ledger, log, parts):
    """A kill between writing a batch and freeing its half repeats nothing."""
    await killed(new_ledger, parts)
    journal = log.with_name("audit.jsonl.journal").read_bytes()
    lines = journal[: journal.index(b"\0")].splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:4]))
    await restart(new_ledger)
    assert intact(log)
    assert [each["seq"] for each in parts.records(log)] == list(range(1, 13))


async def test_a_restart_may_be_killed_itself(new_ledger, log, parts):
    """A journal that was recovered but not cleared is recovered once."""
    await killed(new_ledger, parts)
    journal = log.with_name("audit.jsonl.journal").read_bytes()
    await restart(new_ledger)
    log.with_name("audit.jsonl.journal").write_bytes(journal)
    await restart(new_ledger)
    assert intact(log)


async def test_a_foreign_journal_is_ignored(new_ledger, log, parts):
    """Lines that do not continue the chain are never appended."""
    await written(new_ledger, parts)
    last = parts.records(log)[-1]["seq"]
    forged = b'{"v":1,"seq":%d,"type":"request","prev":"%s"}\n' % (last + 1, b"0" * 64)
    log.with_name("audit.jsonl.journal").write_bytes(forged.ljust(16 << 20, b"\0"))
    await restart(new_ledger)
    assert b"request" not in log.read_bytes().splitlines()[last]
    assert intact(log)


@pytest.mark.parametrize("harm", ["edit", "remove", "swap", "cut", "empty", "delete", "noise"])
async def test_a_log_that_was_touched_is_not_continued(new_ledger, log, parts, harm):
    """The start refuses, changes nothing, and says what to do."""
    await written(new_ledger, parts)
    lines = log.read_bytes().splitlines(keepends=True)
    harmed = {
        "edit": [*lines[:2], lines[2].replace(b"200", b"201"), *lines[3:]],
        "remove": [*lines[:2], *lines[3:]],
        "swap": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "cut": lines[:-3],
        "empty": [],
        "delete": None,
        "noise": [*lines[:2], b"{}\n", *lines[2:]],
    }[harm]
    if harmed is None:
        log.unlink()
    else:
        log.write_bytes(b"".join(harmed))
    with pytest.raises(DoorwardError, match=r"move .* elsewhere") as error:
        await restart(new_ledger)
    assert str(log) in str(error.value)
    assert (log.read_bytes() == b"".join(harmed)) if harmed is not None else not log.exists()


async def test_a_log_moved_away_with_its_companions_begins_anew(new_ledger, log, parts):
    """What the refusal advises works."""
    await written(new_ledger, parts)
    log.write_bytes(b"{}\n")
    for file in log.parent.glob("audit.jsonl*"):
        file.rename(file.with_name("old-" + file.name))
    await restart(new_ledger)
    assert parts.records(log)[0]["seq"] == 1
    assert intact(log)


async def test_a_forged_checkpoint_beside_the_log_is_noticed(new_ledger, log, parts):
    """A checkpoint that the key did not sign stops the start."""
    await written(new_ledger, parts)
    beside = log.with_name("audit.jsonl.checkpoint")
    beside.write_text(beside.read_text().replace("\n8\n", "\n7\n"))
    with pytest.raises(DoorwardError, match="signature is wrong"):
        await restart(new_ledger)


async def test_a_changed_file_before_the_growing_one_is_noticed_at_the_link(new_ledger, log, parts):
    """The first line of the growing file must fit the last line of the file before it."""
    ledger = new_ledger(rotate_bytes=3000)
    await ledger.start()
    for _ in range(6):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
        await ledger._log.flush()
    await ledger.stop()
    before = max(log.parent.glob("audit.jsonl.0*"))
    before.write_bytes(before.read_bytes()[:-3] + b"x}\n")
    with pytest.raises(DoorwardError, match="fit"):
        await restart(new_ledger)


@pytest.mark.parametrize("gone", [False, True])
async def test_rubbish_at_the_end_of_a_full_file_is_noticed(new_ledger, log, parts, gone):
    """Only the growing file can end with a torn line; in a full one it is a finding, and nothing is cut anywhere."""
    await written(new_ledger, parts)
    log.rename(log.with_name("audit.jsonl.000000000001"))
    if not gone:
        await restart(new_ledger)
    with log.with_name("audit.jsonl.000000000001").open("ab") as file:
        file.write(b"rubbish")
    before = log.read_bytes() if log.exists() else b""
    if gone:
        with pytest.raises(DoorwardError, match="no record"):
            await restart(new_ledger)
    else:
        await restart(new_ledger)  # the growing file holds all that has to be read
    assert (log.read_bytes() if log.exists() else b"").startswith(before)


async def test_a_kill_in_the_middle_of_a_rotation_is_survived(new_ledger, log, parts):
    """With the growing file renamed and no new one there yet, the chain goes on in a new file."""
    await written(new_ledger, parts)
    last = log.read_bytes().splitlines()[-1]
    log.rename(log.with_name("audit.jsonl.000000000001"))
    await restart(new_ledger)
    first = log.read_bytes().splitlines()[0]
    assert digest(last).encode() in first


async def test_a_log_that_cannot_be_opened_says_so(new_ledger, log):
    """A directory in the place of the log is an error in one sentence."""
    log.mkdir()
    with pytest.raises(DoorwardError, match="cannot be opened"):
        await restart(new_ledger)


async def test_more_open_exchanges_than_the_journal_holds_are_closed(new_ledger, log, parts):
    """A restart with a small journal writes as it goes, and closes every exchange."""
    ledger = new_ledger()
    await ledger.start()
    for _ in range(500):
        parts.decide(ledger.open("127.0.0.1"))
    await ledger.stop()
    again = new_ledger(half=4 * LARGEST)
    await again.start()
    await again.stop()
    assert intact(log)
    assert sum(each.get("ending") == "unknown" for each in parts.records(log)) == 500
    third = new_ledger()
    await third.start()
    await third.stop()
    assert sum(each.get("ending") == "unknown" for each in parts.records(log)) == 500


async def test_a_start_that_cannot_close_what_was_open_fails(new_ledger, parts):
    """With a full disk and more to close than the journal holds, the start says that the log cannot be written."""

    def full(_descriptor, _lines):
        raise OSError(28, "No space left on device")

    ledger = new_ledger()
    await ledger.start()
    for _ in range(500):
        parts.decide(ledger.open("127.0.0.1"))
    await ledger.stop()
    again = new_ledger(half=4 * LARGEST, write=full)
    with pytest.raises(DoorwardError, match="cannot be written"):
        await again.start()
    await again.stop()
