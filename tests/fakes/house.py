"""A whole Doorward in this process, a scripted upstream and raw clients, all on real sockets; knows no single behaviour."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.fetch import Fetch

SECRET = "upstream-secret-0123456789abcdef"
AGENT = "spiffe://flows.test/agent"

CONFIGURATION = """
version: 1
tenant: flows
gateway:
  listen: ["{listen}"]
  url: {gateway_url}
  limits: {gateway_limits}
authority:
  {authority}
  store: {store}
admin: {{socket: "unix:admin.sock", operators: [{user}]{admin}}}
identities:
  host:
    unix: {{users: {{{user}: {agent}}}}}
    same_user: true
  {identities}
upstreams:
  api:
    url: {url}
    credential: key
    networks: {networks}
    {upstream}
credentials:
  key:
    secret: {{file: secret}}
    inject: {inject}
    exception: {{owner: tests, reason: tests, expires: {expires}, review_every: 30d, reviewed: {today}}}
intents:
  items.read:
    upstream: api
    operations: ["GET /items", "GET /items/{{id}}", "HEAD /items", "OPTIONS /items"]
    {read}
  items.write:
    upstream: api
    operations: ["POST /items", "PUT /items/{{id}}"]
  items.watch:
    upstream: api
    operations: ["WEBSOCKET /items/{{id}}/events", "{watched}"]
    {watch}
  items.burn:
    upstream: api
    operations: ["DELETE /items/{{id}}"]
grants:
  - name: the agent reads and writes
    agents: [{agent}]
    intents: ["items.*"]
    declare: {declare}
denials:
  - name: nobody burns
    intents: [items.burn, {denied}]
audit:
  sinks:
    local: {{file: {{path: audit.jsonl}}, required: true}}
"""


@dataclass
class Exchange:
    """One request as the scripted upstream saw it."""

    head: bytes
    body: bytes

    @property
    def fields(self) -> dict[str, list[str]]:
        """Field values by lower-case name."""
        found: dict[str, list[str]] = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            found.setdefault(name.lower(), []).append(value.strip())
        return found


Script = Callable[["ScriptedUpstream", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ScriptedUpstream:
    """Runs one script per connection and keeps what it saw."""

    def __init__(self, script: Script) -> None:
        self.seen: list[Exchange] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._script = script
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> int:
        self._server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        while self.open:
            await asyncio.sleep(0.01)

    async def request(self, reader: asyncio.StreamReader) -> Exchange:
        """Read one request whole."""
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        exchange = Exchange(head, b"")
        length = exchange.fields.get("content-length")
        if "chunked" in exchange.fields.get("transfer-encoding", []):
            while size := int(await reader.readline(), 16):
                exchange.body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif length:
            exchange.body = await reader.readexactly(int(length[0]))
        self.seen.append(exchange)
        return exchange

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            await self._script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1


async def answer_ok(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request on the connection with its body, or a greeting."""
    while True:
        exchange = await upstream.request(reader)
        body = exchange.body or b"hello"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Up: yes\r\n\r\n" % len(body))
        if not exchange.head.startswith(b"HEAD"):
            writer.write(body)
        await writer.drain()


@dataclass
class Answer:
    """One response as the raw client read it. `whole` says whether it ended as it announced."""

    status: int
    fields: dict[str, str]
    body: bytes
    whole: bool = True
    lines: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """All values of a field, in order; `fields` has the last one."""
        return [line.partition(":")[2].strip() for line in self.lines if line.lower().startswith(name + ":")]

    @property
    def problem(self) -> dict:
        return json.loads(self.body)


class RawClient:
    """A socket, and a strict reader of responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        raw = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10))[:-4].decode("latin-1")
        first, *lines = raw.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if head_only or status in (100, 204, 304):
            return Answer(status, fields, b"", lines=lines)
        try:
            return Answer(status, fields, await asyncio.wait_for(self._body(fields), 10), lines=lines)
        except asyncio.IncompleteReadError as error:
            return Answer(status, fields, error.partial, whole=False, lines=lines)

    async def ended(self) -> bool:
        """Whether the gateway closes the connection without another byte."""
        return await asyncio.wait_for(self.reader.read(1), 10) == b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def _body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.reader.readuntil(b"\r\n")), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return body
        return await self.reader.readexactly(int(fields.get("content-length", "0")))


@dataclass
class House:
    """A running Doorward with its upstream."""

    doorward: Doorward
    clock: Clock
    folder: Path
    upstream: ScriptedUpstream
    stack: AsyncExitStack
    clients: list[RawClient] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None) -> RawClient:
        host, _, port = self.doorward.addresses[0].rpartition(":")
        client = RawClient(*await asyncio.open_connection(host, int(port), ssl=tls))
        self.stack.push_async_callback(client.close)
        return client

    async def issue(self, *intents: str, refusable: bool = False, proof: str | None = None, **extra: str) -> dict:
        """A token response for the agent that runs the tests; an empty one if policy gives none and that is `refusable`.

        With a DPoP `proof` the token is bound to its key.
        """
        async with Fetch() as fetch:
            answer = await fetch.request(
                "POST",
                "http://authority/token",
                form={
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "peer",
                    "subject_token_type": "urn:doorward:unix-peer",
                    "scope": " ".join(intents),
                    **extra,
                },
                headers={} if proof is None else {"DPoP": proof},
                unix=str(self.folder / "authority.sock"),
            )
        if refusable and answer.status == 400:
            return {}
        assert answer.status == 200, answer.body
        return answer.json()

    async def token(self, *intents: str) -> str:
        return (await self.issue(*(intents or ("items.read", "items.write"))))["access_token"]

    async def tell(self, path: str, socket: str = "authority.sock") -> int:
        """POST to the authority or the admin socket."""
        async with Fetch() as fetch:
            return (await fetch.request("POST", f"http://doorward{path}", unix=str(self.folder / socket))).status

    async def fresh(self) -> None:
        """Wait for a heartbeat after the clock was turned."""
        while self.doorward.standing.stale:
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        await self.doorward.stop()

    def records(self) -> list[dict]:
        """Everything in the log; call it after `stop`."""
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]

    def exchanges(self) -> tuple[list[dict], list[dict]]:
        """The request and the response records, after checking that each request id has exactly one of each."""
        records = self.records()
        requests = [record for record in records if record["type"] == "request"]
        responses = [record for record in records if record["type"] == "response"]
        assert set(Counter(record["request_id"] for record in responses).values()) <= {1}
        return requests, responses


Build = Callable[..., Awaitable[House]]
Open = Callable[..., Awaitable[ScriptedUpstream]]


def get(path: str, token: str | None, intent: str | None = "items.read", *lines: str, method: str = "GET") -> bytes:
    """The bytes of a request without a body."""
    head = [f"{method} {path} HTTP/1.1", "Host: doorward.test", *lines]
    if token is not None:
        head.append(f"Authorization: Bearer {token}")
    if intent is not None:
        head.append(f"Agent-Intent: {intent}")
    return "\r\n".join([*head, "", ""]).encode("latin-1")
