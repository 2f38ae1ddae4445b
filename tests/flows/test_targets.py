"""The four forms of a request target (RFC 9112 §3.2) on real sockets: which are served, as what, and which reach nobody."""

import pytest
from fakes.house import Build, get
from fakes.reading import Nowhere, Reader

from gateway.http.downstream import Downstream

HOST = "doorward.test"


async def test_an_absolute_target_is_served_as_its_path(house: Build) -> None:
    """The upstream sees the origin form, the record shows the path, and a head that comes again has the same answer."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    for target in (f"http://{HOST}/api/items?limit=3", f"HTTP://{HOST.upper()}/api/items?limit=3"):
        for _ in range(3):
            await client.send(get(target, token))
            assert (await client.answer()).body == b"hello"
    assert {seen.head.split(b"\r\n")[0] for seen in door.upstream.seen} == {b"GET /base/items?limit=3 HTTP/1.1"}
    assert {seen.fields["host"][0].partition(":")[0] for seen in door.upstream.seen} == {"127.0.0.1"}
    await door.stop()
    requests, responses = door.exchanges()
    assert {(record["path"], record["query"][0]) for record in requests} == {("/items", "limit")}
    assert len(requests) == len(responses) == len(door.upstream.seen) == 6


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://other.test/api/items", "Host says another authority, and servers differ in which of the two they believe"),
        (f"http://{HOST}:8080/api/items", "Host says another port"),
        (f"http://{HOST}:80/api/items", "a port that Host leaves out: a client has to send both alike (RFC 9112 §3.2)"),
        (f"http://{HOST}./api/items", "another spelling of the name"),
        (f"https://{HOST}/api/items", "the connection is not secured (RFC 9110 §7.4)"),
        (f"http://user@{HOST}/api/items", "a user in a target (RFC 9110 §4.2.4)"),
        (f"http://user:pw@{HOST}/api/items", "a user and a password in a target"),
        (f"http://{HOST}@evil.test/api/items", "a name that is a user to one reader and a host to another"),
        (f"http://{HOST}\\@evil.test/api/items", "a backslash, at which URL readers part"),
        (f"http://{HOST}#@evil.test/api/items", "a fragment"),
        (f"http://{HOST}%2fapi/items", "an escaped slash in the authority"),
        (f"ftp://{HOST}/api/items", "a scheme that is not served"),
        (f"ws://{HOST}/api/items", "a scheme that is not served here in this form"),
        (f"//{HOST}/api/items", "a URL without scheme, or a path with an empty segment"),
        (f"http:/{HOST}/api/items", "one slash too few"),
        (f"http:///{HOST}/api/items", "one slash too many: no authority"),
        ("http:///api/items", "no authority"),
        (f"http://{HOST}", "no path: for OPTIONS it would mean the whole server (RFC 9112 §3.2.4)"),
        (f"http://{HOST}?limit=3", "no path before the query"),
        (f"http://{HOST}//api/items", "the path rules hold in this form too: an empty segment"),
        (f"http://{HOST}/api/../admin", "a dot segment"),
        (f"http://{HOST}/api/%2e%2e/admin", "an escaped dot segment"),
        (f"http://{HOST}/api/items;x=1", "a path parameter"),
        (f"http://{HOST}/api%2fitems", "an escaped slash"),
        (f"http://{HOST}/api/items#x", "a fragment"),
        ("*", "the server as a whole, on which there is no operation"),
        (f"{HOST}:80", "the authority form is for CONNECT alone"),
        (HOST, "a bare name is no form at all"),
        ("api/items", "a path without its slash"),
        ("?limit=3", "a query alone"),
    ],
)
async def test_a_target_of_two_meanings_reaches_nobody(house: Build, target: str, why: str) -> None:
    """Refused, recorded, and the upstream hears nothing."""
    door = await house()
    client = await door.connect()
    method = "OPTIONS" if target == "*" else "GET"
    for _ in range(2):
        await client.send(get(target, await door.token(), method=method))
        answer = await client.answer()
        assert (answer.status, answer.problem["code"]) == (400, "request_malformed"), why
        client = await door.connect()
    assert door.upstream.seen == []
    assert door.upstream.connections == 0


@pytest.mark.parametrize("target", [f"{HOST}:443", f"http://{HOST}/api/items", "/api/items", "*"])
async def test_no_target_makes_a_tunnel(house: Build, target: str) -> None:
    """CONNECT is refused in every form, before anything is said of its target."""
    door = await house()
    client = await door.connect()
    await client.send(get(target, await door.token(), method="CONNECT"))
    assert (await client.answer()).problem["code"] == "method_refused"
    assert await client.ended()
    assert door.upstream.connections == 0


class Secured(Nowhere):
    """A transport that says it is one of TLS."""

    def get_extra_info(self, name: str) -> object:
        return object() if name == "ssl_object" else super().get_extra_info(name)


@pytest.mark.parametrize(
    ("transport", "scheme", "served"),
    [(Nowhere, "http", True), (Nowhere, "https", False), (Secured, "https", True), (Secured, "http", False)],
)
def test_the_scheme_of_a_target_is_that_of_the_connection(transport: type[Nowhere], scheme: str, served: bool) -> None:
    """A request for https that came in the open was not meant for us, or not sent as it was meant (RFC 9110 §7.4)."""
    reader = Reader()
    connection = Downstream(reader)
    connection.connection_made(transport())
    connection.data_received(f"GET {scheme}://x/a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (bool(reader.read), reader.refused) == (served, [] if served else ["request_malformed"])
