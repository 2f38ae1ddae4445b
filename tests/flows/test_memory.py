"""What is remembered changes the cost of an answer, never the answer: the same traffic beside a gateway without memory."""

import asyncio
import random

from fakes.clock import TurnedClock
from fakes.house import Build, House, RawClient, ScriptedUpstream, get

from benchmarks.forgetful import forgetful_relay, forgetful_standing, without_any
from gateway.audit.flood import Flood
from gateway.errors import DoorwardError
from gateway.handle_request import handle_request
from gateway.http.bound import bind_address
from gateway.http.listener import Listener
from gateway.http.memory import DATED, ENTRIES, LARGEST, Memory
from gateway.snapshot import Snapshot


async def beside(door: House) -> tuple[Listener, str]:
    """A second listener on the same authority, policy and log, whose every request goes the whole way."""
    snapshot = door.doorward.snapshot
    standing, relay = await forgetful_standing(snapshot, door.doorward.authority), forgetful_relay(snapshot)

    def forgetful() -> Snapshot:
        """The snapshot in force, without anything that could be remembered."""
        return without_any(door.doorward.snapshot, standing, relay)

    listener = Listener(
        lambda caller: handle_request(forgetful(), caller), snapshot.admission.limits, door.doorward.sweep, door.clock
    )
    bound = bind_address("127.0.0.1:0", lambda text: door.folder / text, 8)
    listener.listen_on(bound.sockets)
    return listener, bound.text


def seen(record: dict) -> dict:
    """What a request record says, without what is different for every request."""
    return {name: value for name, value in record.items() if name not in ("seq", "time", "request_id", "trace_id", "prev")}


CHANGES = [
    ("items.burn, items.burn]", "items.burn, items.read]"),
    ("items.burn, items.burn]", "items.burn, items.write]"),
    ('intents: ["items.*"]', "intents: [items.read]"),
    ("declare: required", "declare: implied"),
    ('"GET /items/{id}", ', ""),
    ('"POST /items", ', '"POST /items", "GET /items/{id}", '),
    ("{header: X-Api-Key}", "{header: X-Other-Key}"),
    ("{header: X-Api-Key}", "bearer"),
    ("/base", "/other"),
    ("    credential: key\n", "    credential: key\n    at: {prefix: /other}\n"),
    ("    credential: key\n", "    credential: key\n    token_in: [x-custom]\n"),
    ("    credential: key\n", "    credential: key\n    scrub: none\n"),
    ("credentials:\n", "credentials: [\n"),
]
"""What may become of a configuration between two requests; the last one is refused."""


async def reload(door: House, base: str, choose: random.Random) -> bool:
    """Change some of it, or nothing; whether it came into force."""
    text = base
    for old, new in choose.sample(CHANGES, choose.choice([0, 1, 1, 2])):
        text = text.replace(old, new)
    (door.folder / "doorward.yaml").write_text(text)
    assert door.doorward.reload is not None
    try:
        await door.doorward.reload.again(by="test", confirmed=True)
    except DoorwardError:
        return False
    return True


async def test_answers_and_records_are_those_of_a_gateway_without_memory(house: Build) -> None:
    """Random requests, ends of tasks, renewals, expiries and reloads: both give the same answer and the same record."""
    clock = TurnedClock()
    door = await house(clock=clock, denied="items.burn")
    listener, address = await beside(door)

    async def connect(which: int) -> RawClient:
        return RawClient(*await asyncio.open_connection(*[door.doorward.addresses[0], address][which].split(":")))

    clients = [await connect(0), await connect(1)]
    choose = random.Random(20261123)
    base, reloads = (door.folder / "doorward.yaml").read_text(), 0
    issued = [await door.issue("items.read"), await door.issue("items.read", "items.write")]
    answers: set[tuple[int, str | None]] = set()
    kinds = [
        ("/api/items", "items.read", (), "GET"),
        ("/api/items", 'items.read;reason="x"', (), "GET"),
        ("/api/items/1", "items.read", ("X-Custom: 1",), "GET"),
        ("/api/items/1", "items.read", ("Connection: X-Custom", "X-Custom: 1"), "GET"),
        ("/api/items?a=1", "items.read", (), "GET"),
        ("/api/items", "items.read", (), "HEAD"),
        ("/api/items", "items.write", (), "GET"),
        ("/api/items", None, (), "GET"),
        ("/api/items", "(bad", (), "GET"),
        ("/api/items/1", "items.burn", (), "DELETE"),
        ("/api/none", "items.read", (), "GET"),
        ("/other", "items.read", (), "GET"),
    ]
    for _ in range(900):
        door.doorward.ledger._book.flood = Flood()  # each refusal is recorded, none only counted
        event = choose.random()
        if event < 0.02:
            await door.tell(f"/tasks/{choose.choice(issued)['task']}/{choose.choice(['complete', 'fail'])}")
        elif event < 0.04:
            wanted = choose.choice([["items.read"], ["items.write"], ["items.read", "items.write"]])
            issued.append(await door.issue(*wanted, refusable=True) or issued[-1])
        elif event < 0.055:
            clock.ahead += choose.choice([5, 320])
            # One heartbeat reaches both; between two requests it must not matter to which of them it came first.
            await door.fresh()
            await asyncio.sleep(0.05)
        elif event < 0.1:
            reloads += await reload(door, base, choose)
        elif event < 0.11 and reloads:
            reloads += await reload(door, base, random.Random(0))
        token = choose.choice([*issued[-2:], issued[0]])["access_token"]
        path, intent, lines, method = choose.choice([*kinds[:6], *kinds])
        request = get(path, choose.choice([token] * 8 + [token[:-4] + "AAAA", None]), intent, *lines, method=method)
        head_only = request.startswith(b"HEAD")
        got = []
        for which, client in enumerate(clients):
            await client.send(request)
            answer = await client.answer(head_only=head_only)
            if answer.fields.get("connection") == "close":
                await client.close()
                clients[which] = await connect(which)
            code = answer.problem["code"] if answer.status >= 400 and not head_only else None
            got.append((answer.status, code, answer.body if answer.status < 400 else b""))
        assert got[0] == got[1], request
        answers.add(got[0][:2])
    assert reloads > 15
    assert {(200, None), (401, "token_revoked"), (401, "token_expired"), (403, "intent_mismatch"), (403, "denied")} <= answers
    assert {(404, "upstream_unknown"), (403, "intent_not_granted")} <= answers
    for client in clients:
        await client.close()
    await listener.drain()
    await door.stop()
    assert_twice(door)


def assert_twice(door: House) -> None:
    """Both wrote the same records, and the upstream saw each request the same from both."""
    requests, responses = door.exchanges()
    assert [seen(record) for record in requests[0::2]] == [seen(record) for record in requests[1::2]]
    assert [record["code"] for record in responses[0::2]] == [record["code"] for record in responses[1::2]]
    parsed = [record for record in requests if record["path"] is not None]
    assert [record["request_id"] for record in parsed] == [record["request_id"] for record in responses]
    for upstream_saw in zip(door.upstream.seen[0::2], door.upstream.seen[1::2], strict=True):
        first, second = (
            {k: v for k, v in each.fields.items() if k not in ("x-request-id", "traceparent")} for each in upstream_saw
        )
        assert first == second


def test_a_memory_is_bounded_and_admits_only_what_comes_twice() -> None:
    """A string that comes once leaves a hash; neither many nor long ones make it grow without end."""
    memory: Memory[int] = Memory()
    memory.keep(b"once", 1)
    assert memory.known.get(b"once") is None
    memory.keep(b"once", 1)
    assert memory.known.get(b"once") == 1
    for number in range(3 * ENTRIES):
        for _ in range(2):
            memory.keep(b"%d" % number, number)
        assert len(memory.known) <= ENTRIES
    for _ in range(2):
        memory.keep(b"x" * (LARGEST + 1), 1)
    assert memory.known.get(b"x" * (LARGEST + 1)) is None
    for number in range(200_000):
        memory.keep(b"n%d" % number, number)
    assert len(memory._seen) <= 16_384


async def test_the_memory_of_response_heads_is_bounded(house: Build) -> None:
    """An upstream whose heads are new again and again, as with a date, fills it only so far."""

    async def dated(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Second: %d\r\n\r\nhi" % (number // 2))
            number += 1

    door = await house(dated)
    token, client = await door.token(), await door.connect()
    heads = door.doorward.snapshot.relay._heads
    sizes = []
    for _ in range(2 * DATED + 20):
        await client.send(get("/api/items", token))
        assert (await client.answer()).status == 200
        sizes.append(len(heads.known))
    assert max(sizes) == DATED
    assert sizes[-1] < 20
