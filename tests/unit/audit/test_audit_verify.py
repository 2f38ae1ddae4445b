"""Tests of following a chain: every kind of tampering, on lines made by a real chain."""

import orjson
import pytest

from gateway.audit.chain import Chain
from gateway.audit.checkpoint import Checkpoint, Signer
from gateway.audit.verify import Follower

SIGNER = Signer("acme/audit", bytes(32))


def exchange(number, kind="request"):
    """The members of one record of an exchange."""
    return f'"type":"{kind}","request_id":"r{number}","method":"GET",'


def chained(*members):
    """Lines of a chain."""
    chain = Chain()
    lines = []
    for each in members:
        lines.append(chain.line("2026-11-23T18:00:00.000000Z", each))
        chain.advance(lines[-1])
    return lines


def sealed():
    """Five exchanges and a checkpoint, and that checkpoint's note."""
    members = [exchange(number, kind) for number in range(5) for kind in ("request", "response")]
    chain = Chain()
    for each in members:
        chain.advance(chain.line("2026-11-23T18:00:00.000000Z", each))
    note = SIGNER.sign(chain.seq, chain.prev)
    seal = f'"type":"checkpoint","size":{chain.seq},"oldest_open":null,"note":{orjson.dumps(note).decode()},'
    return chained(*members, seal, exchange(9), exchange(9, "response")), note


def follow(lines, **options):
    """Follow lines as those of one file."""
    follower = Follower(**options)
    for number, line in enumerate(lines, 1):
        follower.feed(line, f"log:{number}")
    follower.finish()
    return follower


def test_an_untouched_log_has_no_findings():
    """All records count, checkpoints are verified, and nothing is open."""
    lines, note = sealed()
    follower = follow(lines, key=SIGNER.verifier, attested=[Checkpoint.read(note, "kept")])
    assert follower.findings == []
    assert (follower.lines, follower.first_seq, follower.seq) == (13, 1, 13)
    assert (follower.signed, follower.signed_to, follower.proven_to) == (1, 10, 10)
    assert not follower.opened
    assert not follower.strays.count


def test_any_changed_byte_before_the_last_line_is_found():
    """Whatever byte of whatever line but the last is changed, verification finds it at that line or the next."""
    lines, _ = sealed()
    for at, line in enumerate(lines[:-1]):
        for position in range(0, len(line), 7):
            changed = bytes([line[position] ^ 1])
            findings = follow([*lines[:at], line[:position] + changed + line[position + 1 :], *lines[at + 1 :]]).findings
            assert findings, (at, position)
            assert findings[0].place in (f"log:{at + 1}", f"log:{at + 2}")


def test_a_changed_last_line_is_found_by_a_checkpoint_of_it():
    """Without a checkpoint the last line stands alone; with one from elsewhere it does not."""
    lines = chained(exchange(1), exchange(1, "response"))
    chain = Chain()
    for line in lines:
        chain.advance(line)
    kept = Checkpoint.read(SIGNER.sign(chain.seq, chain.prev), "kept")
    changed = [lines[0], lines[1].replace(b"r1", b"r2")]
    assert follow(changed).findings == []
    assert "rewritten" in follow(changed, attested=[kept]).findings[0].reason


@pytest.mark.parametrize("at", range(1, 12))
def test_a_removed_line_is_found(at):
    """The number of the missing record is named."""
    lines, _ = sealed()
    (finding,) = follow(lines[:at] + lines[at + 1 :]).findings
    assert f"record {at + 1} is missing" in finding.reason
    assert finding.place == f"log:{at + 1}"


def test_several_removed_lines_are_one_finding():
    """A removed stretch is named by its ends."""
    lines, _ = sealed()
    (finding,) = follow(lines[:2] + lines[6:]).findings
    assert "records 3 to 6 are missing" in finding.reason


def test_an_inserted_line_is_found():
    """A line that fits nowhere, a copy, and a forged one with the next number."""
    lines, _ = sealed()
    forged = Chain(3, "0" * 64).line("2026-11-23T18:00:00.000000Z", exchange(7))
    for extra in (b"noise", b"{}", b"[]", b"", lines[2], forged, b'{"v":1,"seq":true}', b'{"v":2}'):
        findings = follow([*lines[:3], extra, *lines[3:]]).findings
        assert findings, extra
        assert findings[0].place in ("log:4", "log:5")


def test_reordered_lines_are_found():
    """Two lines that changed places fit no more."""
    lines, _ = sealed()
    assert follow([*lines[:3], lines[4], lines[3], *lines[5:]]).findings


def test_a_cut_is_found_up_to_the_checkpoint_kept_elsewhere():
    """The chain cannot show what is missing at its end; a kept checkpoint does."""
    lines, note = sealed()
    kept = Checkpoint.read(note, "kept.note")
    assert follow(lines[:8]).findings == []
    (finding,) = follow(lines[:8], attested=[kept]).findings
    assert finding.reason == "the log ends at record 8, but kept.note attests 10 records: the end was cut off"
    assert follow(lines[:10], attested=[kept]).findings == []
    assert follow([], attested=[kept]).findings


def test_a_log_rewritten_as_a_whole_is_found_by_the_checkpoint_kept_elsewhere():
    """A new chain that is right in itself is not the one that was attested."""
    lines, note = sealed()
    other = chained(*[exchange(number) for number in range(20)])
    assert follow(other).findings == []
    assert follow(other, attested=[Checkpoint.read(note, "kept")]).findings
    assert lines != other


def test_checkpoints_of_another_key_are_found():
    """Within the log, too, every checkpoint must bear the signature of the key."""
    lines, _ = sealed()
    (finding,) = follow(lines, key=Signer("acme/audit", bytes([1] * 32)).verifier).findings
    assert finding.place == "log:11"
    assert "no signature" in finding.reason


def test_a_checkpoint_in_the_wrong_place_is_found():
    """A signed note of another record, written into a chain, does not pass for one of this record."""
    note = orjson.dumps(SIGNER.sign(5, "ab" * 32)).decode()
    lines = chained(exchange(1), f'"type":"checkpoint","size":1,"note":{note},')
    assert "not one of the record before it" in follow(lines, key=SIGNER.verifier).findings[0].reason
    assert follow(chained(exchange(1), '"type":"checkpoint","note":7,')).findings


def test_a_beginning_that_is_none_is_found():
    """Only the first record of all names zeros as the one before it."""
    assert follow([Chain(0, "1" * 64).line("t", exchange(1))]).findings
    assert follow([Chain(7).line("t", exchange(1))]).findings


def test_a_log_whose_old_files_are_gone_is_followed_from_its_first_line():
    """Removed old files are no finding; an older checkpoint says nothing about what is left."""
    lines, note = sealed()
    follower = follow(lines[10:], attested=[Checkpoint.read(note, "kept")])
    assert (follower.findings, follower.first_seq, follower.proven_to) == ([], 11, 0)


def test_missing_and_repeated_closing_records_are_no_tampering():
    """They are counted as open or odd."""
    lines = chained(
        exchange(1), exchange(1, "response"), exchange(1, "response"), exchange(2), '"type":"start",', exchange(3), exchange(3)
    )  # fmt: skip
    follower = follow(lines)
    assert follower.findings == []
    assert (follower.strays.count, follower.strays.named) == (2, ["r1", "r3"])
    assert (follower.unclosed.count, list(follower.opened)) == (1, ["r3"])


def test_findings_and_open_exchanges_are_bounded(monkeypatch):
    """A log of nothing but rubbish or of nothing but requests needs little memory."""
    monkeypatch.setattr("gateway.audit.verify._MOST_OPEN", 50)
    assert len(follow([b"noise"] * 5000).findings) == 100
    follower = follow(chained(*[exchange(number) for number in range(500)]))
    assert len(follower.opened) == 50
    assert (follower.unclosed.count, len(follower.unclosed.named)) == (450, 20)
