"""What an operator is told before a change, and how one is confirmed, by the commands against a running Doorward."""

import asyncio
import json

import pytest
from fakes.house import Build, House
from test_reload import change, status

from gateway.cli.main import main

WITHOUT_A_CUSTOMER = """intents: ["items.*"]
    when: "!has(task.params.customer)"
    start: {by: ["spiffe://flows.test/agent"]}"""


async def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, output and error of one command, in a thread, for the house is served by this one."""
    done = await asyncio.to_thread(main, words)
    out, err = capsys.readouterr()
    return done, out, err


def edited(door: House, old: str, new: str) -> list[str]:
    """A changed copy, and the options that name both files."""
    text = (door.folder / "doorward.yaml").read_text()
    assert old in text
    (door.folder / "next.yaml").write_text(text.replace(old, new))
    return [str(door.folder / "next.yaml"), "-c", str(door.folder / "doorward.yaml")]


async def test_a_plan_names_decisions_and_tasks(house: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """Each operation that is decided otherwise, and the tasks that would end; nothing has happened yet."""
    door = await house()
    token, given = await door.token("items.read"), await door.issue("items.write")
    files = edited(door, 'intents: ["items.*"]', "intents: [items.read]")
    capsys.readouterr()
    assert await typed(capsys, "plan", *files) == (0, (
        "~ grants.the agent reads and writes.intents\n"
        "spiffe://flows.test/agent items.write, POST /items: allowed by 'the agent reads and writes' -> not granted\n"
        "spiffe://flows.test/agent items.write, PUT /items/{id}: allowed by 'the agent reads and writes' -> not granted\n"
        "spiffe://flows.test/agent items.watch, WEBSOCKET /items/{id}/events: "
        "allowed by 'the agent reads and writes' -> not granted\n"
        "spiffe://flows.test/agent items.burn, DELETE /items/{id}: refused: denied -> not granted\n"
        "1 of 2 live tasks would be revoked\n"
        f"  {given['task']} of spiffe://flows.test/agent: items.write\n"
    ), "")  # fmt: skip
    _, out, _ = await typed(capsys, "plan", "--json", "--offline", *files)
    planned = json.loads(out)
    assert (len(planned["otherwise"]), planned["live"], planned["revoked"]) == (4, None, None)
    assert await status(door, token) == 200


async def test_a_denial_of_a_wider_intent_is_foreseen(house: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """It forbids the operation whatever is declared, so the agent's own intent is of no use there."""
    door = await house()
    text = (door.folder / "doorward.yaml").read_text().replace("items.burn, items.burn]", "items.burn, items.all]")
    text = text.replace(
        "  items.burn:\n", '  items.all:\n    upstream: api\n    operations: ["DELETE /items"]\n  items.burn:\n', 1
    )  # fmt: skip
    (door.folder / "doorward.yaml").write_text(text)
    files = edited(door, '["DELETE /items"]', '["DELETE /items", "GET /items"]')
    _, out, _ = await typed(capsys, "plan", "--offline", *files)
    told = "spiffe://flows.test/agent items.read, GET /items: allowed by 'the agent reads and writes' -> refused: denied"
    assert told in out.splitlines()
    assert out.endswith("live tasks were not asked for\n")


async def test_a_plan_names_what_needs_a_restart(house: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be refused while Doorward runs."""
    door = await house()
    _, out, _ = await typed(capsys, "plan", *edited(door, "doorward.db", "other.db"))
    assert "'authority.store' cannot change while doorward runs" in out
    assert "no decision on an agent, an intent and an operation changes" in out
    done, _, err = await typed(capsys, "plan", *edited(door, "denials:", "denails:"))
    assert done == 1
    assert "did you mean 'denials'?" in err


async def test_an_operator_confirms(house: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it the file is refused with the numbers; with it the tasks end."""
    door = await house()
    token = await door.token("items.write")
    change(door, 'intents: ["items.*"]', "intents: [items.read]")
    config = ["-c", str(door.folder / "doorward.yaml")]
    capsys.readouterr()
    done, _, err = await typed(capsys, "reload", *config)
    assert done == 1
    assert "this would revoke 1 of 1 live tasks" in err
    done, out, _ = await typed(capsys, "reload", "--confirm", *config)
    assert done == 0
    assert "~ grants.the agent reads and writes.intents" in out.splitlines()
    assert out.endswith("is in force, 1 tasks were revoked\n")
    assert await status(door, token) == 401
    done, out, _ = await typed(capsys, "reload", "--json", *config)
    assert json.loads(out.splitlines()[-1])["changed"] == {"added": [], "removed": [], "changed": []}


async def test_a_condition_on_what_a_task_lacks_is_foreseen(house: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan knows no task, so it judges as for one without params; that such a one is allowed is no change."""
    door = await house()
    files = edited(door, 'intents: ["items.*"]', WITHOUT_A_CUSTOMER)
    _, out, err = await typed(capsys, "plan", "--offline", *files)
    assert err == ""
    told = "spiffe://flows.test/agent items.write, POST /items: allowed by 'the agent reads and writes' -> "
    assert f"{told}allowed by 'the agent reads and writes'; 'the agent reads and writes' when !has(task.params.customer)" in out
