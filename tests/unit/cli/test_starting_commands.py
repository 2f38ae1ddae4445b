"""`doorward task start` and what `doorward token` needs for it, against an authority under a real policy."""

import json

import jwt
import pytest
from fakes.authority import NOW
from fakes.chartered import ANN, HELPER, ORCHESTRATOR, WORKER, Chartered


@pytest.fixture
def chartered(world, monkeypatch: pytest.MonkeyPatch) -> Chartered:
    """The environment names the authority, and each agent has its identity in a file."""
    monkeypatch.setenv("DOORWARD_AUTHORITY", f"http://127.0.0.1:{world.port}")
    agents = Chartered(world)
    for name in ("orchestrator", "worker", "helper", "ann"):
        (world.folder / name).write_text(agents.identity(name))
    return agents


def claims(token: str) -> dict:
    """What a token says."""
    return jwt.decode(token.strip().removeprefix("dwt_"), options={"verify_signature": False})


async def test_a_task_is_started_joined_and_handed_on(chartered: Chartered, typed):
    """An orchestrator prints the id, the worker joins by it, and the helper works below it; each by its own file."""
    folder = chartered.world.folder
    limits = ("--limit", "requests=500", "--limit", "rate=20/s", "--limit", "bytes=1MiB", "--limit", "concurrent=4")
    started = await typed(
        "task", "start", "--agent", WORKER, "--intent", "invoices.read", "--param", "customer=42", *limits,
        "--duration", "2h", "--identity-token", folder / "orchestrator",
    )  # fmt: skip
    assert (started.status, started.err) == (0, "")
    row = await chartered.world.authority.tasks.show(started.out.strip())
    assert (row.starter, row.params, row.ends) == (ORCHESTRATOR, {"customer": "42"}, NOW + 7200)
    assert row.limits == {"requests": 500, "rate": "20/s", "bytes": 1 << 20, "concurrent": 4}
    joining = ("token", "--task", row.id, "--identity-token", folder / "worker")
    assert claims((await typed(*joining)).out)["txn"] == row.id
    heard = await typed("task", "heartbeat", row.id, "--identity-token", folder / "worker")
    assert (heard.status, "open" in heard.out) == (0, True)
    (folder / "handed").write_text((await typed(*joining, "--may-act", HELPER)).out)
    below = ("token", "--below", folder / "handed", "--identity-token", folder / "helper")
    child = json.loads((await typed(*below, "--json")).out)
    assert claims(child["access_token"])["act"] == {"sub": HELPER, "act": {"sub": WORKER}}
    assert (await typed(*below, "--task", child["task"])).status == 0
    ended = await typed("task", "complete", row.id, "--identity-token", folder / "orchestrator", "--json")
    assert json.loads(ended.out)["state"] == "completed"
    whole = await typed("task", "start", "--agent", WORKER, "--intent", "invoices.read", "--param", "customer=42",
                        "--identity-token", folder / "orchestrator", "--json")  # fmt: skip
    assert json.loads(whole.out)["agent"] == WORKER


async def test_a_token_on_behalf_of_somebody(chartered: Chartered, typed):
    """The subject's JWT in one file, the agent's own in another."""
    folder = chartered.world.folder
    got = await typed("token", "--intent", "mail.read", "--on-behalf", folder / "ann", "--identity-token", folder / "worker")
    assert (claims(got.out)["sub"], claims(got.out)["act"]) == (ANN, {"sub": WORKER})


async def test_a_token_for_one_upstream(chartered: Chartered, typed):
    """`--resource` names it by its address."""
    (chartered.world.folder / "reconciler").write_text(chartered.identity("reconciler"))
    got = await typed(
        "token", "--intent", "invoices.read", "--resource", "http://gateway.example/billing",
        "--identity-token", chartered.world.folder / "reconciler",
    )  # fmt: skip
    assert claims(got.out)["aud"] == ["doorward", "http://gateway.example/billing"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say with --intent what the task is for"),
        (("--intent", "invoices.read", "--param", "customer"), "as in --param customer=42"),
        (("--intent", "invoices.read", "--limit", "requests"), "as in --limit requests=500"),
        (("--intent", "invoices.read", "--limit", "requests=many"), "the limit requests is a whole number"),
        (("--intent", "invoices.read", "--limit", "rate=5"), "expected a rate"),
        (("--intent", "invoices.read", "--limit", "bytes=5MB"), "expected a size"),
        (("--intent", "invoices.read", "--limit", "calls=5"), "limits have the members"),
        (("--intent", "invoices.read", "--duration", "soon"), "expected a duration"),
        (("--intent", "status.read"), "Policy grants no intent status.read"),
    ],
)
async def test_what_cannot_be_started(chartered: Chartered, typed, words: tuple[str, ...], sentence: str):
    """One sentence says why, and nothing is printed that could be taken for an id."""
    who = ("--agent", WORKER, "--identity-token", chartered.world.folder / "orchestrator")
    got = await typed("task", "start", *who, *words)
    assert (got.status, got.out) == (1, "")
    assert sentence in got.err
