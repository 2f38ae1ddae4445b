"""What an upstream says over an open WebSocket, through a whole Doorward: no secret comes back, and nothing clean waits."""

import asyncio

import pytest
from fakes.house import SECRET, Build, Exchange, House, RawClient, Script, ScriptedUpstream, get
from fakes.websocket import frame

HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"  # RFC 6455 §1.3
)


def saying(*said: bytes) -> Script:
    """Accepts and says these things, each after the first only when a byte was heard."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.seen.append(Exchange((await reader.readuntil(b"\r\n\r\n"))[:-4], b""))
        writer.write(ACCEPTED)
        for each in said:
            writer.write(each)
            await reader.readexactly(1)
        await reader.read()

    return script


async def opened_in(door: House) -> RawClient:
    """A client whose WebSocket is open."""
    client = await door.connect()
    await client.send(get("/api/items/7/events", await door.token("items.watch"), "items.watch", *HANDSHAKE, KEY))
    assert (await client.answer(head_only=True)).status == 101
    return client


async def heard(client: RawClient, length: int) -> bytes:
    return await asyncio.wait_for(client.reader.readexactly(length), 10)


async def closing_record(door: House) -> dict:
    await door.stop()
    _, (response,) = door.exchanges()
    return response


@pytest.mark.parametrize(("upstream", "masked"), [("scrub: full", True), ("scrub: headers", False), ("scrub: none", False)])
async def test_the_secret_does_not_come_back_in_a_message(house: Build, upstream: str, *, masked: bool) -> None:
    """Not in one frame and not in two of one message; what looks like its beginning keeps no message waiting."""
    secret = SECRET.encode()
    begins = frame(b"ends with " + secret[:8])
    whole = frame(b"key: " + secret), frame(b"key: " + b"*" * len(secret))
    parts = (
        frame(secret[:7], last=False) + frame(secret[7:], 0),
        frame(b"*" * 7, last=False) + frame(b"*" * (len(secret) - 7), 0),
    )
    door = await house(saying(begins, whole[0], parts[0]), upstream=upstream)
    client = await opened_in(door)
    assert await heard(client, len(begins)) == begins
    for said, passed in (whole, parts):
        await client.send(b".")
        assert await heard(client, len(said)) == (passed if masked else said)
    await client.close()
    response = await closing_record(door)
    assert response["scrubbed"] == (2 if masked else 0)
    assert (response["received"], response["sent"]) == (2, len(begins) + len(whole[0]) + len(parts[0]))


async def test_what_is_no_frame_is_not_passed_on(house: Build) -> None:
    """What cannot be searched ends it, and the record says that the upstream failed."""
    door = await house(saying(frame(b"hello"), b"\xc1\x05later"))
    client = await opened_in(door)
    assert await heard(client, 7) == frame(b"hello")
    await client.send(b".")
    assert await client.ended()
    await client.close()
    response = await closing_record(door)
    assert (response["ending"], response["code"], response["sent"]) == ("cut", "upstream_failed", 7)
