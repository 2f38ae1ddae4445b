"""`doorward task` against an authority and an admin socket that are real."""

import json

import pytest
from fakes.authority import AGENT

COLUMNS = ["task", "state", "agent", "intents", "opened", "ended", "cause"]


@pytest.fixture(autouse=True)
def _authority(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents' actions need no configuration."""
    monkeypatch.setenv("DOORWARD_AUTHORITY", f"unix:{world.socket}")


async def test_the_list_is_a_table(world, typed, configuration):
    """A heading, one line a task, columns in line; nothing open is said in words."""
    assert (await typed("task", "list", "-c", configuration)).out == "no tasks\n"
    task = (await world.exchange()).json()["task"]
    await typed("task", "revoke", task, "-c", configuration)
    heading, line = (await typed("task", "list", "-c", configuration)).out.splitlines()
    assert heading.split() == COLUMNS
    assert line.split() == [
        task, "revoked", AGENT, "invoices.read", "2027-01-15", "08:00:00", "2027-01-15", "08:00:00", "operator",
    ]  # fmt: skip
    assert heading.index("agent") == line.index(AGENT)


async def test_the_list_as_json_and_filtered(world, typed, configuration):
    """`--json` gives the page as it came; `--state` and `--agent` narrow it."""
    task = (await world.exchange()).json()["task"]
    page = json.loads((await typed("task", "list", "--json", "-c", configuration)).out)
    assert [one["task"] for one in page["tasks"]] == [task]
    for words in (("--state", "failed"), ("--agent", "spiffe://acme.example/nobody")):
        assert (await typed("task", "list", *words, "-c", configuration)).out == "no tasks\n"
    assert (await typed("task", "list", "--limit", "501", "-c", configuration)).status == 1


async def test_one_task_is_shown(world, typed, configuration):
    """Every member on a line of its own."""
    task = (await world.exchange()).json()["task"]
    lines = dict(line.split(maxsplit=1) for line in (await typed("task", "show", task, "-c", configuration)).out.splitlines())
    assert (lines["task"], lines["state"], lines["agent"], lines["ended"]) == (task, "open", AGENT, "-")


@pytest.mark.parametrize(("action", "state"), [("complete", "completed"), ("fail", "failed")])
@pytest.mark.parametrize("proof", ["user", "identity", "task token"])
async def test_agents_end_their_tasks(world, typed, action: str, state: str, proof: str):
    """As the user, with an identity token, or with the task's own token; no configuration is read."""
    issued = (await (world.by_peer() if proof == "user" else world.exchange())).json()
    file = world.folder / "proof"
    file.write_text({"user": "", "identity": world.identity_token(), "task token": issued["access_token"]}[proof])
    option = {"user": (), "identity": ("--identity-token", file), "task token": ("--task-token", file)}[proof]
    got = await typed("task", action, issued["task"], *option, "--json", "-c", "/nonexistent")
    assert (got.status, json.loads(got.out)["state"]) == (0, state)


@pytest.mark.parametrize("action", ["show", "revoke", "complete", "fail"])
async def test_an_unknown_task(typed, configuration, action: str):
    """One sentence says that there is no such task, or that this is no id."""
    got = await typed("task", action, "f" * 32, "-c", configuration)
    assert (got.status, got.out) == (1, "")
    assert "There is no such task" in got.err
    got = await typed("task", action, "../x", "-c", configuration)
    assert "32 hexadecimal digits" in got.err


async def test_who_is_no_operator_is_told_so(world, typed, configuration):
    """The sentence names the place where operators stand."""
    world.operators.clear()
    got = await typed("task", "list", "-c", configuration)
    assert got.status == 1
    assert "admin.operators" in got.err


async def test_when_nothing_listens(typed, configuration, world):
    """The sentence asks whether Doorward runs."""
    world.admin.rename(world.folder / "elsewhere.sock")
    got = await typed("task", "list", "-c", configuration, "--json")
    assert got.status == 1
    assert "is doorward serve running there" in json.loads(got.out)["error"]
    (world.folder / "elsewhere.sock").rename(world.admin)
