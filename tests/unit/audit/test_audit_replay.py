"""The replay of logs against revocations: it finds every breach that is planted, and none where there is none."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.replay import Judgement, Replay
from gateway.cli.audit_replay import CUT, WITHIN
from gateway.cli.main import main

BEGAN = 1_800_000_000.0
CALLER = {"tenant": "acme", "agent": "spiffe://a/b", "task": "t1", "token": "j1"}


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(BEGAN + seconds, timezone.utc).isoformat()


class Log:
    """One writer's records, numbered as they come."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def __call__(self) -> list[dict[str, Any]]:
        return self.records

    def add(self, kind: str, at: float, /, **members: Any) -> "Log":
        self.records.append({"type": kind, "seq": len(self.records) + 1, "time": stamp(at), **members})
        return self

    def allow(self, at: float, name: str = "r", **caller: str) -> "Log":
        return self.add("request", at, request_id=name, decision="allow", **{**CALLER, **caller})

    def close(self, at: float, name: str = "r", ending: str = "complete", code: str | None = None) -> "Log":
        return self.add("response", at, request_id=name, ending=ending, code=code)

    def revoke(self, at: float, kind: str = "task", name: str = "t1", until: float = 300, event: str = "revoked") -> "Log":
        return self.add("revocation", at, event=event, kind=kind, id=name, until=stamp(until))


def judge(*logs: Log, acknowledged: Any = (), within: float = 0.0) -> Judgement:
    return Replay(within=within, cut_within=1.0).judge(logs, acknowledged)


def test_what_came_before_and_what_was_refused_is_no_breach() -> None:
    """The ordinary end of a task: accepted before, refused after, cut in the middle."""
    log = Log().allow(1).close(2).allow(3, "open").revoke(4).close(4.001, "open", "cut", "token_revoked")
    log.add("request", 5, request_id="late", decision="deny", code="token_revoked", **CALLER)
    found = judge(log)
    assert (found.revocations, found.accepted, found.refused, found.cut, found.breaches) == (1, 2, 1, 1, 0)
    assert found.latest_close == pytest.approx(0.001, abs=1e-5)


def test_an_agent_is_another_in_each_tenant() -> None:
    """What is stopped and restored in one says nothing of the other; who has noted no tenant means any."""
    agent = {"kind": "agent", "id": "spiffe://a/b"}
    log = Log().add("revocation", 1, event="revoked", tenant="globex", until=None, **agent).allow(2)
    assert judge(log).breaches == 0
    log.add("revocation", 3, event="revoked", tenant="acme", until=None, **agent)
    log.add("revocation", 4, event="restored", tenant="globex", **agent).allow(5).allow(6, tenant="globex")
    assert judge(log).breaches == 1
    assert judge(Log().allow(9), acknowledged=[{**agent, "time": stamp(8)}]).breaches == 1


@pytest.mark.parametrize(("kind", "name"), [("token", "j1"), ("task", "t1"), ("agent", "spiffe://a/b"), ("tenant", "acme")])
def test_what_is_accepted_after_its_revocation_is_found(kind: str, name: str) -> None:
    """By each rung of the ladder; another caller's request is none of it."""
    other = {"tenant": "x", "agent": "y", "task": "z", "token": "w"}
    found = judge(Log().revoke(1, kind, name).allow(2, "other", **other).allow(3, "planted"))
    assert [(breach.request_id, breach.mark, breach.kept_open) for breach in found.named] == [
        ("planted", f"{kind}:{name}", False)
    ]
    assert "was accepted 2.000 s after" in str(found.named[0])


def test_within_one_log_the_order_of_lines_decides() -> None:
    """A clock that was set back or stands still hides nothing, and the bound for other writers is not for this one."""
    for at in (-3600.0, 1.0, 1.001):
        assert judge(Log().revoke(1).allow(at), within=10).breaches == 1
    assert judge(Log().allow(3600).close(1).revoke(1)).breaches == 0


def test_another_writer_has_so_many_seconds() -> None:
    """Up to the bound it could not know; beyond it, it should have refused."""
    authority = Log().revoke(1)
    assert judge(authority, Log().allow(3).close(3), within=2.5).breaches == 0
    assert judge(authority, Log().allow(3).close(3), within=2.5).latest_acceptance == pytest.approx(2)
    assert judge(authority, Log().allow(4).close(4), within=2.5).breaches == 1
    assert judge(authority, Log().allow(0.5).close(0.5), within=0).breaches == 0


def test_what_was_heard_to_be_acknowledged_counts_without_its_record() -> None:
    """A kill can take the record; whoever was told of the end remembers it."""
    noted = [{"kind": "task", "id": "t1", "time": stamp(1)}]
    assert judge(Log().allow(0.9).close(0.9), acknowledged=noted).breaches == 0
    assert judge(Log().allow(1.1).close(1.2), acknowledged=noted).breaches == 1


def test_what_stays_open_is_found() -> None:
    """However it ends; only of what a killed process left open nobody can tell."""
    assert judge(Log().allow(1).revoke(2).close(3.5)).breaches == 1
    assert judge(Log().allow(1).revoke(2).close(3.5)).named[0].kept_open
    assert judge(Log().allow(1).revoke(2).close(2.9)).breaches == 0
    assert judge(Log().allow(1).revoke(2).close(60, ending="unknown")).breaches == 0


def test_what_is_over_or_restored_is_in_force_no_more() -> None:
    """A stop has an end, by its time or by an operator; in between it holds."""
    stopped = Log().revoke(1, "agent", "spiffe://a/b", until=10)
    assert judge(stopped.allow(11).close(11)).breaches == 0
    restored = Log().revoke(1, "agent", "spiffe://a/b").add("revocation", 5, event="restored", kind="agent", id="spiffe://a/b")
    assert judge(restored.allow(6).close(6)).breaches == 0
    assert judge(restored, Log().allow(6).close(6)).breaches == 0
    assert judge(restored, Log().allow(4).close(4)).breaches == 1
    assert judge(restored.revoke(7, "agent", "spiffe://a/b").allow(8, "again")).breaches == 1


def test_breaches_and_open_exchanges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All breaches are counted and the first hundred named; what never closes takes only so much room."""
    log = Log().revoke(1)
    for number in range(150):
        log.allow(2, str(number))
    found = judge(log)
    assert (found.breaches, len(found.named), found.named[-1].request_id) == (150, 100, "99")
    monkeypatch.setattr("gateway.audit.replay._MOST_OPEN", 2)
    log = Log().allow(1, "first").allow(1, "second").allow(1, "third").revoke(2).close(9, "first").close(9, "second")
    assert [breach.request_id for breach in judge(log).named] == ["second"]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Log], Path]:
    def write(name: str, log: Log) -> Path:
        file = tmp_path / name
        file.write_text("".join(json.dumps(record) + "\n" for record in log.records))
        return file

    return write


def test_the_command_judges_several_logs(written: Callable[[str, Log], Path], capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 1 for a breach, names it, and says how late the latest was."""
    authority, worker = written("a.jsonl", Log().revoke(1)), written("b.jsonl", Log().allow(3, "planted").close(3, "planted"))
    logs = ["--log", str(authority), "--log", str(worker)]
    assert main(["audit", "replay", *logs]) == 0
    assert "held: nothing revoked was accepted" in capsys.readouterr().out
    assert main(["audit", "replay", "--within", "1", *logs]) == 1
    out = capsys.readouterr().out
    assert "request planted was accepted 2.000 s after task:t1 was revoked" in out
    assert "BREACHED: 1 time(s)" in out
    assert main(["audit", "replay", "--json", "--within", "1", *logs]) == 1
    told: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["breaches"], told["named"][0]["request_id"]) == (1, "planted")


def test_the_command_takes_what_was_acknowledged(
    written: Callable[[str, Log], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And refuses a file that it cannot read."""
    log = written("a.jsonl", Log().allow(3).close(3))
    noted = tmp_path / "acknowledged"
    noted.write_text(json.dumps({"kind": "task", "id": "t1", "time": stamp(1)}))
    assert main(["audit", "replay", "--within", "0", "--acknowledged", str(noted), "--log", str(log)]) == 1
    noted.write_text("{}")
    assert main(["audit", "replay", "--acknowledged", str(noted), "--log", str(log)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_command_waits_as_long_as_a_gateway_may_be_stale(written: Callable[[str, Log], Path]) -> None:
    """Without `--within` it takes the default of `feed.max_staleness`; what is open has a second more."""
    authority = written("a.jsonl", Log().revoke(1))
    late = 1 + WITHIN + 0.5
    accepted = written("b.jsonl", Log().allow(late).close(late))
    assert main(["audit", "replay", "--log", str(authority), "--log", str(accepted)]) == 1
    opened = Log().allow(0).close(1 + WITHIN + CUT - 0.5)
    assert main(["audit", "replay", "--log", str(authority), "--log", str(written("c.jsonl", opened))]) == 0


@pytest.mark.parametrize(("said", "breaches"), [("https://a", 1), ("https://b", 0), (None, 1)])
def test_a_revocation_is_about_what_its_own_issuer_has_named(said: str | None, breaches: int) -> None:
    """Two issuers have a task of one name; a revocation of which nobody knows whose it is could be of either."""
    of = {} if said is None else {"issuer": said}
    log = Log().add("revocation", 1, event="revoked", kind="task", id="t1", until=stamp(300), **of)
    assert judge(log.allow(2, issuer="https://a")).breaches == breaches


def test_what_one_issuer_restores_stays_revoked_by_the_other() -> None:
    """Both have stopped the agent of one name."""
    agent = {"kind": "agent", "id": "spiffe://a/b"}
    log = Log()
    for issuer in ("https://a", "https://b"):
        log.add("revocation", 1, event="revoked", issuer=issuer, **agent)
    log.add("revocation", 2, event="restored", issuer="https://a", **agent)
    log.allow(3, "one", issuer="https://a").allow(4, "other", issuer="https://b")
    assert [breach.request_id for breach in judge(log).named] == ["other"]
