"""`doorward revoke` and `doorward restore` against an admin socket that is real."""

import json

import pytest
from fakes.authority import AGENT


async def test_a_stop_and_its_end_in_one_sentence_each(world, typed, configuration):
    """What is revoked and until when; what is restored, and that tasks of before stay ended."""
    issued = (await world.exchange()).json()
    got = await typed("revoke", "agent", AGENT, "-c", configuration)
    assert (got.status, got.out) == (0, f"agent {AGENT} is revoked until it is restored\n")
    assert await world.authority.tasks.live_token(issued["access_token"]) is None
    got = await typed("restore", "agent", AGENT, "-c", configuration)
    assert (got.status, got.out) == (0, f"agent {AGENT} is restored; its tasks of before stay ended\n")
    assert (await world.exchange()).status == 200
    got = await typed("restore", "agent", AGENT, "-c", configuration)
    assert got.status == 1
    assert "not revoked" in got.err


async def test_until_cause_and_json(typed, configuration):
    """`--until` and `--cause` reach the authority, and `--json` gives what it says."""
    words = ("--until", "2027-01-15T09:00:00Z", "--cause", "exposed", "--json")
    told = json.loads((await typed("revoke", "tenant", "acme", *words, "-c", configuration)).out)
    assert (told["cause"], told["until"]) == ("exposed", "2027-01-15T09:00:00.000000Z")
    assert json.loads((await typed("restore", "tenant", "acme", "--json", "-c", configuration)).out)["kind"] == "tenant"
    assert (await typed("revoke", "tenant", "acme", "--until", "soon", "-c", configuration)).status == 1


async def test_a_task_is_revoked_by_its_id(world, typed, configuration):
    """As with `doorward task revoke`."""
    task = (await world.exchange()).json()["task"]
    assert (await typed("revoke", "task", task, "-c", configuration)).out == f"task {task} is revoked\n"
    assert (await typed("revoke", "task", "x", "-c", configuration)).status == 1


@pytest.mark.parametrize("words", [("revoke", "credential", "x"), ("restore", "task", "1" * 32)])
async def test_what_cannot_be_revoked_or_restored_is_misuse(typed, words):
    """A credential has no such command yet, and a task never comes back."""
    with pytest.raises(SystemExit):
        await typed(*words)
