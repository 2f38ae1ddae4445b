"""An upstream that repeats its own secret, through a whole Doorward: nothing of it reaches the agent, the log or the record."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path

import pytest
from fakes.house import SECRET, Answer, Build, House, RawClient, ScriptedUpstream, get
from structlog.testing import capture_logs

from gateway.credentials.obtain import Credential
from gateway.model import Outcome

KEY = SECRET.encode()
MASK = b"*" * len(KEY)
KINDS = ("length", "chunked", "close")


def reply(head: bytes, *parts: bytes):
    """A script that answers every request with these bytes, each part in a segment of its own, and closes `close` bodies."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 " + head + b"\r\n\r\n")
            for part in parts:
                await writer.drain()
                await asyncio.sleep(0.005)
                writer.write(part)
            await writer.drain()
            if b"Connection: close" in head:
                return

    return script


def framed(kind: str, *parts: bytes) -> tuple[bytes, ...]:
    """The head and the parts of a body that is delimited so."""
    if kind == "length":
        return (b"200 OK\r\nContent-Length: %d" % sum(map(len, parts)), *parts)
    if kind == "close":
        return (b"200 OK\r\nConnection: close", *parts)
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part]
    return (b"200 OK\r\nTransfer-Encoding: chunked", *chunks, b"0\r\n\r\n")


async def ask(door: House, *lines: str, method: str = "GET") -> tuple[RawClient, Answer]:
    """One exchange on a new connection."""
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.read", *lines, method=method))
    return client, await client.answer(head_only=method == "HEAD")


async def recorded(door: House) -> dict:
    """The one response record, after it was seen that nothing that is kept on the disk holds the secret but its own file."""
    await door.stop()
    _, (response,) = door.exchanges()
    holders = [file.name for file in door.folder.rglob("*") if file.is_file() and KEY in file.read_bytes()]
    assert holders == ["secret"]
    return response


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [KEY, KEY.hex().encode(), b64encode(KEY)[:-2]], ids=["plain", "hex", "base64"])
async def test_a_secret_in_a_body_is_masked_counted_and_recorded(house: Build, kind: str, form: bytes) -> None:
    """In every framing and form; what surrounds it stays, and so does every length."""
    door = await house(reply(*framed(kind, b'{"key": "' + form[:7], form[7:] + b'"}')))
    _, answer = await ask(door)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.body == b'{"key": "' + b"*" * len(form) + b'"}'
    response = await recorded(door)
    assert (response["scrubbed"], response["sent"], response["ending"]) == (1, len(answer.body), "complete")
    assert door.doorward.snapshot.relay.reflections.counts == {("api", "key"): 1}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_secret_in_a_head_is_masked(house: Build, method: str) -> None:
    """In values, in names and in the reason; every time anew, also when the very same head has come before."""
    head = b"200 %b\r\nContent-Length: 0\r\nX-Echo: <%b>\r\nX-%b: 1" % (KEY, KEY, KEY)
    door = await house(reply(head))
    client = await door.connect()
    token = await door.token()
    for _ in range(4):
        await client.send(get("/api/items", token, method=method))
        raw = await client.reader.readuntil(b"\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 200 " + MASK + b"\r\n")
        assert b"\r\nX-Echo: <" + MASK + b">\r\nX-" + MASK + b": 1\r\n" in raw
        assert KEY not in raw
    await door.stop()
    assert [response["scrubbed"] for response in door.exchanges()[1]] == [3, 3, 3, 3]


async def test_a_secret_in_a_trailer_or_an_interim_head_is_masked(house: Build) -> None:
    """What goes on besides the final head and the content is searched too."""
    head = b"103 Early Hints\r\nLink: <%b>\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked" % KEY
    door = await house(reply(head, b"2\r\nok\r\n0\r\nX-Sum: <%b>\r\nX-Other: 1\r\n\r\n" % KEY))
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.read", "TE: trailers", "Connection: TE"))
    assert (await client.reader.readuntil(b"\r\n\r\n")).endswith(b"Link: <" + MASK + b">\r\n\r\n")
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await client.reader.readuntil(b"\r\n\r\n") == b"2\r\nok\r\n0\r\nX-Sum: <" + MASK + b">\r\n\r\n"
    assert (await recorded(door))["scrubbed"] == 2


@pytest.mark.parametrize("kind", ["chunked", "close"])
async def test_an_old_client_gets_a_masked_body_without_chunks(house: Build, kind: str) -> None:
    """An HTTP/1.0 caller cannot read chunks, so that only the content goes on."""
    door = await house(reply(*framed(kind, b"<" + KEY[:9], KEY[9:] + b">")))
    client = await door.connect()
    await client.send(get("/api/items", await door.token()).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    raw = await asyncio.wait_for(client.reader.read(), 10)
    assert raw.partition(b"\r\n\r\n")[2] == b"<" + MASK + b">"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_body_is_masked_at_every_seam(house: Build, kind: str) -> None:
    """1 MiB with the secret cut by reads and chunks at each of its bytes."""
    parts = [(b"%06d" % turn) * 5000 + KEY[: turn % 33] for turn in range(34)]
    tails = [KEY[turn % 33 :] + b"." for turn in range(34)]
    pieces = [piece for pair in zip(parts, tails, strict=True) for piece in pair]
    content = b"".join(pieces)
    assert len(content) > 1_000_000
    door = await house(reply(*framed(kind, *pieces)))
    _, answer = await ask(door)
    assert answer.body == content.replace(KEY, MASK)
    assert (await recorded(door))["scrubbed"] == 34


async def test_a_clean_answer_is_what_it_was(house: Build) -> None:
    """Byte for byte, and the record says that nothing was found."""
    body = bytes(range(256)) * 1000
    door = await house(reply(*framed("chunked", body[:100], body[100:])))
    _, answer = await ask(door)
    assert answer.body == body
    assert (await recorded(door))["scrubbed"] == 0


async def test_an_event_is_passed_on_before_the_next_one_comes(house: Build) -> None:
    """A stream is not delayed: the next event is sent only once the caller has the last one."""
    had = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            had.clear()
            writer.write(b"f\r\ndata: upstream\n\r\n1\r\n\n\r\n")
            await had.wait()
        writer.write(b"0\r\n\r\n")

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await client.reader.readuntil(b"\r\n\r\n")
    for _ in range(5):
        assert await asyncio.wait_for(client.reader.readexactly(26), 10) == b"f\r\ndata: upstream\n\r\n1\r\n\n\r\n"
        had.set()
    assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5", b"coded"),
        (b"200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\nConnection: close", b"coded"),
        (b"200 OK\r\nContent_Encoding: gzip\r\nContent-Length: 5", b"coded"),
        (b"200 OK\r\nConnection: Content-Encoding\r\nContent-Encoding: gzip\r\nContent-Length: 5", b"coded"),
        (b"200 OK\r\nTransfer-Encoding: gzip, chunked", b"5\r\ncoded\r\n0\r\n\r\n"),
        (b"206 Partial\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5", b"parts"),
        (b"206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 5", b"parts"),
    ],
)
async def test_what_cannot_be_searched_is_the_upstreams_failure(house: Build, head: bytes, body: bytes) -> None:
    """It was asked for plain content and for all of it; anything else is not passed on."""
    door = await house(reply(head, body))
    _, answer = await ask(door)
    assert (answer.status, answer.problem["code"]) == (502, "upstream_failed")
    response = await recorded(door)
    assert (response["status"], response["code"], response["scrubbed"]) == (502, "upstream_failed", 0)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5"),
        ("GET", b"304 Not Modified\r\nContent-Encoding: gzip"),
        ("GET", b"204 No Content"),
        ("GET", b"200 OK\r\nContent-Encoding: identity\r\nContent-Length: 0"),
    ],
)
async def test_where_there_is_no_body_nothing_is_refused(house: Build, method: str, head: bytes) -> None:
    """What a head says of content that is not sent hides nothing."""
    door = await house(reply(head))
    _, answer = await ask(door, method=method)
    assert answer.status == int(head[:3])


ASKING = ("Range: bytes=0-3", "If-Range: x", "Accept-Encoding: gzip")
ASKED = {
    "range": ["bytes=0-3"],
    "if-range": ["x"],
    "accept-encoding": ["gzip"],
}


@pytest.mark.parametrize(
    ("mode", "asked"),
    [("full", {"accept-encoding": ["identity"]}), ("headers", ASKED), ("none", ASKED)],
)
async def test_only_what_is_searched_is_asked_for_in_plain(house: Build, mode: str, asked: dict) -> None:
    """With `full` a caller gets no parts and no encoding; otherwise what it wants goes on as it came."""
    door = await house(upstream=f"scrub: {mode}")
    _, answer = await ask(door, *ASKING)
    assert answer.status == 200
    (seen,) = door.upstream.seen
    assert {name: value for name, value in seen.fields.items() if name in ASKED} == asked


@pytest.mark.parametrize("mode", ["full", "headers", "none"])
@pytest.mark.parametrize("lines", [("Range: bytes=0-1", "Range: bytes=2-3"), ("If_Range: x",)])
async def test_a_range_with_two_meanings_is_refused_in_every_mode(house: Build, mode: str, lines: tuple[str, ...]) -> None:
    """That a step reads it makes no difference to what it may look like."""
    door = await house(upstream=f"scrub: {mode}")
    _, answer = await ask(door, *lines)
    assert (answer.status, answer.problem["code"]) == (400, "request_malformed")


@pytest.mark.parametrize(("mode", "in_head", "scrubbed"), [("headers", MASK, 1), ("none", KEY, 0)])
async def test_an_operator_can_ask_for_less(house: Build, mode: str, in_head: bytes, scrubbed: int) -> None:
    """With `headers` bodies pass as they came, coded ones too; with `none` everything does."""
    door = await house(
        reply(b"206 Some\r\nX-Key: %b\r\nContent-Encoding: br\r\nContent-Length: 32" % KEY, KEY), upstream=f"scrub: {mode}"
    )
    _, answer = await ask(door)
    assert (answer.status, answer.fields["content-encoding"], answer.body) == (206, "br", KEY)
    assert answer.fields["x-key"] == in_head.decode()
    assert (await recorded(door))["scrubbed"] == scrubbed


async def test_an_answer_is_searched_for_the_secret_of_its_own_request(house: Build) -> None:
    """A secret that is exchanged meanwhile is still masked for a request that took it along; the next has the new one."""
    go_on = asyncio.Event()
    later = "another-secret-0123456789"

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            await go_on.wait()
            body = KEY + b" " + later.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    door = await house(script)
    first, second, token = await door.connect(), await door.connect(), await door.token()
    await first.send(get("/api/items", token))
    while not door.upstream.seen:
        await asyncio.sleep(0.01)
    (door.folder / "secret").write_text(later)
    await asyncio.sleep(1.1)  # the file is looked at once a second
    await second.send(get("/api/items", token))
    while len(door.upstream.seen) < 2:
        await asyncio.sleep(0.01)
    go_on.set()
    assert (await first.answer()).body == MASK + b" " + later.encode()
    assert (await second.answer()).body == KEY + b" " + b"*" * len(later)


async def test_a_secret_that_is_too_short_to_be_kept_out_is_not_sent(house: Build, tmp_path: Path) -> None:
    """Its requests are refused and the operator is told at start; with `none` it may be as short as it is."""
    (tmp_path / "secret").write_text("short")
    door = await house()
    assert any("fewer than 8 bytes" in warning for warning in door.doorward.warnings)
    _, answer = await ask(door)
    assert (answer.status, answer.problem["code"]) == (503, "credential_unavailable")
    assert door.upstream.seen == []
    await door.stop()
    assert not any("short" in json.dumps(record) for record in door.records() if record["type"] in ("request", "response"))


async def test_a_short_secret_serves_an_upstream_that_is_not_scrubbed(house: Build, tmp_path: Path) -> None:
    """The operator has said that its answers may be passed on unseen."""
    (tmp_path / "secret").write_text("short")
    door = await house(upstream="scrub: none")
    assert (await ask(door))[1].status == 200


class Failing:
    """A scrubber with a fault: of each body it passes the first bytes on, and fails at later ones."""

    def __init__(self) -> None:
        self.calls = 0

    def head(self, raw: bytes, _outcome: Outcome) -> bytes:
        return raw

    def stream(self, _outcome: Outcome) -> "Failing":
        return self

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        self.calls += 1
        if last or self.calls > 2:
            raise ValueError(KEY)
        return content


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_while_scrubbing_cuts_the_answer(house: Build, kind: str) -> None:
    """Whatever goes wrong, nothing goes on unseen, and the caller can tell that the answer is not whole."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    door = await house(reply(*framed(kind, *([b"text "] * 8))))
    managed = door.doorward.snapshot.credentials.managed["key"]
    good = managed.credential()
    managed._credential = Credential(good.name, good.version, good.places, good.lines, Failing())
    _, answer = await ask(door)
    assert not answer.whole
    response = await recorded(door)
    assert (response["ending"], response["code"]) == ("cut", "upstream_failed")


async def test_operators_are_told_without_the_value(house: Build) -> None:
    """One warning names upstream and credential."""
    door = await house(reply(*framed("length", KEY)))
    with capture_logs() as told:
        for _ in range(3):
            await ask(door)
    (warning,) = told
    assert (warning["event"], warning["upstream"], warning["credential"]) == ("secret_reflected", "api", "key")
    assert SECRET not in str(warning)
