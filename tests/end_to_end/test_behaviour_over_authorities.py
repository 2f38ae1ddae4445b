"""Labels, drift and stops over two authorities on one real Redis: what one side has seen of an agent holds on the other."""

import asyncio

from fakes.installation import Installation
from fakes.shared_store import Shared
from test_behaviour_over_workers import DENIAL, DRIFT, ask


def both_serve(shared: Shared, adds: str, more: str) -> None:
    """What reading leaves on the task, and more rules, in both configurations."""
    at = "  billing.read:\n    upstream: billing\n"
    for made in (shared.first, shared.second):
        shared.edit(made, lambda text: text.replace(at, f"{at}    adds: [{adds}]\n") + more)
    shared.serve()


async def answers(shared: Shared, token: str, method: str, intent: str) -> list[int]:
    """The statuses of one request to each gateway."""
    return [(await ask(made.port, token, method, intent))[0] for made in (shared.first, shared.second)]


async def refused_everywhere(shared: Shared, token: str) -> None:
    """Within moments neither gateway takes the token."""
    async with asyncio.timeout(30):
        while await answers(shared, token, "GET", "billing.read") != [401, 401]:
            await asyncio.sleep(0.01)


def gets_a_token(made: Installation) -> bool:
    return made.doorward("token", "--intent", "billing.read", check=False).returncode == 0


async def test_a_label_from_one_side_denies_on_the_other(shared: Shared) -> None:
    """The very next request that needs the label finds it, on the side that did not give it, and so it stays."""
    await asyncio.to_thread(both_serve, shared, "untrusted", DENIAL)
    token = await asyncio.to_thread(shared.first.token, "billing.read", "billing.write")
    assert await answers(shared, token, "POST", "billing.write") == [200, 200]
    assert (await ask(shared.first.port, token, "GET", "billing.read"))[0] == 200
    for _ in range(3):
        for made in (shared.second, shared.first):
            status, body = await ask(made.port, token, "POST", "billing.write")
            assert (status, '"denied"' in body) == (403, True)
    other = await asyncio.to_thread(shared.second.token, "billing.read", "billing.write")
    assert await answers(shared, other, "POST", "billing.write") == [200, 200]


async def test_drift_on_one_side_ends_the_task_on_the_other(shared: Shared) -> None:
    """And no authority gives the agent another token."""
    await asyncio.to_thread(both_serve, shared, "", DRIFT)
    token = await asyncio.to_thread(shared.first.token)
    assert await answers(shared, token, "GET", "billing.read") == [200, 200]
    refused = [(await ask(shared.second.port, token, "POST", "billing.read"))[0] for _ in range(5)]
    assert refused == [403] * 5
    await refused_everywhere(shared, token)
    for made in (shared.first, shared.second):
        assert not await asyncio.to_thread(gets_a_token, made)


async def test_a_stop_outlives_an_emptied_store_on_both_sides(shared: Shared) -> None:
    """Its old tokens die with the epoch, and in the new one it gets none, until an operator restores it."""
    await asyncio.to_thread(both_serve, shared, "", "")
    token = await asyncio.to_thread(shared.first.token)
    assert await answers(shared, token, "GET", "billing.read") == [200, 200]
    agent = next(record["agent"] for record in shared.first.records() if record["type"] == "task")
    await asyncio.to_thread(shared.first.doorward, "revoke", "agent", agent)
    await refused_everywhere(shared, token)  # so both have heard of it
    assert shared.redis.ask("FLUSHALL") == "+OK"
    assert await answers(shared, token, "GET", "billing.read") == [401, 401]
    for made in (shared.first, shared.second):
        assert not await asyncio.to_thread(gets_a_token, made)
    await asyncio.to_thread(shared.second.doorward, "restore", "agent", agent)
    for made in (shared.first, shared.second):
        assert await asyncio.to_thread(gets_a_token, made)
