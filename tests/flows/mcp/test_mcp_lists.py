"""Lists of a server of MCP are cut to what the task may use, in every form in which they come, or not given out."""

import json

import pytest
from fakes.house import SECRET
from fakes.mcp_house import DENIALS
from fakes.mcp_wire import answering, as_json, ask, message, post, result

from gateway.intent.answers import LONGEST_LIST

TOOLS = [{"name": name, "inputSchema": {}} for name in ("look", "write", "burn", "unknown", "lo ok")]
LISTED = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS, "nextCursor": "c", "cacheScope": "public", "ttlMs": 5}}
ASKED = message("tools/list")


def names(body: bytes) -> list[str]:
    return [tool["name"] for tool in json.loads(body)["result"]["tools"]]


def events(*contents: bytes, ending: bytes = b"\n") -> bytes:
    body = b"".join(b"event: message" + ending + b"data: " + content + ending + ending for content in contents)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def listed(tracker, answer: bytes, *intents: str, **changes):
    house = await tracker(answering(answer), **changes)
    return house, await ask(house, post(await house.token(*(intents or ("issues.read",))), ASKED))


async def test_list_filtering_in_json(tracker):
    """What is left is what the task may use; the cursor stays, nobody else may keep the list, and the length is right."""
    house, answer = await listed(tracker, as_json(LISTED))
    assert names(answer.body) == ["look"]
    told = json.loads(answer.body)["result"]
    assert (told["nextCursor"], told["cacheScope"], told["ttlMs"]) == ("c", "private", 5)
    assert int(answer.fields["content-length"]) == len(answer.body)
    await house.stop()
    _, (closed,) = house.exchanges()
    assert closed["mcp"] == {"endings": [], "hidden": 4}
    assert closed["sent"] == len(answer.body)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
async def test_list_filtering_in_events(tracker, ending):
    """The event with the list is cut, and what comes beside it stays as it is."""
    noted = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"tools"}}'
    _, answer = await listed(tracker, events(noted, json.dumps(LISTED).encode(), ending=ending))
    lines = [line.removeprefix(b"data: ") for line in answer.body.splitlines() if line.startswith(b"data: ")]
    assert lines[0] == noted
    assert names(lines[1]) == ["look"]


async def test_a_list_over_several_lines_of_data_is_cut(tracker):
    """An event is what its lines say together."""
    text = json.dumps(LISTED, indent=1).encode()
    body = b"".join(b"data: " + line + b"\n" for line in text.split(b"\n")) + b"\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    _, answer = await listed(tracker, answer)
    assert names(answer.body.removeprefix(b"data: ")) == ["look"]


async def test_a_list_whose_name_is_escaped_is_cut(tracker):
    """A spelling by which a list could pass unseen is read."""
    text = json.dumps(LISTED).replace('"tools"', '"t\\u006fols"').encode()
    _, answer = await listed(tracker, events(text))
    assert b"burn" not in answer.body
    assert b"look" in answer.body


async def test_a_list_that_is_wholly_usable_passes_as_it_came(tracker):
    """Nothing is written anew where nothing was taken out."""
    text = b'{ "jsonrpc":"2.0","id":1, "result":{"tools":[{"name":"look"}]} }'
    _, answer = await listed(tracker, as_json(text))
    assert answer.body == text


async def test_lists_show_what_each_token_may_use(tracker):
    """Two intents show the tools of both; a denied one shows nothing, whatever the token carries."""
    _, answer = await listed(tracker, as_json(LISTED), "issues.read", "issues.write")
    assert names(answer.body) == ["look", "write"]


async def test_a_conditional_denial_hides_nothing(tracker):
    """Whether it applies is known only with the arguments, so the tool is listed and each call is judged."""
    denials = "  - {name: not number one, intents: [issues.read], when: 'tool.arguments.issue == 1'}"
    _, answer = await listed(tracker, as_json(LISTED), denials=denials)
    assert names(answer.body) == ["look"]


async def test_the_other_lists_are_cut_as_well(tracker):
    """Prompts by name, resources by URI, templates by what they can become."""
    everything = {
        "prompts": [{"name": "review"}, {"name": "gossip"}],
        "resources": [{"uri": "note://boards/rain"}, {"uri": "note://boards/secrets"}, {"name": "no uri"}, "nothing"],
        "resourceTemplates": [{"uriTemplate": "note://people/{name}"}, {"uriTemplate": "note://boards/{+any}"}, {"uriTemplate": "file:///{x}"}],
    }  # fmt: skip
    house = await tracker(answering(result(everything)))
    token = await house.token("issues.read")
    for method in ("prompts/list", "resources/list", "resources/templates/list"):
        told = json.loads((await ask(house, post(token, message(method)))).body)["result"]
        assert told["prompts"] == [{"name": "review"}]
        assert told["resources"] == [{"uri": "note://boards/rain"}]
        assert told["resourceTemplates"] == [{"uriTemplate": "note://people/{name}"}]


async def test_an_error_of_the_server_passes(tracker):
    """Also with a status of its own."""
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "no tools today"}}
    for status in ("200 OK", "500 Internal Server Error"):
        house = await tracker(answering(as_json(error, status=status)))
        answer = await ask(house, post(await house.token("issues.read"), ASKED))
        assert (answer.status, json.loads(answer.body)) == (int(status[:3]), error)
        await house.stop()


@pytest.mark.parametrize(
    "answer",
    [
        as_json(b'{"result":{"tools":[{"name":"burn"}]}'),
        as_json(json.dumps(LISTED).encode()).replace(b"application/json", b"text/html"),
        as_json(LISTED, "Content-Encoding: gzip"),
        as_json(b'{"tools":"' + b"x" * LONGEST_LIST + b'"}'),
        as_json(json.dumps(LISTED).encode("utf-16-le")),
        as_json(json.dumps(LISTED).encode("utf-32-be")),
    ],
    ids=["no JSON", "another type", "encoded", "too long", "wide", "wider"],
)
async def test_a_list_that_cannot_be_cut_is_no_answer(tracker, answer):
    """It could show what it should not: 502 in the words of JSON-RPC, and nothing of it."""
    _, refused = await listed(tracker, answer)
    assert refused.status == 502
    assert json.loads(refused.body)["error"]["data"]["code"] == "upstream_failed"
    assert json.loads(refused.body)["id"] == 1


async def test_a_list_in_an_event_that_cannot_be_cut_breaks_the_stream(tracker):
    """It ends with a refusal, or so that the client can tell, and the event is not in it."""
    for content in (b'{"tools":', b'{"tools":"' + b"x" * LONGEST_LIST + b'"}'):
        house, answer = await listed(tracker, events(b'{"a":1}', content))
        assert b"tools" not in answer.body
        assert answer.status == 502 or not answer.whole
        await house.stop()


async def test_a_list_that_ends_with_its_connection_is_cut(tracker):
    """Neither length nor chunks are needed to read it."""

    async def script(upstream, reader, writer):
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(LISTED).encode())

    house = await tracker(script)
    answer = await ask(house, post(await house.token("issues.read"), ASKED))
    assert names(answer.body) == ["look"]
    assert int(answer.fields["content-length"]) == len(answer.body)


async def test_a_secret_in_a_list_is_masked_after_the_cut(tracker):
    """Escapes of JSON do not carry it through, for it is looked for in what is written anew."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
    text = json.dumps(LISTED).replace('"look"', f'"look", "description": "{escaped}"')
    _, answer = await listed(tracker, as_json(text.encode()))
    assert SECRET.encode() not in answer.body
    assert names(answer.body) == ["look"]


async def test_no_denial_at_all_shows_what_grants_give(tracker):
    """The list follows policy, and not what is written here."""
    house = await tracker(answering(as_json(LISTED)), denials=DENIALS.replace("issues.burn", "issues.write"))
    answer = await ask(house, post(await house.token("issues.read", "issues.burn"), ASKED))
    assert names(answer.body) == ["look", "burn"]


async def test_a_list_behind_a_byte_order_mark_is_cut(tracker):
    """Clients take the mark off the beginning of a stream (HTML §9.2.5), so what stands behind it is a line like any other."""
    body = b"\xef\xbb\xbfdata: " + json.dumps(LISTED).encode() + b"\n\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    _, answer = await listed(tracker, answer)
    assert b"burn" not in answer.body
    assert b"look" in answer.body
