"""Requests of MCP as bytes, and a scripted server of MCP; knows no single behaviour."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fakes.house import Answer, House, Script, ScriptedUpstream

OLD, NEW = "2025-11-25", "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": NEW, "io.modelcontextprotocol/clientCapabilities": {}}


def message(method: str, params: dict | None = None, call_id: Any = 1) -> dict:
    """One JSON-RPC message; a notification with a `call_id` of None."""
    made: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if call_id is not None:
        made["id"] = call_id
    if params is not None:
        made["params"] = params
    return made


def call(tool: str, arguments: dict | None = None, call_id: Any = 1) -> dict:
    """A call of a tool."""
    return message("tools/call", {"name": tool, "arguments": arguments or {}}, call_id)


def post(token: str, body: Any, *lines: str, kind: str = "application/json", path: str = "/tracker") -> bytes:
    """A POST of a body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1", "Host: doorward.test", "Accept: application/json, text/event-stream",
        f"Authorization: Bearer {token}", f"Content-Length: {len(content)}", *([f"Content-Type: {kind}"] if kind else []),
        *lines,
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode("latin-1") + content


async def ask(house: House, request: bytes) -> Answer:
    """Send one request on a connection of its own."""
    client = await house.connect()
    await client.send(request)
    return await client.answer()


def answering(answer: Callable[[Any], bytes] | bytes) -> Script:
    """A server that answers each request with these bytes, or with what is made of its JSON."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            exchange = await upstream.request(reader)
            told = json.loads(exchange.body) if exchange.body else None
            writer.write(answer if isinstance(answer, bytes) else answer(told))
            await writer.drain()

    return script


def as_json(value: Any, *lines: str, status: str = "200 OK") -> bytes:
    """A response with a JSON body."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def result(value: Any) -> Callable[[Any], bytes]:
    """Answers with this result and the id of the request."""

    def answer(told: Any) -> bytes:
        each = [
            {"jsonrpc": "2.0", "id": one.get("id"), "result": value} for one in (told if isinstance(told, list) else [told])
        ]
        return as_json(each if isinstance(told, list) else each[0])

    return answer
