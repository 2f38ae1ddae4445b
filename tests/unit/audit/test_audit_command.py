"""Tests of `doorward audit`, on real logs."""

import argparse
import json

import pytest

from gateway.audit.build import build
from gateway.cli import audit
from gateway.cli.main import main
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.model import Outcome
from gateway.settings.load import load


@pytest.fixture
async def made(new_ledger, log, parts):
    """A log with a few exchanges, and its first checkpoint kept elsewhere."""
    ledger = new_ledger(rotate_bytes=3000)
    await ledger.start()
    for number in range(6):
        record = parts.decide(ledger.open("127.0.0.1"))
        if number != 3:
            record.close(Outcome("complete", 200))
        await ledger._log.flush()
        if number == 4:
            ledger._seal()
            await ledger._log.flush()
            kept = log.parent / "kept"
            kept.mkdir()
            (kept / "note").write_text(log.with_name("audit.jsonl.checkpoint").read_text())
    await ledger.stop()
    return log


@pytest.fixture
def run(capsys):
    """Type a command; returns its status and output."""

    def type_in(*words):
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        audit.configure(parser)
        status = audit.run(parser.parse_args([str(word) for word in words]))
        return status, capsys.readouterr().out

    return type_in


def kept_elsewhere(log):
    """The options that name the kept checkpoint and the verifier key."""
    return "--checkpoint", log.parent / "kept" / "note", "--key", log.with_name("audit.key.pub")


async def test_an_intact_log_is_said_to_be_so(run, made):
    """The report says how far the proof goes, and what it cannot exclude."""
    status, out = run("verify", made, *kept_elsewhere(made))
    assert status == 0
    assert "intact: 15 records, 1 to 15" in out
    assert "proof: up to record 10" in out
    assert "what came after that could have been rewritten" in out
    assert "1 exchange(s) without a closing record" in out


async def test_without_a_kept_checkpoint_nothing_is_proven(run, made):
    """The report says so in plain words."""
    status, out = run("verify", made)
    assert status == 0
    assert "proof: none against whoever can write this log" in out
    assert "signatures not checked" in out


async def test_an_edit_is_a_finding_with_its_place(run, made):
    """The exit status is 1 and the first line names file, line and reason."""
    first = made.with_name("audit.jsonl.000000000001")
    first.write_bytes(first.read_bytes().replace(b'"ending":"complete"', b'"ending":"unknown!"', 1))
    status, out = run("verify", made)
    assert status == 1
    assert out.startswith(f"{first}:4: record 4 ")
    assert "does not fit the line before it" in out
    assert "NOT INTACT" in out


async def test_a_cut_is_found_with_the_kept_checkpoint(run, made):
    """Cut back before the kept checkpoint, with the one beside the log removed, the log is found short."""
    made.unlink()
    made.with_name("audit.jsonl.checkpoint").unlink()
    last = max(made.parent.glob("audit.jsonl.0*"))
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:1]))
    status, out = run("verify", made, *kept_elsewhere(made))
    assert status == 1
    assert "the end was cut off" in out


async def test_json_says_the_same(run, made):
    """A program reads the findings, the proof and the open exchanges."""
    status, out = run("--json", "verify", made, *kept_elsewhere(made))
    report = json.loads(out)
    assert status == 0
    assert (report["intact"], report["proven_to"], report["open"], report["records"]) == (True, 10, 1, 15)


async def test_a_last_line_that_is_being_written_is_no_finding(run, made):
    """Verification can run beside a gateway at work."""
    with made.open("ab") as file:
        file.write(b'{"v":1,"seq":16,')
    status, out = run("verify", made)
    assert status == 0
    assert "the last line is incomplete" in out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda log: (log.parent / "kept" / "note").write_text("no note"), "no signed note"),
        (lambda log: (log.parent / "kept" / "note").unlink(), "cannot be read"),
        (lambda log: log.with_name("audit.key.pub").write_text("no key"), "a verifier key reads"),
        (lambda log: log.with_name("audit.key.pub").write_bytes(b"\xff"), "not text"),
    ],
)
async def test_what_cannot_be_used_is_said_in_a_sentence(run, made, spoil, message):
    """A wrong checkpoint or key is an error that names its file."""
    spoil(made)
    with pytest.raises(DoorwardError, match=message):
        run("verify", made, *kept_elsewhere(made))


async def test_a_checkpoint_needs_a_key(run, made):
    """Without its key a checkpoint proves nothing, so it is not accepted."""
    with pytest.raises(DoorwardError, match="--key FILE"):
        run("verify", made, "--checkpoint", made.parent / "kept" / "note")


def test_a_log_that_is_not_there_is_said(run, tmp_path):
    """The message says when there will be one."""
    with pytest.raises(DoorwardError, match="there is no audit log"):
        run("verify", tmp_path / "none.jsonl")


async def test_show_lists_exchanges(run, made, parts):
    """One row for each exchange, in a table or as JSON lines with both records."""
    status, out = run("show", made)
    assert status == 0
    assert len(out.splitlines()) == 7
    assert out.count("open") == 1
    _, out = run("--json", "show", made, "--task", "task-1", "--since", "1h")
    pairs = [json.loads(line) for line in out.splitlines()]
    assert len(pairs) == 6
    assert all(pair["response"] is None or pair["request"]["request_id"] == pair["response"]["request_id"] for pair in pairs)
    _, out = run("show", made, "--agent", parts.principal.agent + "x")
    assert len(out.splitlines()) == 1
    _, out = run("show", made, "--since", "2099-01-01T00:00:00Z")
    assert len(out.splitlines()) == 1


async def test_the_log_and_key_of_a_configuration_are_found(run, tmp_path, monkeypatch, parts):
    """With `-c` alone the command knows the log and verifies the checkpoints in it."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--upstream", "http://127.0.0.1:9", "--name", "billing", "--bearer", "--secret-env", "KEY"]) == 0
    loaded = load(tmp_path / "doorward.yaml")
    ledger = build(loaded.document.audit, name="acme", clock=Clock(), resolve=loaded.resolve)
    await ledger.start()
    parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
    await ledger.stop()
    run_status, out = run("verify", "-c", "doorward.yaml")
    assert run_status == 0
    assert "intact: 5 records, 1 to 5" in out
    assert "1 signed by acme/audit, the last one of record 4" in out


async def test_a_checkpoint_older_than_the_log_proves_nothing(run, made):
    """When the files up to the kept checkpoint are gone, the report says so."""
    kept = made.parent / "kept" / "note"
    for full in made.parent.glob("audit.jsonl.0*"):
        full.unlink()
    status, out = run("verify", made, "--checkpoint", kept, "--key", made.with_name("audit.key.pub"))
    assert status == 0
    assert "are older than the first record here" in out
    assert "proof: none" in out


async def test_a_time_that_is_none_is_said(run, made):
    """The message shows the forms."""
    with pytest.raises(DoorwardError, match="expected 15m"):
        run("show", made, "--since", "yesterday")
