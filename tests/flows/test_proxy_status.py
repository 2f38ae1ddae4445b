"""What `Proxy-Status` (RFC 9209) tells a machine of an answer that the gateway made itself; knows nothing of its words."""

import asyncio
import re
import ssl
from pathlib import Path
from typing import get_args

import pytest
import trustme
from fakes.house import Build, House, ScriptedUpstream, answer_ok, get

from gateway.errors import PROBLEMS, ProxyError, Refusal
from gateway.http.answer import problem

_MEMBER = re.compile(r"doorward; error=([a-z_]+)").fullmatch


def error_type(value: str) -> str:
    member = _MEMBER(value)
    assert member is not None, value
    return member[1]


async def asked(door: House, request: bytes | None = None) -> tuple[int, str]:
    """Status and error type of the answer to a request, which is a permitted one unless another is given."""
    client = await door.connect()
    await client.send(request if request is not None else get("/api/items", await door.token()))
    answer = await client.answer()
    return answer.status, error_type(answer.fields["proxy-status"])


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_refusal_says_whose_answer_it_is(code: str) -> None:
    """One member, ours, with a type from the registry of RFC 9209 and nothing else: no detail could leak a text."""
    answer, _ = problem(Refusal(code, "a detail"), "0" * 32, keep=True, without_body=True)
    (value,) = re.findall(rb"\r\nProxy-Status: (.*?)\r\n", answer)
    assert error_type(value.decode()) == PROBLEMS[code].error
    assert PROBLEMS[code].error in get_args(ProxyError)


@pytest.mark.parametrize(
    ("upstream_says", "error", "why"),
    [
        (b"", "connection_terminated", "it closes without a byte"),
        (b"HTTP/1.1 200 OK\r\nX: y", "http_response_incomplete", "it closes within the head"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, "http_response_header_section_size", "a head beyond the limit"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "http_response_header_section_size", "too many fields"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "http_protocol_error", "it speaks something else"),
        (b"HTTP/1.1 200 OK\nX: y\n\n", "http_protocol_error", "lines without CR"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "http_protocol_error", "two ends"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nxyz", "http_response_content_coding", "asked to be plain"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "http_response_transfer_coding", "no chunk"),
    ],
)
async def test_what_an_upstream_did_has_its_type(house: Build, upstream_says: bytes, error: str, why: str) -> None:
    """502 alone does not say whether to look at the network, the server or its protocol."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(upstream_says)
        await writer.drain()

    assert await asked(await house(script)) == (502, error), why


async def test_an_upstream_that_cannot_be_reached_has_its_type(house: Build, tmp_path: Path) -> None:
    """Name, address, connection and certificate fail for different reasons, and different people mend them."""
    refusing = await house()
    await refusing.upstream.stop()
    assert await asked(refusing) == (502, "connection_refused")
    await refusing.stop()
    elsewhere = await house(networks="[10.0.0.0/8]")
    assert await asked(elsewhere) == (502, "destination_ip_prohibited")
    await elsewhere.stop()
    nameless = await house(url="http://no-such-host.invalid")
    assert await asked(nameless) == (502, "dns_error")
    await nameless.stop()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    upstream = ScriptedUpstream(answer_ok)
    port = await upstream.start(context)
    doubting = await house(url=f"https://127.0.0.1:{port}")
    assert await asked(doubting) == (502, "tls_certificate_error")
    await doubting.stop()
    await upstream.stop()


async def test_time_that_runs_out_has_its_type(house: Build) -> None:
    """504 while connecting is told from 504 while waiting for the answer."""

    async def silent(upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        if upstream is not door.upstream:
            await reader.read()
            return
        await upstream.request(reader)
        await reader.read()

    door = await house(silent, upstream="timeouts: {head: 5s}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    async with asyncio.timeout(10):
        while not door.upstream.seen:
            await asyncio.sleep(0.01)
    for _ in range(8):
        door.doorward.sweep.advance()
    answer = await client.answer()
    assert (answer.status, error_type(answer.fields["proxy-status"])) == (504, "http_response_timeout")
    await door.stop()
    mute = ScriptedUpstream(silent)
    port = await mute.start()
    shaking = await house(url=f"https://127.0.0.1:{port}")
    client = await shaking.connect()
    await client.send(get("/api/items", await shaking.token()))
    async with asyncio.timeout(10):
        while not mute.open:
            await asyncio.sleep(0.01)
    for _ in range(8):
        shaking.doorward.sweep.advance()
    answer = await client.answer()
    assert (answer.status, error_type(answer.fields["proxy-status"])) == (504, "connection_timeout")
    await mute.stop()


async def test_a_refused_request_has_its_type(house: Build) -> None:
    """What the gateway forbids, what it cannot read, and what it does not know are three things."""
    door = await house(gateway_limits="{connections: 1, body: 1KiB}")
    token = await door.token()
    cases = [
        (get("/api/items", None), (401, "http_request_denied")),
        (get("/api/items", token, "items.write"), (403, "http_request_denied")),
        (get("/elsewhere", token), (404, "destination_not_found")),
        (get("/api/items", token, "items.write", "Content-Length: 5000", method="POST"), (413, "http_request_error")),
        (get("/api//items", token), (400, "http_request_error")),
        (b"nonsense\r\n\r\n", (400, "http_request_error")),
    ]
    for request, expected in cases:
        assert await asked(door, request) == expected, request
        async with asyncio.timeout(10):
            for client in door.doorward.listener.connections:
                client.abort()
            while door.doorward.listener.connections:
                await asyncio.sleep(0.01)
    await door.connect()
    while not door.doorward.listener.connections:
        await asyncio.sleep(0.01)
    crowded = await (await door.connect()).answer()
    assert (crowded.status, error_type(crowded.fields["proxy-status"])) == (503, "proxy_internal_response")
    assert door.upstream.seen == []


@pytest.mark.parametrize(
    ("upstream", "passed"), [("protocol: http", None), ("pass: [proxy-status]", "origin; error=dns_error")]
)
async def test_an_upstreams_proxy_status_is_passed_only_where_it_is_named(
    house: Build, upstream: str, passed: str | None
) -> None:
    """Otherwise it could speak in the gateway's name, or tell of the network behind it (RFC 9209 §4)."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: origin; error=dns_error\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    door = await house(script, upstream=upstream)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    answer = await client.answer()
    assert (answer.status, answer.fields.get("proxy-status")) == (502, passed)
