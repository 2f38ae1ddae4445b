"""Limits on real sockets: exactly so many pass, what is refused says why, and no byte passes that was not counted before."""

import asyncio
import contextlib
from base64 import b64encode
from collections import Counter
from hashlib import sha1

import pytest
from fakes.house import Build, RawClient, ScriptedUpstream, answer_ok, get

from gateway.app import Doorward
from gateway.settings.load import load

KIB = 1024
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def limited(limits: str) -> dict[str, str]:
    """The change of the configuration that puts limits on the grant."""
    return {"declare": f"required\n    limits: {limits}"}


def sending(body: bytes, framing: str):
    """An upstream that answers every request with this body, framed this way."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            if framing == "length":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            elif framing == "chunks":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for at in range(0, len(body), 10_000):
                    part = body[at : at + 10_000]
                    writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
                await writer.drain()
                return
            await writer.drain()

    return script


def post(token: str, body: bytes) -> bytes:
    head = [
        "POST /api/items HTTP/1.1", "Host: doorward.test", f"Content-Length: {len(body)}",
        f"Authorization: Bearer {token}", "Agent-Intent: items.write",
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode() + body


async def status(client: RawClient, token: str) -> int:
    await client.send(get("/api/items", token))
    return (await client.answer()).status


async def test_a_task_is_let_through_exactly_so_often(house: Build) -> None:
    """However many ask at once; another task has a count of its own, and the upstream saw no more."""
    it = await house(**limited("{requests: 50}"))
    token = await it.token("items.read")

    async def client() -> list[int]:
        connection = await it.connect()
        return [await status(connection, token) for _ in range(10)]

    seen = Counter(code for codes in await asyncio.gather(*(client() for _ in range(16))) for code in codes)
    assert seen == {200: 50, 429: 110}
    assert len(it.upstream.seen) == 50
    assert await status(await it.connect(), await it.token("items.read")) == 200


async def test_all_tasks_of_an_agent_can_count_together(house: Build) -> None:
    """Then a new task does not help."""
    it = await house(**limited("{requests: 3, per: agent}"))
    client = await it.connect()
    assert [await status(client, await it.token("items.read")) for _ in range(5)] == [200, 200, 200, 429, 429]


async def test_after_a_restart_the_count_goes_on(house: Build) -> None:
    """What was spent stays spent, and what was lent and not spent came back when the gateway stopped."""
    it = await house(**limited("{requests: 10}"))
    token = await it.token("items.read")
    client = await it.connect()
    assert [await status(client, token) for _ in range(4)] == [200] * 4
    await it.stop()
    it.doorward = Doorward(load(it.folder / "doorward.yaml"), it.clock)
    await it.doorward.start()
    it.stack.push_async_callback(it.doorward.stop)
    client = await it.connect()
    assert [await status(client, token) for _ in range(8)] == [200] * 6 + [429] * 2


@pytest.mark.parametrize(
    ("limits", "sentence", "cause", "after"),
    [
        ("{requests: 1}", "All 1 requests of this task under the grant 'the agent reads and writes' are used.",
         "requests of this task under the grant 'the agent reads and writes'", 3600),
        ("{rate: 1/h, per: agent}",
         "No more than 1 requests of this agent under the grant 'the agent reads and writes' are let through in 3600 seconds.",
         "rate of this agent under the grant 'the agent reads and writes'", None),
        ("{bytes: 5B, per: tenant}", "All 5 bytes of this tenant under the grant 'the agent reads and writes' are used.",
         "bytes of this tenant under the grant 'the agent reads and writes'", None),
    ],
)  # fmt: skip
async def test_every_limit_is_refused_and_recorded_by_its_name(
    house: Build, limits: str, sentence: str, cause: str, after: int | None
) -> None:
    """The agent reads a sentence and when to come back; the closing record names the limit."""
    it = await house(**limited(limits))
    token = await it.token("items.write")
    client = await it.connect()
    await client.send(post(token, b""))
    assert (await client.answer()).status == 200
    client = await it.connect()
    await client.send(post(token, b"x"))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"], answer.problem["detail"]) == (429, "limit_exceeded", sentence)
    assert 1 <= int(answer.fields["retry-after"]) <= 86400
    assert after in (None, int(answer.fields["retry-after"]))
    await it.stop()
    assert it.exchanges()[1][-1]["error"] == cause


async def test_places_of_a_grant_are_given_back(house: Build) -> None:
    """One too many is refused; when one has ended, another is let through."""
    go_on = asyncio.Event()

    async def slow(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    it = await house(slow, **limited("{concurrent: 2}"))
    token = await it.token("items.read")
    clients = [await it.connect() for _ in range(2)]
    for client in clients:
        await client.send(get("/api/items", token))
    while len(it.upstream.seen) < 2:
        await asyncio.sleep(0.01)
    answer_to_third = await it.connect()
    assert await status(answer_to_third, token) == 429
    go_on.set()
    assert [(await client.answer()).status for client in clients] == [200, 200]
    assert await status(answer_to_third, token) == 200
    assert it.doorward.snapshot.leases.in_use == 0


async def test_an_upstream_gets_only_so_many_in_a_time(house: Build) -> None:
    """Of all callers together; in the next slice there are more."""
    it = await house(upstream="limits: {rate: 4/m}")
    clients = [(await it.connect(), await it.token("items.read")) for _ in range(2)]
    seen = Counter([await status(client, token) for _ in range(4) for client, token in clients])
    assert seen[200] in (2, 4)  # the beginning of a slice may fall in between
    assert seen[429] == 8 - seen[200]
    assert len(it.upstream.seen) == seen[200]


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
@pytest.mark.parametrize("scrub", ["full", "none"])
async def test_a_response_within_the_limit_passes_unchanged(house: Build, framing: str, scrub: str) -> None:
    """Through many leases, of which none has room for all of it."""
    body = bytes(range(256)) * 16 * KIB
    it = await house(sending(body, framing), upstream=f"scrub: {scrub}", **limited("{bytes: 64MiB}"))
    client = await it.connect()
    await client.send(get("/api/items", await it.token()))
    answer = await client.answer()
    assert answer.whole
    assert answer.body == body
    await it.stop()
    assert it.exchanges()[1][0]["sent"] == len(body)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
async def test_a_response_that_would_pass_the_limit_is_cut(house: Build, framing: str) -> None:
    """No byte of it passes beyond; the caller can tell, the record says it, and what is left of the limit can be used."""
    it = await house(sending(b"x" * 300 * KIB, framing), upstream="scrub: none", **limited("{bytes: 1000KiB}"))
    token = await it.token()
    whole = passed = 0
    for _ in range(4):
        client = await it.connect()
        await client.send(get("/api/items", token))
        answer = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            answer = await client.answer()
        if answer is not None and answer.whole:
            whole += 1
            passed += len(answer.body)
    assert whole == 3
    await it.stop()
    last = it.exchanges()[1][-1]
    assert (last["code"], last["ending"]) == ("limit_exceeded", "cut")
    assert last["error"] == "bytes of this task under the grant 'the agent reads and writes'"
    assert passed + last["sent"] <= 1000 * KIB
    assert passed == 900 * KIB


async def test_a_request_body_counts_and_is_cut_as_well(house: Build) -> None:
    """Both directions share the limit, and a request whose body would pass it never reaches the upstream whole."""
    it = await house(answer_ok, upstream="scrub: none", **limited("{bytes: 1000KiB}"))
    token = await it.token()
    body = b"y" * 400 * KIB
    client = await it.connect()
    await client.send(post(token, body))
    assert (await client.answer()).body == body
    client = await it.connect()
    with contextlib.suppress(ConnectionError):
        await client.send(post(token, body))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (429, "limit_exceeded")
    assert len(it.upstream.seen) == 1
    await it.stop()
    responses = it.exchanges()[1]
    assert responses[0]["sent"] + responses[0]["received"] == 800 * KIB


async def test_slow_readers_are_waited_for_with_a_meter_too(house: Build) -> None:
    """What waits for the caller is bounded, and nothing is lost or doubled when a lease comes while the caller is full."""
    body = bytes(range(256)) * 64 * KIB
    it = await house(sending(body, "length"), upstream="scrub: none", **limited("{bytes: 64MiB}"))
    client = await it.connect()
    await client.send(get("/api/items", await it.token()))
    await asyncio.sleep(0.3)
    answer = await client.answer()
    assert answer.body == body


async def test_what_a_websocket_says_counts(house: Build) -> None:
    """Both sides of a tunnel spend from the limit, and the tunnel ends where it is used up."""

    async def echo(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = await upstream.request(reader)
        key = exchange.fields["sec-websocket-key"][0]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % b64encode(sha1((key + GUID).encode()).digest())  # noqa: S324 RFC 6455 §1.3
        )
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    it = await house(echo, upstream="scrub: none", **limited("{bytes: 4000B}"))
    client = await it.connect()
    token = await it.token("items.watch")
    await client.send(
        get(
            "/api/items/1/events", token, "items.watch", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
    )  # fmt: skip
    await client.reader.readuntil(b"\r\n\r\n")
    for _ in range(4):
        await client.send(b"z" * 500)
        assert await client.reader.readexactly(500) == b"z" * 500
    with contextlib.suppress(ConnectionError):
        await client.send(b"z" * 500)
        assert await client.reader.read(500) == b""
    await it.stop()
    last = it.exchanges()[1][-1]
    assert (last["code"], last["received"] >= 2000, last["sent"]) == ("limit_exceeded", True, 2000)
