"""Many callers at once, some of them hostile: nothing leaks, and every request leaves exactly its two records."""

import asyncio
import random
from pathlib import Path

from fakes.house import Build, House, ScriptedUpstream, get

from gateway.audit.segments import all_lines
from gateway.audit.verify import Follower


async def moody(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers most requests; resets, breaks off or dawdles on those that ask for it."""
    while True:
        exchange = await upstream.request(reader)
        mood = exchange.fields.get("x-mood", ["well"])[0]
        if mood == "reset":
            writer.transport.abort()
            return
        if mood == "break":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            await writer.drain()
            return
        if mood == "slow":
            await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()


async def behave(door: House, token: str, seed: int, counts: dict[str, int]) -> None:
    """One caller: a dozen requests of mixed kinds, reconnecting as often as it has to."""
    choose = random.Random(seed)
    for _ in range(12):
        kind = choose.choice(["allow", "allow", "refuse", "reset", "break", "abort body", "abort answer", "malformed"])
        counts[kind] = counts.get(kind, 0) + 1
        client = await door.connect()
        if kind == "allow":
            await client.send(get("/api/items", token) * 2)
            counts["allow"] += 1
            assert [(await client.answer()).body for _ in range(2)] == [b"ok", b"ok"]
        elif kind == "refuse":
            await client.send(get("/api/items/1", token, method="DELETE"))
            assert (await client.answer()).status == 403
        elif kind == "reset":
            await client.send(get("/api/items", token, "items.read", "X-Mood: reset"))
            assert (await client.answer()).status == 502
        elif kind == "break":
            await client.send(get("/api/items", token, "items.read", "X-Mood: break"))
            assert not (await client.answer()).whole
        elif kind == "abort body":
            await client.send(get("/api/items", token, "items.write", "Content-Length: 5000", method="POST") + b"a" * 500)
            await asyncio.sleep(choose.random() / 50)
        elif kind == "abort answer":
            await client.send(get("/api/items", token, "items.read", "X-Mood: slow"))
        else:
            await client.send(b"GET /api/items HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert (await client.answer()).status == 400
        await client.close()


async def test_mixed_traffic_leaves_two_records_per_head_and_nothing_else(house: Build, tmp_path: Path) -> None:
    """Allowed, refused, aborted by the caller in mid-body, reset by the upstream: the log is complete and verifies."""
    door = await house(moody)
    token = await door.token()
    before = len(asyncio.all_tasks())
    counts: dict[str, int] = {}
    await asyncio.gather(*(behave(door, token, seed, counts) for seed in range(40)))
    while door.doorward.listener.connections:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert not any("dial" in name for name in door.clock.running)
    # What is left of the upstream's side are connections that lie idle in the pool.
    assert door.doorward.pool.size == door.doorward.pool.idle
    await door.stop()
    await asyncio.sleep(0.1)
    assert door.doorward.pool.size == 0
    assert len(asyncio.all_tasks()) < before
    requests, responses = door.exchanges()
    malformed = [record for record in requests if record["method"] is None]
    parsed = {record["request_id"] for record in requests if record["method"] is not None}
    assert len(malformed) == counts["malformed"]
    assert len(requests) == sum(counts.values())
    assert len(parsed) == len(requests) - len(malformed)
    assert {record["request_id"] for record in responses} == parsed
    endings = [record["ending"] for record in responses]
    assert endings.count("cut") == counts["break"]
    assert "interrupted" not in endings
    follower = Follower()
    for located in all_lines(tmp_path / "audit.jsonl"):
        follower.feed(located.line, str(located))
    follower.finish()
    assert follower.findings == []
    assert not follower.opened
