"""Sessions and streams of MCP: their names are good for one task alone, and what came after an event can be asked for."""

import asyncio
import json

from fakes.mcp_wire import answering, as_json, ask, call, message, post, result

RAW = "session-of-the-server"
INITIALIZE = message("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}})


def with_session(told):
    """Name a session when one begins, and answer everything."""
    lines = [f"Mcp-Session-Id: {RAW}"] if told and told.get("method") == "initialize" else []
    return as_json({"jsonrpc": "2.0", "id": (told or {}).get("id"), "result": {}}, *lines)


def named(answer) -> str:
    return answer.fields["mcp-session-id"]


def seen(house, number: int) -> list[str]:
    return house.upstream.seen[number].fields.get("mcp-session-id", [])


async def test_a_session_is_known_by_another_name_here(tracker):
    """The server's own name never leaves, the client's never goes in, and each stands for the other."""
    house = await tracker(answering(with_session))
    token = await house.token("issues.read")
    begun = await ask(house, post(token, INITIALIZE))
    assert RAW not in named(begun)
    again = await ask(house, post(token, message("tools/list"), f"Mcp-Session-Id: {named(begun)}"))
    assert again.status == 200
    assert seen(house, 1) == [RAW]
    for method in ("GET", "DELETE"):
        request = post(token, b"", f"Mcp-Session-Id: {named(begun)}").replace(b"POST", method.encode(), 1)
        assert (await ask(house, request.replace(b"Content-Type: application/json\r\n", b""))).status == 200
    assert [seen(house, number) for number in (2, 3)] == [[RAW], [RAW]]


async def test_legacy_session_is_bound_to_its_task(tracker):
    """A session of another task is unknown to this one, though it is the same agent: 404, so that a client begins anew."""
    house = await tracker(answering(with_session))
    mine, other = await house.token("issues.read"), await house.token("issues.read")
    name = named(await ask(house, post(mine, INITIALIZE)))
    answer = await ask(house, post(other, call("look"), f"Mcp-Session-Id: {name}"))
    assert (answer.status, json.loads(answer.body)["error"]["data"]["code"]) == (404, "session_unknown")
    assert len(house.upstream.seen) == 1


async def test_a_session_that_was_not_given_out_is_unknown(tracker):
    """Neither the server's own name, nor a changed one, nor one in other letters opens anything."""
    house = await tracker(answering(with_session))
    token = await house.token("issues.read")
    name = named(await ask(house, post(token, INITIALIZE)))
    changed = name[:-2] + ("AA" if name[-2:] != "AA" else "QQ")
    for tried in (RAW, changed, name.lower(), name + "=", "A" * 40, "x"):
        answer = await ask(house, post(token, call("look"), f"Mcp-Session-Id: {tried}"))
        assert answer.status == 404, tried
    twice = await ask(house, post(token, call("look"), f"Mcp-Session-Id: {name}", f"Mcp-Session-Id: {name}"))
    assert twice.status == 400
    assert len(house.upstream.seen) == 1


async def test_a_session_outlives_a_renewed_token(tracker):
    """The same task keeps its session, whichever of its tokens it shows."""
    house = await tracker(answering(with_session))
    first = await house.issue("issues.read")
    name = named(await ask(house, post(first["access_token"], INITIALIZE)))
    task = [line for line in first if "task" in line]
    renewed = await house.issue("issues.read", task=first[task[0]])
    assert (await ask(house, post(renewed["access_token"], call("look"), f"Mcp-Session-Id: {name}"))).status == 200
    assert seen(house, 1) == [RAW]


async def test_an_answer_to_the_server_passes_in_its_session(tracker):
    """What the client answers to a request of the server is passed on, for only the server knows what it asked."""
    house = await tracker(answering(with_session))
    token = await house.token("issues.read")
    name = named(await ask(house, post(token, INITIALIZE)))
    told = {"jsonrpc": "2.0", "id": "srv-1", "result": {"action": "accept", "content": {}}}
    answer = await ask(house, post(token, told, f"Mcp-Session-Id: {name}", "MCP-Protocol-Version: 2025-11-25"))
    assert answer.status == 200
    assert json.loads(house.upstream.seen[1].body) == told
    refused = await ask(house, post(token, told, "MCP-Protocol-Version: 2026-07-28"))
    assert refused.status == 400


EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nMcp-Session-Id: "
    + RAW.encode()
    + b"\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_what_came_after_an_event_is_asked_for_by_its_sealed_id(tracker):
    """Ids of events are sealed like names of sessions: one task's id opens nothing for another, and the server gets its own."""
    stream = EVENTS + chunk(b'id: 17\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n') + b"0\r\n\r\n"
    house = await tracker(answering(stream))
    mine, other = await house.token("issues.read"), await house.token("issues.read")
    listening = b"GET /tracker HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\nAuthorization: Bearer "
    answer = await ask(house, listening + mine.encode() + b"\r\n\r\n")
    line = answer.body.split(b"\n")[0]
    assert line.startswith(b"id: ")
    assert line.removeprefix(b"id: ") != b"17"
    last = b"\r\nLast-Event-ID: " + line.removeprefix(b"id: ")
    assert (await ask(house, listening + mine.encode() + last + b"\r\n\r\n")).status == 200
    assert house.upstream.seen[1].fields["last-event-id"] == ["17"]
    assert (await ask(house, listening + other.encode() + last + b"\r\n\r\n")).status == 404
    assert (await ask(house, listening + mine.encode() + b"\r\nLast-Event-ID: 17\r\n\r\n")).status == 404
    assert len(house.upstream.seen) == 2


async def test_sse_is_not_buffered(tracker):
    """Each event reaches the client before the server says the next one, and so do comments that keep a stream alive."""
    pieces = [b": ping\n\n", b"data: {", b'"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n']
    heard = asyncio.Event()

    async def script(upstream, reader, writer):
        await upstream.request(reader)
        writer.write(EVENTS)
        for piece in pieces:
            heard.clear()
            writer.write(chunk(piece))
            await writer.drain()
            await heard.wait()
        writer.write(b"0\r\n\r\n")

    house = await tracker(script)
    client = await house.connect()
    await client.send(post(await house.token("issues.read"), call("look")))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"text/event-stream" in head
    for piece in pieces:
        size = int(await asyncio.wait_for(client.reader.readuntil(b"\r\n"), 10), 16)
        assert await client.reader.readexactly(size + 2) == piece + b"\r\n"
        heard.set()


async def test_a_resumed_stream_holds_no_list_that_was_cut(tracker):
    """A list that is asked for again by the id of an event is cut like the first time."""
    listed = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "look"}, {"name": "burn"}]}}).encode()
    house = await tracker(answering(EVENTS + chunk(b"data: " + listed + b"\r\n\r\n") + b"0\r\n\r\n"))
    token = await house.token("issues.read")
    request = b"GET /tracker HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\nAuthorization: Bearer " + token.encode()
    answer = await ask(house, request + b"\r\n\r\n")
    assert b"look" in answer.body
    assert b"burn" not in answer.body


async def test_a_session_that_is_named_too_long_is_no_answer(tracker):
    """A name that cannot be sealed is not passed on."""
    house = await tracker(answering(as_json({"jsonrpc": "2.0", "id": 1, "result": {}}, "Mcp-Session-Id: " + "x" * 2049)))
    assert (await ask(house, post(await house.token("issues.read"), INITIALIZE))).status == 502


async def test_no_interim_response_tells_the_servers_own_name(tracker):
    """MCP knows none, so none passes by what reads the answers."""

    async def script(upstream, reader, writer):
        await upstream.request(reader)
        writer.write(f"HTTP/1.1 103 Early Hints\r\nMcp-Session-Id: {RAW}\r\n\r\n".encode() + with_session({"id": 1}))
        await writer.drain()

    house = await tracker(script)
    answer = await ask(house, post(await house.token("issues.read"), message("ping")))
    assert answer.status == 200
    assert RAW not in str(answer.fields)


async def test_free_methods_need_a_token_with_an_intent_of_the_upstream(tracker):
    """Setting up needs no declaration, but a token; one without an intent here is refused, and a wrong declaration too."""
    house = await tracker(answering(result({})))
    token = await house.token("issues.read")
    for method in (
        "initialize",
        "ping",
        "server/discover",
        "logging/setLevel",
        "notifications/initialized",
        "notifications/cancelled",
    ):
        asked = message(method, {}, None if method.startswith("notifications") else 1)
        assert (await ask(house, post(token, asked))).status == 200, method
    assert (await ask(house, post(token, message("ping"), "Agent-Intent: issues.write"))).status == 403
    assert (await ask(house, post(token, message("ping"), "Agent-Intent: issues.read"))).status == 200
    assert (await ask(house, post("dwt_nothing", message("ping")))).status == 401
    await house.stop()
    requests, _ = house.exchanges()
    recorded = [record["mcp"][0]["method"] for record in requests if record["decision"] == "allow"]
    assert recorded[:3] == ["initialize", "ping", "server/discover"]
    assert len(recorded) == 7
