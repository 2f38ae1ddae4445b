"""Tricks to reach what a task may not use, or to be judged as one thing and served as another: each one refused."""

import json

import pytest
from fakes.mcp_wire import META, NEW, OLD, answering, as_json, ask, call, message, post, result

READ = call("look", {"issue": 1})
BURN = call("burn", {"issue": 1})


def raw(text: str) -> bytes:
    return text.encode()


def revision(name: str) -> str:
    return f"MCP-Protocol-Version: {name}"


DUPLICATES = {
    "method twice": raw('{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"burn"}}'),
    "method twice, first one wins": raw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"burn"}}'
    ),
    "name twice": raw('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","name":"burn"}}'),
    "name twice, one escaped": raw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","n\\u0061me":"burn"}}'
    ),
    "params twice": raw('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"},"params":{"name":"burn"}}'),
    "id twice": raw('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'),
    "an argument twice": raw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"a":1,"a":2}}}'
    ),
    "deep inside": raw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"x":[{"a":1,"a":2}]}}}'
    ),
    "in other letters": raw('{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"burn"}}'),
    "an argument in other letters": raw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"a":1,"A":2}}}'
    ),
}
CASE = {
    "an answer that some servers read as a call": {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {},
        "Method": "tools/call",
        "Params": {"name": "burn"},
    },
    "a long s in params": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "param\u017f": {"name": "burn"},
        "params": {"name": "look"},
    },
    "Name beside name's absence": {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"Name": "burn"}},
    "a result and a method": {"jsonrpc": "2.0", "id": 1, "result": {}, "method": "tools/call", "params": {"name": "burn"}},
    "a result and an error": {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": ""}},
    "neither method nor result": {"jsonrpc": "2.0", "id": 1},
    "a method that is a list": {"jsonrpc": "2.0", "id": 1, "method": ["tools/call"], "params": {"name": "burn"}},
    "params in a list": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ["burn"]},
    "an id of null": {"jsonrpc": "2.0", "id": None, "method": "tools/call", "params": {"name": "look"}},
    "an id that is true": {"jsonrpc": "2.0", "id": True, "method": "ping"},
    "an id that is a list": {"jsonrpc": "2.0", "id": [1], "method": "ping"},
    "a call without an id": {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "look"}},
    "another JSON-RPC": {"jsonrpc": "1.0", "id": 1, "method": "ping"},
    "no JSON-RPC": {"id": 1, "method": "ping"},
    "a name that is no text": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": {"x": "burn"}}},
    "no name": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}},
}
NAMES = {
    "a space behind": "look ",
    "a zero byte": "look\0",
    "a line feed": "look\n",
    "full width letters": "\uff42urn",
    "a soft hyphen": "bu\u00adrn",
    "a joiner": "burn\u200d",
    "a Cyrillic letter": "b\u0443rn",
    "combining": "bur\u0301n",
    "a backslash": "..\\burn",
    "nothing": "",
    "far too long": "x" * 129,
}
URIS = {
    "dot segments": "note://boards/x/../secrets",
    "escaped dots": "note://boards/%2e%2e/secrets",
    "an escaped slash": "note://boards%2Fsecrets",
    "an escaped letter": "note://boards/secret%73",
    "escaped twice": "note://people/a%2525",
    "a scheme in capitals": "NOTE://boards/rain",
    "an empty segment": "note://boards//x/secrets",
    "a backslash": "note://boards\\secrets",
    "a space": "note://boards/ secrets",
    "no scheme": "boards/rain",
    "an umlaut": "note://people/\u00e4",
    "a control byte": "note://people/\x01",
}
BYTES = {
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(READ).encode(),
    "UTF-16": json.dumps(READ).encode("utf-16"),
    "a broken byte": json.dumps(READ).encode().replace(b"look", b"lo\xffok"),
    "an overlong slash": json.dumps(BURN).encode().replace(b"tools/call", b"tools\xc0\xafcall"),
    "half a surrogate pair": json.dumps(READ).encode().replace(b"look", b"look\\ud800"),
    "two messages": json.dumps(READ).encode() + json.dumps(BURN).encode(),
    "two lines": json.dumps(READ).encode() + b"\n" + json.dumps(BURN).encode(),
    "a comment": b"/* */" + json.dumps(READ).encode(),
    "a comma too many": json.dumps(READ).encode()[:-1] + b",}",
    "not a number": json.dumps(call("look", {"issue": 1})).encode().replace(b": 1}", b": NaN}"),
    "infinity": json.dumps(call("look", {"issue": 1})).encode().replace(b": 1}", b": Infinity}"),
    "a number beyond a float": json.dumps(call("look", {"issue": 1})).encode().replace(b": 1}", b": 1e999}"),
    "a whole number of many digits": json.dumps(call("look", {"issue": 10**30})).encode(),
    "an id of many digits": json.dumps(call("look", {}, 10**20)).encode(),
    "as deep as a well": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"a":'
    + b"[" * 70
    + b"]" * 70
    + b"}}}",
    "bottomless": b"[" * 30_000,
    "a text": b'"tools/call"',
}
HEADERS = {
    "another method": (READ, "Mcp-Method: ping"),
    "a method in capitals": (READ, "Mcp-Method: TOOLS/CALL"),
    "another name": (READ, "Mcp-Name: burn"),
    "the method twice": (READ, "Mcp-Method: tools/call", "Mcp-Method: tools/call"),
    "the name twice": (READ, "Mcp-Name: look", "Mcp-Name: burn"),
    "the revision twice": (READ, revision(OLD), revision(NEW)),
    "a method with an underscore": (READ, "Mcp_Method: ping"),
    "a revision with an underscore": (READ, "MCP_Protocol_Version: " + NEW),
    "a name that is encoded and another": (READ, "Mcp-Name: =?base64?YnVybg==?="),
    "a name that is encoded otherwise": (READ, "Mcp-Name: =?base64?bG9vaw?="),
    "a name of a method without one": (message("ping"), "Mcp-Name: burn"),
    "a revision in the body alone": (message("ping", {"_meta": META}),),
    "another revision in the body": (message("ping", {"_meta": META}), revision(OLD)),
    "the newest revision without a method": (message("tools/list", {"_meta": META}), revision(NEW)),
    "the newest revision without a name": (
        READ | {"params": {**READ["params"], "_meta": META}},
        revision(NEW),
        "Mcp-Method: tools/call",
    ),
}
BATCHES = {
    "a call beside a forbidden one": ([READ, call("burn", {}, 2)], None, "denied"),
    "a forbidden one among what is free": (
        [message("ping"), call("burn", {}, 2), message("tools/list", None, 3)],
        None,
        "denied",
    ),
    "a call of another intent": ([READ, call("write", {"issue": 1}, 2)], None, "intent_mismatch"),
    "an unknown method": ([READ, message("admin/reset", None, 2)], None, "method_unknown"),
    "in a revision without batches": ([READ], OLD, "request_malformed"),
    "in the newest revision": ([READ], NEW, "request_malformed"),
    "an empty one": ([], None, "request_malformed"),
    "one within another": ([[READ]], None, "request_malformed"),
    "too many": ([message("ping", None, number) for number in range(9)], None, "request_malformed"),
    "too many calls": ([call("look", {}, number) for number in range(5)], None, "request_malformed"),
}
METHODS = (
    "",
    "Tools/Call",
    "elicitation/create",
    "notifications/message",
    "roots/list",
    "rpc.discover",
    "sampling/createMessage",
    "tasks/cancel",
    "tasks/get",
    "tool\u017f/call",
    "tools/%63all",
    "tools/./call",
    "tools//call",
    "tools/c\u0430ll",
    "tools/call ",
    "tools/call\0",
    "tools/delete",
    "tools\\call",
)


@pytest.fixture
async def house(tracker):
    """A gateway before a server that answers whatever it is asked, for it has seen something that it should not."""
    return await tracker(answering(as_json({"jsonrpc": "2.0", "id": 1, "result": {}})))


@pytest.fixture
async def token(house):
    """A token for reading and writing."""
    return await house.token("issues.read", "issues.write")


async def refused(house, request: bytes, *codes: str) -> dict:
    """Send what has to be refused with one of these codes, and see that the server saw nothing. Returns the JSON-RPC error."""
    answer = await ask(house, request)
    assert house.upstream.seen == []
    document = json.loads(answer.body)
    each = document[0] if isinstance(document, list) else document
    assert each["jsonrpc"] == "2.0"
    assert each["error"]["data"]["code"] in codes, each
    assert answer.status == each["error"]["data"]["status"]
    return each


@pytest.mark.parametrize("trick", DUPLICATES)
async def test_duplicate_members_are_refused(house, token, trick):
    """Of two members with one name, readers take different ones; some see no difference of case."""
    await refused(house, post(token, DUPLICATES[trick]), "request_malformed")


@pytest.mark.parametrize("trick", CASE)
async def test_messages_of_two_meanings_are_refused(house, token, trick):
    """What is no plain request, notification or answer is none of the three."""
    await refused(house, post(token, CASE[trick]), "request_malformed")


@pytest.mark.parametrize("trick", NAMES)
async def test_names_that_only_look_alike_are_refused(house, token, trick):
    """A name has one spelling, in letters that nobody folds."""
    await refused(house, post(token, call(NAMES[trick])), "request_malformed")
    await refused(house, post(token, message("prompts/get", {"name": NAMES[trick]})), "request_malformed")


@pytest.mark.parametrize("trick", URIS)
async def test_uris_that_could_be_others_are_refused(house, token, trick):
    """A URI has one spelling, and stays where it seems to be."""
    for method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
        await refused(house, post(token, message(method, {"uri": URIS[trick]})), "request_malformed")


@pytest.mark.parametrize("trick", BYTES)
async def test_bytes_that_are_not_plain_json_are_refused(house, token, trick):
    """One JSON text in UTF-8, not too deep, with numbers that everybody can hold."""
    await refused(house, post(token, BYTES[trick]), "request_malformed")


@pytest.mark.parametrize("trick", HEADERS)
async def test_header_body_mismatch_is_refused(house, token, trick):
    """What stands in the headers is what stands in the body, in the words of MCP: 400 and -32020."""
    body, *lines = HEADERS[trick]
    error = await refused(house, post(token, body, *lines), "header_mismatch")
    assert error["error"]["code"] == -32020
    assert error["id"] == 1


@pytest.mark.parametrize("trick", BATCHES)
async def test_batch_is_judged_element_by_element(house, token, trick):
    """A batch with one element that may not be is refused whole, and there is none but in the oldest revision."""
    body, named, code = BATCHES[trick]
    lines = [] if named is None else [revision(named)]
    await refused(house, post(token, body, *lines), code)


async def test_a_batch_of_allowed_calls_passes_and_its_errors_name_each(house, token):
    """Elements of one intent pass together; when they are refused, each request gets its own error."""
    answer = await ask(
        house, post(token, [READ, call("look", {"issue": 2}, "b"), message("notifications/initialized", None, None)])
    )
    assert answer.status == 200
    assert len(house.upstream.seen) == 1
    assert [each["id"] for each in json.loads(house.upstream.seen[0].body) if "id" in each] == [1, "b"]
    answer = await ask(house, post(token, [READ, call("burn", {}, "b")]))
    assert [each["id"] for each in json.loads(answer.body)] == [1, "b"]


@pytest.mark.parametrize("method", METHODS)
async def test_unknown_method_is_denied(house, token, method):
    """What the gateway does not know, no intent can cover: 404 and -32601, as a server would say."""
    error = await refused(house, post(token, message(method, {"name": "burn"})), "method_unknown")
    assert error["error"]["code"] == -32601
    assert error["id"] == 1


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("", ()),
        ("text/plain", ()),
        ("application/x-www-form-urlencoded", ()),
        ("application/json; charset=utf-16", ()),
        ("multipart/form-data; boundary=x", ()),
        ("application/json", ("Content-Encoding: gzip",)),
        ("application/json", ("Content-Encoding: identity, gzip",)),
        ("application/json", ("Content-Type: text/plain",)),
    ],
)
async def test_other_content_is_refused(house, token, kind, lines):
    """A body that a server could read as something else than JSON in UTF-8 is not read here either."""
    answer = await ask(house, post(token, READ, *lines, kind=kind))
    assert (answer.status, house.upstream.seen) == (400, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tracker/", 404), ("/tracker/mcp", 404), ("/tracker/admin", 404), ("/tracker?tool=burn", 400), ("/tracker?", 400)],
)
async def test_the_endpoint_is_one_path_without_a_query(house, token, path, status):
    """What stood behind the endpoint could mean more to the server than the body that was judged."""
    answer = await ask(house, post(token, READ, path=path))
    assert (answer.status, house.upstream.seen) == (status, [])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD"])
async def test_other_http_methods_are_refused(house, token, method):
    """A server of MCP takes POST, GET and DELETE."""
    request = post(token, READ).replace(b"POST", method.encode(), 1)
    client = await house.connect()
    await client.send(request)
    answer = await client.answer(head_only=method == "HEAD")
    assert (answer.status, house.upstream.seen) == (405, [])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_body_where_none_belongs_is_refused(house, token, method):
    """A call in the body of a GET is judged by nobody, so it is not sent."""
    answer = await ask(house, post(token, BURN).replace(b"POST", method.encode(), 1))
    assert (answer.status, house.upstream.seen) == (400, [])


async def test_a_body_longer_than_is_looked_at_is_refused(tracker):
    """What is not read whole is not judged, announced or in chunks."""
    house = await tracker(answering(result({})), limits="{inspect: 1KiB}")
    token = await house.token("issues.read")
    long = call("look", {"text": "x" * 1100})
    await refused(house, post(token, long), "body_too_large")
    chunk = json.dumps(long).encode()
    head = post(token, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    await refused(house, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk), "body_too_large")


async def test_what_was_judged_is_what_is_sent(house, token):
    """Spaces, order and escapes of an allowed body reach the server as they came, in one piece or in chunks."""
    body = (
        b'{ "params": {"arguments":{"issue":1.50,"t":"\\u00e4\xc3\xa4"}, "name":"lo\\u006fk"},'
        b'"id":"\\u0031", "method":"tools/call" ,"jsonrpc":"2.0"}\n'
    )
    assert (await ask(house, post(token, body))).status == 200
    head = post(token, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:8], body[8:]))
    assert (await ask(house, head + chunks + b"0\r\n\r\n")).status == 200
    assert [exchange.body for exchange in house.upstream.seen] == [body, body]


async def test_an_input_required_retry_is_judged_anew(house, token):
    """What a server asked for in between changes nothing: the next request is judged like the first (MCP 2026-07-28)."""
    retry = call("burn", {}, 2)
    retry["params"] |= {"requestState": "opaque", "inputResponses": {"name": {"action": "accept"}}, "_meta": META}
    await refused(house, post(token, retry, revision(NEW), "Mcp-Method: tools/call", "Mcp-Name: burn"), "denied")
