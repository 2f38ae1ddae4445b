"""Two independent strict readers, h11 and llhttp, of requests and of responses; they know nothing of the gateway."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import h11
import httptools

Headers = list[tuple[bytes, bytes]]

SPOKEN_BY_LLHTTP = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"))
"""Methods that both know; llhttp refuses what it has never heard of."""
LARGEST = 1 << 20


@dataclass
class Message:
    """One message as a witness understood it. `first` is the method, or the status; `target` is empty for a response."""

    first: bytes
    target: bytes
    headers: Headers
    body: bytes = b""
    whole: bool = False
    trailers: Headers = field(default_factory=list)


@dataclass
class Reading:
    """The messages of one direction, in their order, and what was left when the witness stopped."""

    messages: list[Message] = field(default_factory=list)
    rest: bytes = b""
    error: str | None = None

    @property
    def whole(self) -> list[Message]:
        """The messages that ended."""
        return [message for message in self.messages if message.whole]


def requests_by_h11(raw: bytes) -> Reading:
    """Every request that h11 finds in one direction of a connection, until an error or the end of what it would serve."""
    reading = Reading()
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
    try:
        connection.receive_data(raw)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                reading.messages.append(Message(bytes(event.method), bytes(event.target), headers))
            elif isinstance(event, h11.Data):
                reading.messages[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                reading.messages[-1].whole = True
                reading.messages[-1].trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
            else:
                break
    except h11.ProtocolError as error:  # a local one where the request asks for another protocol
        reading.error = str(error)
    reading.rest = connection.trailing_data[0]
    return reading


class _Events:
    """What llhttp calls while it parses."""

    def __init__(self, first: Callable[["_Events"], bytes]) -> None:
        self.reading = Reading()
        self._first = first
        self._target = b""
        self._headers: Headers = []
        self._ahead = True

    def on_message_begin(self) -> None:
        self._target, self._headers, self._ahead = b"", [], True

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers if self._ahead else self.reading.messages[-1].trailers
        headers.append((name.lower(), value.strip(b" \t")))  # RFC 9112 §5.1: llhttp leaves the white space behind it

    def on_headers_complete(self) -> None:
        self._ahead = False
        self.reading.messages.append(Message(self._first(self), self._target, self._headers))

    def on_body(self, body: bytes) -> None:
        self.reading.messages[-1].body += body

    def on_message_complete(self) -> None:
        self.reading.messages[-1].whole = True


def requests_by_llhttp(raw: bytes) -> Reading:
    """Every request that llhttp, without any leniency, finds in one direction of a connection."""
    events = _Events(lambda _events: parser.get_method())
    parser = httptools.HttpRequestParser(events)
    return _fed(parser, events, raw)


def response_by_llhttp(raw: bytes) -> Reading:
    """Every final response that llhttp finds; not for answers to HEAD, which it cannot know of."""
    events = _Events(lambda _events: b"%d" % parser.get_status_code())
    parser = httptools.HttpResponseParser(events)
    reading = _fed(parser, events, raw)
    reading.messages = [message for message in reading.messages if not message.first.startswith(b"1")]
    return reading


def _fed(parser: "httptools.HttpRequestParser | httptools.HttpResponseParser", events: _Events, raw: bytes) -> Reading:
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        events.reading.error = "upgrade"
    except httptools.HttpParserError as error:
        events.reading.error = str(error) or type(error).__name__
    return events.reading


def responses_by_h11(raw: bytes, methods: Sequence[str], *, ended: bool) -> Reading:
    """The final responses to requests of these methods, one after the other; `ended` says that the connection closed after."""
    reading = Reading(rest=raw)
    for method in methods:
        message = _response_by_h11(reading, method, ended=ended)
        if message is None:
            break
        reading.messages.append(message)
        if not message.whole:
            break
    return reading


def _response_by_h11(reading: Reading, method: str, *, ended: bool) -> Message | None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    message: Message | None = None
    try:
        if reading.rest:
            connection.receive_data(reading.rest)
        if ended:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                message = Message(b"%d" % event.status_code, b"", headers)
            elif isinstance(event, h11.Data) and message is not None:
                message.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and message is not None:
                message.whole = True
                message.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
                break
            elif not isinstance(event, h11.InformationalResponse):
                break
    except h11.RemoteProtocolError as error:
        reading.error = str(error)
    reading.rest = connection.trailing_data[0]
    return message
