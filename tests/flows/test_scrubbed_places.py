"""An upstream that repeats its secret wherever an answer has room, in every form: nothing of it reaches the caller."""

import asyncio
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from fakes.house import SECRET, Build, RawClient, ScriptedUpstream, get
from fakes.websocket import ACCEPTED, asking, frame, took_handshake

PLAIN = SECRET.encode()
FORMS = {
    "plain": PLAIN,
    "hexadecimal": PLAIN.hex().encode(),
    "capital hexadecimal": PLAIN.hex().upper().encode(),
    "percent": "".join(f"%{byte:02X}" for byte in PLAIN).encode(),
    "small percent": "".join(f"%{byte:02x}" for byte in PLAIN).encode(),
    "as libraries do it": quote(SECRET).encode(),
    **{f"base64 behind {size} bytes": b64encode(b"k:" + b"x" * size + PLAIN + b"!") for size in range(3)},
    **{f"base64 for URLs behind {size} bytes": urlsafe_b64encode(b"\xff" * size + PLAIN) for size in range(3)},
}


def traces() -> list[bytes]:
    """Twelve bytes out of the middle of each form: none of them may come through."""
    return [form[len(form) // 2 - 6 : len(form) // 2 + 6] for form in FORMS.values()]


def everywhere(form: bytes) -> dict[str, bytes]:
    """Whole answers of an upstream, each with the form in another place."""
    ok, end = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\nConnection: close\r\n\r\nok"
    chunks = b"".join(b"1;%b\r\n%c\r\n" % (form, byte) for byte in form) + b"0\r\n"
    return {
        "reason": b"HTTP/1.1 200 " + form + b"\r\n" + end,
        "header": ok + b"X-Echo: v=" + form + b"; q\r\n" + end,
        "header of a case of its own": ok + b"X-ECHO:" + form + b"\r\n" + end,
        "challenge": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Key realm=" + form + b"\r\n" + end,
        "cookie": ok + b"Set-Cookie: key=" + form + b"\r\n" + end,
        "redirect": b"HTTP/1.1 302 Found\r\nLocation: /?key=" + form + b"\r\n" + end,
        "hint": b"HTTP/1.1 103 " + form + b"\r\nLink: </" + form + b">\r\n\r\n" + ok + end,
        "many hints": (b"HTTP/1.1 102 Processing\r\nX: " + form + b"\r\n\r\n") * 3 + ok + end,
        "body": ok + b"Content-Length: %d\r\n\r\n" % len(form) + form,
        "error": b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n{" + form + b"}",
        "old": b"HTTP/1.0 200 OK\r\n\r\n" + form,
        "chunks of one byte": ok + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"\r\n",
        "trailer": ok + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: " + form + b"\r\n\r\n",
        "unannounced trailer": ok + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: " + form + b"\r\n\r\n",
        "broken chunk": ok + b"Transfer-Encoding: chunked\r\n\r\n" + form + b"\r\n",
        "broken header": ok + b"X\x01: " + form + b"\r\n" + end,
        "folded header": ok + b"X: y\r\n " + form + b"\r\n" + end,
        "no answer": form + b"\r\n\r\n",
        "cut": ok + b"Content-Length: 9999\r\n\r\n" + form,
        "beyond the end": ok + b"Content-Length: 2\r\n\r\nok" + form,
        "coded": ok + b"Content-Encoding: gzip\r\n" + b"Content-Length: %d\r\n\r\n" % len(form) + form,
        "part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n" % len(form) + form,
        "switch": b"HTTP/1.1 101 " + form + b"\r\nUpgrade: " + form + b"\r\nConnection: upgrade\r\n\r\n" + form,
    }


async def whatever_comes(client: RawClient) -> bytes:
    """Everything up to the end, however the connection ends."""
    got = b""
    try:
        while piece := await asyncio.wait_for(client.reader.read(65536), 10):
            got += piece
    except ConnectionError:
        pass
    return got


@pytest.mark.parametrize("place", list(everywhere(b"")))
async def test_no_form_comes_back_from_any_place(house: Build, place: str) -> None:
    """All that an operator can let pass is let pass; what is refused instead repeats nothing either."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = await upstream.request(reader)
        writer.write(everywhere(FORMS[exchange.fields["x-form"][0]])[place])
        await writer.drain()

    door = await house(script, upstream="pass: [set-cookie, www-authenticate]")
    token = await door.token()
    for name in FORMS:
        client = await door.connect()
        more = ("TE: trailers", "Connection: close, TE", f"X-Form: {name}")
        await client.send(get("/api/items", token, "items.read", *more))
        got = await whatever_comes(client)
        assert got.startswith(b"HTTP/1.1 "), name
        assert not [trace for trace in traces() if trace in got], (place, name)
        await client.close()
    await door.stop()
    log = (door.folder / "audit.jsonl").read_bytes()
    assert not [trace for trace in traces() if trace in log]


@pytest.mark.parametrize("name", list(FORMS))
async def test_no_form_comes_back_over_a_websocket(house: Build, name: str) -> None:
    """In messages cut into frames of one byte, with control frames in between that say a part of it too."""
    form = FORMS[name]
    said = frame(b"", 1, last=False)
    for at, byte in enumerate(form):
        said += frame(bytes([byte]), 0, last=at == len(form) - 1) + frame(b"ping", 9)
    said += frame(form[:125], 9) + frame(form, 2) + frame(b"\x03\xe8" + form[:123], 8)

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"X-Echo: " + form + b"\r\n\r\n")
        for at in range(0, len(said), 3):
            writer.write(said[at : at + 3])
            await asyncio.sleep(0)

    door = await house(script)
    client = await door.connect()
    await client.send(asking(await door.token("items.watch")))
    got = await whatever_comes(client)
    head, _, frames = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert len(frames) == len(said)
    content = b"".join(frames[at : at + 1] for at in range(4, 2 + 9 * len(form), 9))
    assert not [trace for trace in traces() if trace in got or trace in content]
