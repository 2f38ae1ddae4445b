"""A gateway on transports in memory: the real life of every request, without sockets, files and threads; knows no expectation.

One conversation is one client connection from its first byte to its last. Identifiers and time are the same in every
conversation, so two of them can be compared byte for byte.
"""

import asyncio
import itertools
import os
import pwd
import shutil
import socket
import tempfile
import weakref
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.counts import EverythingLent

from gateway.audit.chain import FIRST
from gateway.audit.checkpoint import Signer
from gateway.audit.flood import Flood
from gateway.audit.journal import Journal
from gateway.audit.ledger import Ledger
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.handle_request import handle_request
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.house import House
from gateway.identity.standing import Standing
from gateway.model import Principal, marks_of
from gateway.settings.load import load_text

NOW = 1_800_000_000.0
AGENT = "spiffe://dry.test/agent"
SECRET = b"upstream-secret-0123456789abcdef"
TOKEN = b"dwt_t"
"""A token that was verified before, so that a conversation needs no signature."""
MOST_TURNS = 20_000
HALF = 1 << 20
"""Bytes of one half of the journal: more than one conversation can fill."""

CONFIGURATION = """
version: 1
tenant: dry
gateway: {{listen: [127.0.0.1:0], url: "http://127.0.0.1:1", limits: {{head: 4KiB, headers: 24, body: 4KiB}}}}
authority: {{listen: ["unix:authority.sock"], issuer: "http://authority.test", store: {{sqlite: memory}}}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: {agent}}}}}, same_user: true}}}}
upstreams:
  api:
    url: http://127.0.0.1:81/base
    credential: key
    token_in: [authorization, x-api-key, api-key]
    networks: [127.0.0.0/8]
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: fuzz, reason: fuzz, expires: 2027-03-01, review_every: 30d, reviewed: 2027-01-14}}
intents:
  a.use: {{upstream: api, operations: ["GET /{{x...}}", "HEAD /{{x...}}", "POST /{{x...}}", "PUT /{{x...}}"]}}
  a.burn: {{upstream: api, operations: ["DELETE /{{x...}}"]}}
grants: [{{name: the agent uses, agents: ["{agent}"], intents: [a.use], declare: implied}}]
"""


class StillClock(Clock):
    """Time stands still, and identifiers count from one in each conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)

    def now(self) -> float:
        return NOW

    def boot(self) -> float:
        return NOW

    def steady(self) -> float:
        return NOW

    def identifier(self) -> str:
        return f"{next(self.numbers):032x}"

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "Done":
        """Do the work now, for here it waits for nothing."""
        assert name
        return Done(work)


class Pages:
    """The audit: the real ledger and its journal, of which nobody writes a log."""

    available = True

    def __init__(self, clock: Clock, file: Path) -> None:
        self.ledger = Ledger(clock, Signer("dry", bytes(32)), self)
        self._journal = Journal(file, HALF)
        self._journal.taking = True
        self.ledger._book.continue_from(0, FIRST, self._journal)

    def begin(self) -> None:
        """No stranger has been refused yet."""
        self.ledger._book.flood = Flood()

    def lines(self) -> list[dict]:
        """Take what was written since the last time."""
        views = self._journal.pending()
        text = b"".join(views)
        for view in views:
            view.release()
        self._journal.written(len(text))
        return [orjson.loads(line) for line in text.splitlines()]

    def close(self) -> None:
        self._journal.close()


Connected = Callable[["Wire", asyncio.Protocol], None]


class Turns:
    """Stands for the event loop: what is to be called soon is called when a turn is taken, and connections are made at once."""

    def __init__(self, connected: Connected | None = None) -> None:
        self.ready: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._connected = connected

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        self.ready.append((callback, arguments))

    def take(self) -> None:
        """Call everything that waits, and what comes of it. Raises `AssertionError` if that never ends."""
        for _ in range(MOST_TURNS):
            if not self.ready:
                return
            callback, arguments = self.ready.popleft()
            callback(*arguments)
        raise AssertionError("a conversation goes on without end")

    def time(self) -> float:
        return 0.0

    def get_debug(self) -> bool:
        return False

    async def create_connection(self, make: Callable[[], asyncio.Protocol], *_where: object, **_how: object) -> tuple:
        assert self._connected is not None
        protocol = make()
        wire = Wire(self, protocol)
        self._connected(wire, protocol)
        protocol.connection_made(wire)
        return wire, protocol


class Done:
    """Stands for a task that has ended already."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(StopIteration) as ended:
            work.send(None)
        self._result = ended.value.value

    def result(self) -> object:
        return self._result

    def add_done_callback(self, callback: Callable[["Done"], None]) -> None:
        asyncio.get_running_loop().call_soon(callback, self)

    def cancel(self) -> None: ...

    def cancelled(self) -> bool:
        return False

    def exception(self) -> None: ...


class Wire:
    """One side's transport: keeps what is written, and tells `heard` of it in a later turn."""

    def __init__(self, turns: Turns, protocol: asyncio.Protocol) -> None:
        self.written = b""
        self.closing = False
        self.reset = False
        """Whether the other side can tell that the end came too early (RST)."""
        self._turns = turns
        self._protocol = protocol
        self.heard: Callable[[bytes], None] | None = None

    def write(self, data: bytes) -> None:
        if self.closing:
            return
        self.written += data
        if self.heard is not None:
            self._turns.call_soon(self.heard, data)

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("127.0.0.1", 1), "socket": self}.get(name)

    def setsockopt(self, *option: object) -> None:
        """Stand for the socket as well, of which only lingering is ever set."""
        self.reset = option[:2] == (socket.SOL_SOCKET, socket.SO_LINGER)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._turns.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@dataclass
class UpstreamEnd:
    """An upstream's end of one connection. A script answers through `say` and `hang_up`."""

    turns: Turns
    connection: asyncio.Protocol
    wire: Wire
    received: bytes = b""
    notes: dict[str, object] = field(default_factory=dict)

    def say(self, data: bytes) -> None:
        if not self.wire.closing:
            self.turns.call_soon(self._deliver, data)

    def hang_up(self) -> None:
        self.turns.call_soon(self.wire.close)

    def _deliver(self, data: bytes) -> None:
        if not self.wire.closing:
            self.connection.data_received(data)


Script = Callable[[UpstreamEnd], None]
"""Called whenever an upstream has received something more."""


@dataclass
class Conversation:
    """What came of one client connection. `heads` are the bytes that were parsed, empty for what never became a head."""

    answers: bytes
    upstreams: list[UpstreamEnd]
    heads: list[bytes]
    lines: list[dict]
    closed: bool
    """Whether the gateway ended the connection, before the client did."""
    reset: bool
    """Whether it did so with a reset."""
    idle: int
    """How many upstream connections the pool kept for another request."""


class DryHouse(House):
    """A compiled gateway, of which nothing was started."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="doorward-dry-"))
        weakref.finalize(self, shutil.rmtree, folder)
        (folder / "secret").write_bytes(SECRET)
        self.clock = StillClock()
        text = CONFIGURATION.format(user=pwd.getpwuid(os.getuid()).pw_name, agent=AGENT)
        ground = Ground(load_text(text, folder / "doorward.yaml"), self.clock)
        self.pages = Pages(self.clock, folder / "journal")
        ground.ledger = self.pages.ledger
        weakref.finalize(self, self.pages.close)
        gateway = GatewaySide(ground)
        gateway.standing = Standing(
            self.clock,
            issuer="http://authority.test",
            audience="doorward",
            tenants=frozenset(("dry",)),
            prefix="dwt_",
            max_staleness=10.0,
        )
        gateway.standing.beat("epoch", 0, horizon=0.0)
        gateway.standing.remembered[TOKEN] = Principal(
            agent=AGENT,
            subject=AGENT,
            tenant="dry",
            task="task",
            token="token",
            intents=frozenset(("a.use", "a.burn")),
            expires=NOW + 600,
            epoch="epoch",
            marks=marks_of(token="token", task="task", agent=AGENT, tenant="dry"),
        )
        EverythingLent(gateway.leases)
        self.pool, self.snapshot = gateway.make_snapshot()
        super().__init__(self._serve, self.snapshot.admission.limits, Sweep())
        self._heads: list[bytes] = []
        self.disturbed = False
        """Whether a conversation ended in the middle: something of it may be left, and the next one needs another house."""

    def _serve(self, caller: Downstream) -> Coroutine[Any, Any, None]:
        try:
            self._heads.append(caller.take_head())
        except Refusal:
            self._heads.append(b"")
        return handle_request(self.snapshot, caller)

    def converse(self, pieces: list[bytes], script: Script) -> Conversation:
        """Play the client's bytes in these pieces; then the client is gone."""
        self.disturbed = True
        self.pages.begin()
        self._heads = []
        self.clock.numbers = itertools.count(1)
        upstreams: list[UpstreamEnd] = []

        def connected(wire: Wire, connection: asyncio.Protocol) -> None:
            end = UpstreamEnd(turns, connection, wire)
            upstreams.append(end)

            def heard(data: bytes) -> None:
                end.received += data
                script(end)

            wire.heard = heard

        turns = Turns(connected)
        with running(turns):
            client = Downstream(self)
            wire = Wire(turns, client)
            client.connection_made(wire)
            for piece in pieces:
                if wire.closing:
                    break
                client.data_received(piece)
                turns.take()
            answers, closed, reset, idle = (
                wire.written,
                wire.closing or client._lingering is not None,
                wire.reset,
                self.pool.idle,
            )
            wire.close()
            turns.take()
            self.pool.close()
            turns.take()
        assert not self.connections
        assert not self.pool.size
        assert not self.snapshot.leases.in_use
        self.disturbed = False
        return Conversation(answers, upstreams, self._heads, self.pages.lines(), closed, reset, idle)


@contextmanager
def running(turns: Turns) -> Iterator[None]:
    """What asks for the running loop gets `turns`."""
    before = _get_running_loop()
    _set_running_loop(turns)
    try:
        yield
    finally:
        _set_running_loop(before)
