"""Tricks to reach an operation under another intent, or to dodge a denial, through real sockets: none reaches the upstream.

The agent holds `items.read`, `items.write`, `pay.small`, `look.public`, `send.small` and searches. What is denied to it are
the item called secret, everything below /admin, what is large or private, and to find other than five. No trick here is one of
framing: those are in the hostile requests.
"""

import pytest
from fakes.house import AGENT, Build, House

FORM = "application/x-www-form-urlencoded"
HELD = ("items.read", "items.write", "pay.small", "look.public", "send.small", "find.some", "find.posted")
CONFIGURED = {
    "read": "touches: []\n"
    '  admin.all: {upstream: api, operations: ["GET /items/secret", "GET /admin/{rest...}", "POST /items/{id}/purge"]}\n'
    "  pay.small: {upstream: api, operations: [{operation: POST /pay, body: {kind: small}}]}\n"
    "  pay.large: {upstream: api, operations: [{operation: POST /pay, body: {kind: large}}]}\n"
    "  look.public: {upstream: api, operations: [{operation: GET /look, query: {scope: public}}]}\n"
    "  look.private: {upstream: api, operations: [{operation: GET /look, query: {scope: private}}]}\n"
    "  send.small: {upstream: api, operations: [{operation: POST /send, body: {kind: small}}]}\n"
    "  send.large: {upstream: api, operations: [{operation: POST /send, body: {kind: large}}]}\n"
    "  find.some: {upstream: api, operations: [GET /find]}\n"
    "  find.posted: {upstream: api, operations: [POST /find]}",
    "declare": f"required\n  - name: small payments\n    agents: [{AGENT}]\n    intents: [pay.small, look.public]\n"
    "    when: |\n      intent.name != 'pay.small' || request.json.amount <= 100\n"
    f"  - name: small sendings\n    agents: [{AGENT}]\n    intents: [send.small]\n"
    f"  - name: short searches\n    agents: [{AGENT}]\n    intents: [find.some]\n"
    "    when: |\n      request.query.limit == ['5'] && !(has(request.query.scope) && 'private' in request.query.scope)\n"
    f"  - name: public searches\n    agents: [{AGENT}]\n    intents: [find.posted]\n"
    "    when: |\n      !(has(request.form.scope) && 'private' in request.form.scope)",
    "denied": "admin.all, pay.large, look.private, send.large",
    "gateway_limits": "{inspect: 4KiB}",
}


def request(
    target: str, intent: str | None = "items.read", *lines: str, method: str = "GET", body: bytes = b"", raw: bytes = b""
) -> bytes:
    """A request that would be served if there were no trick in it; `$TOKEN` stands for the token."""
    head = [f"{method} {target} HTTP/1.1", "Host: doorward.test", "Authorization: Bearer $TOKEN"]
    if intent is not None:
        head.append(f"Agent-Intent: {intent}")
    head += lines
    if body or method in ("POST", "PUT"):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body + raw


def pay(body: bytes | str, *lines: str, kind: str = "application/json", intent: str = "pay.small") -> bytes:
    sent = body.encode() if isinstance(body, str) else body
    return request("/api/pay", intent, f"Content-Type: {kind}", *lines, method="POST", body=sent)


def send(form: str) -> bytes:
    return request("/api/send", "send.small", f"Content-Type: {FORM}", method="POST", body=form.encode())


def look(query: str) -> bytes:
    return request(f"/api/look?{query}", "look.public")


def find(query: str) -> bytes:
    return request(f"/api/find?{query}", "find.some")


def find_by_form(form: str) -> bytes:
    return request("/api/find", "find.posted", f"Content-Type: {FORM}", method="POST", body=form.encode())


GOOD = '{"kind": "small", "amount": 5}'

PATHS = {
    "the secret item as any item": "/api/items/secret",
    "an escaped letter": "/api/items/%73ecret",
    "an escaped letter of the folder": "/api/%61dmin/x",
    "escaped twice": "/api/items/%2573ecret",
    "a dot segment": "/api/items/./secret",
    "two dots": "/api/items/x/../secret",
    "two dots out of the upstream": "/api/items/../../api/items/secret",
    "escaped dots": "/api/items/x/%2e%2e/secret",
    "dots of which one is escaped": "/api/items/x/.%2e/secret",
    "dots with a parameter": "/api/items/x/..;/secret",
    "dots before the prefix": "/x/../api/items/secret",
    "an empty segment": "/api/items//secret",
    "an empty segment after the prefix": "/api//items/secret",
    "two slashes first": "//api/items/secret",
    "a path parameter": "/api/items/secret;v=1",
    "a path parameter in between": "/api/items;v=1/secret",
    "a backslash": "/api/items\\secret",
    "an escaped slash": "/api/items%2fsecret",
    "an escaped slash to leave": "/api/items/..%2fadmin%2fx",
    "an escaped backslash": "/api/items%5csecret",
    "an escaped zero": "/api/items/secret%00",
    "an escaped zero before an ending": "/api/items/secret%00.json",
    "an escaped line end": "/api/items/1%0d%0aX-Y:%20z",
    "an overlong slash": "/api/items%c0%afsecret",
    "an overlong letter": "/api/items/%c1%b3ecret",
    "half of a character": "/api/items/%e2%82",
    "another alphabet unescaped": "/api/items/\xf3ecret",
    "an escape of another kind": "/api/items/%u0073ecret",
    "a broken escape": "/api/items/%7",
    "a fragment": "/api/items/1#/../secret",
    "a trailing slash": "/api/items/secret/",
    "the folder as an item": "/api/admin/x",
    "the folder by way of items": "/api/items/../admin/x",
    "the prefix in capitals": "/API/items/1",
    "the path of the url of the upstream": "/api/base/items/1",
    "an absolute target of another host": "http://other.test/api/items/1",
    "an absolute target with a user": "http://doorward.test@other.test/api/items/1",
    "an asterisk": "*",
}
METHODS = {
    "a deletion as reading": request("/api/items/1", method="DELETE"),
    "a purge as writing": request("/api/items/1/purge", "items.write", method="POST"),
    "HEAD for GET": request("/api/items/1", method="HEAD"),
    "small letters": request("/api/items/1", method="get"),
    "mixed letters": request("/api/items/1", method="Get"),
    "a method of nobody": request("/api/items/1", method="GETS"),
    "the name of our own": request("/api/items/1/events", "items.watch", method="WEBSOCKET"),
    "TRACE": request("/api/items/1", method="TRACE"),
    "CONNECT": request("/api/items/1", method="CONNECT"),
    **{
        f"{name}": request("/api/items", "items.write", f"{name}: {value}", method="POST")
        for name, value in (
            ("X-HTTP-Method-Override", "DELETE"), ("X-HTTP-Method", "DELETE"), ("X-Method-Override", "DELETE"),
            ("x_http_method_override", "DELETE"), ("X-Original-URL", "/admin/x"), ("X-Original-URI", "/admin/x"),
            ("X-Rewrite-URL", "/admin/x"), ("X_Original_Url", "/admin/x"),
        )
    },
}  # fmt: skip
HEADERS = {
    "two intents": request("/api/items/1", "admin.all", "Agent-Intent: items.read"),
    "two intents in two spellings": request("/api/items/1", "items.read", "agent_intent: admin.all"),
    "a list of intents": request("/api/items/1", "items.read, admin.all"),
    "two intents in one": request("/api/items/1", "items.read;admin.all"),
    "an intent of nobody": request("/api/items/1", "admin.none"),
    "an intent that the token lacks": request("/api/admin/x", "admin.all"),
    "a pattern as an intent": request("/api/items/1", "items.*"),
    "an intent in capitals": request("/api/items/1", "ITEMS.READ"),
    "an intent with a letter that looks alike": request("/api/items/1", "items.r\xe8ad"),
    "no intent": request("/api/items/1", None),
    "an empty intent": request("/api/items/1", ""),
    "a reason twice": request("/api/items/1", 'items.read;reason="a";reason="b"'),
    "two tokens": request("/api/items/1", "items.read", "Authorization: Bearer x"),
    "an intent that the connection strips": request("/api/items/1", "items.read", "Connection: agent-intent"),
    "a token that the connection strips": request("/api/items/1", "items.read", "Connection: authorization"),
    "a type that the connection strips": pay(GOOD, "Connection: content-type"),
    "two types of content": pay(GOOD, f"Content-Type: {FORM}"),
    "two types of content in two spellings": pay(GOOD, f"Content_Type: {FORM}"),
    "a folded header": request("/api/items/1", "items.read", "X-A: b", " Agent-Intent: admin.all"),
}
BODIES = {
    "a large payment as a small one": pay('{"kind": "large", "amount": 5}'),
    "too much": pay('{"kind": "small", "amount": 101}'),
    "a kind twice": pay('{"kind": "small", "amount": 5, "kind": "large"}'),
    "a kind twice the other way": pay('{"kind": "large", "amount": 5, "kind": "small"}'),
    "an amount twice": pay('{"kind": "small", "amount": 5, "amount": 5000}'),
    "an escaped name twice": pay('{"kind": "small", "amount": 5, "am\\u006funt": 5000}'),
    "a name in other letters": pay('{"kind": "small", "amount": 5, "Amount": 5000}'),
    "a name with a sign that folds to a letter": pay('{"kind": "small", "amount": 5, "\u212aind": "large"}'),
    "a duplicate far inside": pay('{"kind": "small", "amount": 5, "x": [{"y": 1, "y": 2}]}'),
    "JSON that is called a form": pay(GOOD, kind=FORM),
    "JSON that is called text": pay(GOOD, kind="text/plain"),
    "JSON in another encoding by name": pay(GOOD, kind="application/json; charset=utf-7"),
    "JSON in another encoding": pay(GOOD.encode("utf-16")),
    "a mark of bytes first": pay(b"\xef\xbb\xbf" + GOOD.encode()),
    "compressed by name": pay(GOOD, "Content-Encoding: gzip"),
    "a comment": pay('{"kind": "small", /* "kind": "large", */ "amount": 5}'),
    "a comma too many": pay('{"kind": "small", "amount": 5,}'),
    "single quotes": pay("{'kind': 'small', 'amount': 5}"),
    "not a number": pay('{"kind": "small", "amount": NaN}'),
    "without end": pay('{"kind": "small", "amount": -Infinity}'),
    "a number as text": pay('{"kind": "small", "amount": "5"}'),
    "a number in a list": pay('{"kind": "small", "amount": [5]}'),
    "nothing as a number": pay('{"kind": "small", "amount": null}'),
    "a number that wraps around": pay('{"kind": "small", "amount": 18446744073709551621}'),
    "a number with a leading zero": pay('{"kind": "small", "amount": 05}'),
    "two documents": pay(GOOD + '\n{"kind": "large", "amount": 5000}'),
    "a list of documents": pay(f'[{GOOD}, {{"kind": "large", "amount": 5000}}]'),
    "half a character": pay('{"kind": "small", "amount": 5, "x": "\\ud800"}'),
    "a zero in a text": pay('{"kind": "small", "amount": 5, "x": "a\\u0000b"}'),
    "a kind in a list": pay('{"kind": ["small"], "amount": 5}'),
    "a kind with a space": pay('{"kind": "small ", "amount": 5}'),
    "no body": pay(""),
    "too long to be looked at": pay(GOOD[:-1] + ', "x": "' + "y" * 5000 + '"}'),
    "too deep to be looked at": pay(GOOD[:-1] + ', "x": ' + "[" * 500 + "]" * 500 + "}"),
    "a form with a kind twice": pay("kind=small&kind=large&amount=5", kind=FORM),
    "a form with a kind as a list": pay("kind=small&kind[]=large&amount=5", kind=FORM),
    "a form with semicolons": pay("kind=small;kind=large&amount=5", kind=FORM),
    "a kind twice in a form": send("kind=small&kind=large"),
    "a kind as a list in a form": send("kind=small&kind[]=large"),
    "a kind in brackets in a form": send("kind=small&[kind]=large"),
    "a kind behind a bracket in a form": send("kind=small&]kind=large"),
    "a kind before many others in a form": send("kind=small" + "&" * 1000),
    "a scope in other letters in a form": find_by_form("Scope=private"),
    "a scope as a list in a form": find_by_form("scope[]=private"),
    "a scope in brackets in a form": find_by_form("[scope]=private"),
    "a scope in brackets beside another in a form": find_by_form("scope=public&[scope]=private"),
    "parts": pay(
        '--x\r\nContent-Disposition: form-data; name="kind"\r\n\r\nsmall\r\n--x--', kind="multipart/form-data; boundary=x"
    ),
}
QUERIES = {
    "private as public": look("scope=private"),
    "escaped": look("scope=%70rivate"),
    "a name twice": look("scope=public&scope=private"),
    "a name twice the other way": look("scope=private&scope=public"),
    "a name in other letters": look("Scope=private&scope=public"),
    "a name as a list": look("scope[]=private&scope=public"),
    "a name with an index": look("scope[0]=private&scope=public"),
    "a name in brackets": look("[scope]=private&scope=public"),
    "a name in escaped brackets": look("%5Bscope%5D=private&scope=public"),
    "a name behind an opening bracket": look("[scope=private&scope=public"),
    "a name behind a closing bracket": look("]scope=private&scope=public"),
    "a name before an opening bracket": look("scope[=private&scope=public"),
    "a name before a closing bracket": look("scope]=private&scope=public"),
    "a name in brackets behind empty ones": look("[][scope]=private&scope=public"),
    "a name behind many others": look("x=1&" * 1000 + "scope=public"),
    "a name before nothing a thousand times": look("scope=public" + "&" * 1000),
    "an escaped name": look("%73cope=private&scope=public"),
    "a name after a space": look("+scope=private&scope=public"),
    "a semicolon": look("scope=public;scope=private"),
    "an escaped ampersand": look("scope=public%26scope=private"),
    "no value": look("scope"),
    "bytes that are no text": look("scope=public%ff"),
    "a broken escape": look("scope=public%2"),
    "nothing": look("x=1"),
    "a limit and another": find("limit=5&limit=500"),
    "a limit and a list of them": find("limit=5&limit[]=500"),
    "a limit and one in other letters": find("limit=5&Limit=500"),
    "a limit and one in brackets": find("limit=5&[limit]=500"),
    "a limit behind many others": find("x=1&" * 1000 + "limit=5"),
    "what is private in other letters": find("limit=5&Scope=private"),
    "what is private as a list": find("limit=5&scope[0]=private"),
    "what is private behind a bracket": find("limit=5&[scope=private"),
    "what is private beside what is public": find("limit=5&scope=public&scope%5B%5D=private"),
}
TRICKS: dict[str, bytes] = {
    **{f"path: {name}": request(target) for name, target in PATHS.items()},
    **{f"method: {name}": sent for name, sent in METHODS.items()},
    **{f"header: {name}": sent for name, sent in HEADERS.items()},
    **{f"body: {name}": sent for name, sent in BODIES.items()},
    **{f"query: {name}": sent for name, sent in QUERIES.items()},
}
PLAIN = {
    "read": request("/api/items/1"),
    "read with an escape that is one": request("/api/items/a%20b"),
    "write": request("/api/items", "items.write", method="POST", body=b"x"),
    "pay": pay(GOOD),
    "look": look("scope=public&x=1"),
    "look with lists beside it": look("scope=public&filter[a]=1&filter[b]=2"),
    "send": send("kind=small&x=1"),
    "find": find("limit=5&filter[a]=1&filter[b]=2"),
    "find by form": find_by_form("scope=public&x=1"),
}


async def sent(it: House, text: bytes) -> int:
    token = await it.token(*HELD)
    client = await it.connect()
    await client.send(text.replace(b"$TOKEN", token.encode()))
    return (await client.answer(head_only=text.startswith(b"HEAD"))).status


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
async def test_a_trick_is_refused(house: Build, trick: bytes) -> None:
    """It is answered with a refusal of the caller's own doing, and the upstream hears nothing of it."""
    it = await house(**CONFIGURED)
    assert 400 <= await sent(it, trick) < 500
    assert it.upstream.seen == []


@pytest.mark.parametrize("plain", PLAIN.values(), ids=PLAIN.keys())
async def test_without_a_trick_it_is_served(house: Build, plain: bytes) -> None:
    """So that no trick above is refused for nothing but how the test asks."""
    it = await house(**CONFIGURED)
    assert await sent(it, plain) == 200
    assert len(it.upstream.seen) == 1


def test_there_are_enough_of_them() -> None:
    """Of every kind of trick at least a handful."""
    assert len(TRICKS) >= 120
    assert min(map(len, (PATHS, METHODS, HEADERS, BODIES, QUERIES))) >= 15
