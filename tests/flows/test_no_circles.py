"""What a request leaves behind: nothing that only the collector of circles could free, for its looks stop every request."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes.house import Build, get


@contextmanager
def caught(circles: list[str]) -> Iterator[None]:
    """Collects the kinds of our own objects that were left in circles meanwhile."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        circles += sorted({type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("gateway.")})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("intent", ["items.read", "items.burn", None], ids=["allowed", "denied", "undeclared"])
async def test_a_request_that_never_comes_again_leaves_no_circle(house: Build, intent: str | None) -> None:
    """Each has a path and a query of its own; allowed or refused, nothing of it is left once the answer is out."""
    door = await house()
    client = await door.connect()
    token = await door.token()
    circles: list[str] = []
    for number in range(3):  # what comes first fills the memories
        await client.send(get(f"/api/items?limit={number}", token, intent))
        await client.answer()
    with caught(circles):
        for number in range(20):
            await client.send(get(f"/api/items?limit={number + 100}", token, intent))
            await client.answer()
    assert circles == []
