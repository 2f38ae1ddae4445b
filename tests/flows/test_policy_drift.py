"""A task ends when policy would not give it any more; how many may end without a word of the operator is bounded."""

import asyncio

import pytest
from fakes.house import Build, House, get
from test_reload import change, status, until

from gateway.errors import DoorwardError
from gateway.fetch import Fetch
from gateway.stores.store import StoreUnavailableError


async def ask(door: House, method: str, path: str) -> dict:
    async with Fetch() as fetch:
        return (await fetch.request(method, f"http://doorward{path}", unix=str(door.folder / "admin.sock"))).json()


@pytest.mark.parametrize(
    ("old", "new", "lives"),
    [
        ('intents: ["items.*"]', "intents: [items.read]", False),
        ("items.burn, items.burn]", "items.burn, items.write]", False),
        ('"POST /items", ', "", False),
        ('"PUT /items/{id}"]', '"PUT /items/{id}", "PATCH /items"]', True),
        ("the agent reads and writes", "another name", True),
    ],
)
async def test_a_task_ends_with_what_it_was_given(house: Build, old: str, new: str, lives: bool) -> None:
    """It loses a grant, or an operation of an intent; what is only added or renamed ends nothing."""
    door = await house()
    given, other = await door.issue("items.read", "items.write"), await door.issue("items.read")
    change(door, old, new)
    reload = door.doorward.reload
    assert reload is not None
    if not lives:
        with pytest.raises(DoorwardError, match=r"this would revoke 1 of 2 live tasks, and policy_drift.at_most is 25%"):
            await reload.again(by="test")
        assert await status(door, given["access_token"]) == 200
    done = await ask(door, "POST", "/reload?confirm=true")
    assert done["revoked"] == (not lives)
    assert await status(door, given["access_token"]) == (200 if lives else 401)
    assert await status(door, other["access_token"]) == 200
    task = await ask(door, "GET", f"/tasks/{given['task']}")
    assert (task["state"], task["cause"]) == (("open", None) if lives else ("revoked", "policy_drift"))
    await door.stop()
    revoked = [record for record in door.records() if record["type"] == "revocation"]
    assert [record["cause"] for record in revoked] == [] if lives else ["policy_drift"]


async def test_what_is_narrowed_later_is_not_held_against_new_tasks(house: Build) -> None:
    """Only what was given before the change can have been more than is given now."""
    door = await house()
    change(door, '"POST /items", ', "")
    reload = door.doorward.reload
    assert reload is not None
    await reload.again(by="test")
    token = await door.token("items.write")
    change(door, "the agent reads and writes", "another name")
    await reload.again(by="test")
    client = await door.connect()
    await client.send(get("/api/items/1", token, "items.write", "Content-Length: 0", method="PUT"))
    assert (await client.answer()).status == 200


async def test_a_store_that_cannot_be_read_keeps_the_policy_as_it_is(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say what would end. Confirmed, it comes into force, and tasks end as soon as the store is back."""
    door = await house()
    given = await door.issue("items.write")
    reload, tasks = door.doorward.reload, door.doorward.authority.tasks
    assert reload is not None
    change(door, 'intents: ["items.*"]', "intents: [items.read]")
    store = tasks._store
    gone = asyncio.Event()

    class Gone:
        def __getattr__(self, name: str) -> object:
            if gone.is_set():
                return getattr(store, name)

            raise StoreUnavailableError("gone")

    monkeypatch.setattr(tasks, "_store", Gone())
    with pytest.raises(DoorwardError, match="the store cannot be read"):
        await reload.again(by="test")
    assert (await reload.again(by="test", confirmed=True)).revoked == 0
    assert reload.notices() == ["tasks that policy gives no more wait for the store to be revoked"]
    assert await status(door, given["access_token"], intent="items.write") == 403
    gone.set()
    await until(lambda: not reload.notices())
    assert await status(door, given["access_token"], intent="items.write") == 401


async def test_a_task_that_is_opened_meanwhile_does_not_escape(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy is asked before the store is; it may have changed when the store has answered."""
    door = await house()
    exchange = door.doorward.authority.exchange
    reload, store = door.doorward.reload, exchange._store
    assert reload is not None
    change(door, 'intents: ["items.*"]', "intents: [items.read]")
    real = store.open_task

    async def slow(*stored: object) -> None:
        assert reload is not None
        await reload.again(by="test")
        await real(*stored)

    monkeypatch.setattr(store, "open_task", slow)
    assert await door.issue("items.write", refusable=True) == {}
    (task,) = (await ask(door, "GET", "/tasks"))["tasks"]
    assert (task["state"], task["cause"]) == ("revoked", "policy_drift")
