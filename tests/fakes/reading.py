"""Reads raw bytes with the gateway's own connection, without sockets, and with h11 beside it: what does each make of them."""

from dataclasses import dataclass

import h11
from fakes.dry_house import Turns, running

from gateway.errors import Refusal
from gateway.http.admit import Admission, admit
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.fields import request_vocabulary
from gateway.http.framing import Delimiter
from gateway.http.house import House
from gateway.http.limits import Limits
from gateway.http.permitted import Permitted
from gateway.http.sender import Turn
from gateway.http.waiting import Wait
from gateway.model import Outcome


@dataclass
class Read:
    """One request as a reader understood it."""

    method: str
    target: str
    body: bytes
    whole: bool


class Nowhere:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Keeper:
    """Keeps a request body, chunk framing taken off."""

    def __init__(self, *, chunked: bool) -> None:
        self.wire = b""
        self.chunked = chunked

    def send(self, data: bytes) -> None:
        self.wire += data

    def hold(self) -> None: ...

    def release_hold(self) -> None: ...

    @property
    def content(self) -> bytes:
        if not self.chunked:
            return self.wire
        content, rest = b"", self.wire
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                break
            content, rest = content + rest[:length], rest[length + 2 :]
        return content


class Reader(House):
    """A house whose only step is the first: admit, then take the body."""

    def __init__(self) -> None:
        super().__init__(self._take, Limits(), Sweep(Turn(lambda end: end())))
        self.read: list[Read] = []
        self.refused: list[str] = []
        vocabulary = request_vocabulary(["authorization", "agent-intent", "traceparent"])
        self._admission = Admission(vocabulary, self.limits, Permitted(vocabulary, self.limits.headers))

    async def _take(self, caller: Downstream) -> None:
        try:
            head = admit(caller, self._admission)
            caller.expect(head)
            keeper = Keeper(chunked=head.framing.by == Delimiter.CHUNKS)
            target = head.target.path + ("" if head.target.query is None else "?" + head.target.query)
            entry = Read(head.method, target, b"", whole=False)
            self.read.append(entry)
            caller.start_sending(keeper, invite=False)
            while not caller.body_done:
                entry.body = keeper.content
                caller.still_moving()
                await Wait(1.0, lambda: Refusal("upstream_timeout"))
            entry.body, entry.whole = keeper.content, True
            caller.send(b"answered")
        except Refusal as refusal:
            self.refused.append(refusal.code)
            caller.refuse(refusal, "", Outcome(), None)


def ours(raw: bytes, pieces: list[bytes] | None = None) -> Reader:
    """What the gateway makes of the bytes, whole or in pieces."""
    reader, turns = Reader(), Turns()
    with running(turns):
        connection = Downstream(reader)
        nowhere = Nowhere()
        connection.connection_made(nowhere)
        for piece in pieces if pieces is not None else [raw]:
            if nowhere.closing:
                break
            connection.data_received(piece)
            turns.take()
            while connection._waiting is not None and connection.body_done:
                connection.resume(connection._waiting, None)
                turns.take()
    return reader


def theirs(raw: bytes) -> Read | None:
    """What h11 makes of the first request; None if it refuses or cannot see the whole head."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    try:
        connection.receive_data(raw)
        head = connection.next_event()
        if not isinstance(head, h11.Request):
            return None
        read = Read(head.method.decode(), head.target.decode("latin-1"), b"", whole=False)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                read.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                read.whole = True
                return read
            else:
                return read
    except h11.RemoteProtocolError:
        return None
