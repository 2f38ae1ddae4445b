"""Takes a stream of server-sent events apart as it comes, and puts it together again; knows nothing of what events say.

Lines and events as the HTML standard has them (§9.2): a line ends with CR LF, LF or CR, an event with an empty line. What
nobody wants to change passes at once and as it came, so that nothing is held back that a reader could wait for.
"""

import re
from typing import Final, Protocol, final

from gateway.errors import Refusal

LONGEST_ID: Final = 2048
"""The longest id of an event, in bytes: longer than any that a server makes, and short enough for a header line."""
MOST_LINES: Final = 65536
"""How many lines a judged event has at most."""
MOST_AT_ONCE: Final = 8192
"""How many events, and how many ids, one read brings at most: more than messages of MCP that fit into it."""

_MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark, which readers take off the beginning of a stream."""
_ID: Final = b"id:"
_DATA: Final = b"data"
_ENDS: Final = b"\r\n"
_EMPTY_LINES: Final = re.compile(rb"[\r\n]+")


class Listener(Protocol):
    """What is done with the events of one stream."""

    @property
    def judges(self) -> bool:
        """Whether it may change what events say, so that each one is held until it is whole."""
        ...

    @property
    def most(self) -> int:
        """How many bytes of one event it reads. A longer one is refused if it judges, else it passes unread."""
        ...

    def name(self, value: bytes) -> bytes:
        """What stands for the id of an event."""
        ...

    def event(self, content: bytes) -> bytes:
        """What an event says instead of `content`; the same object where nothing is changed. Raises `Refusal`."""
        ...


@final
class Events:
    """One stream."""

    __slots__ = ("_beginning", "_ended_in_cr", "_event", "_ids", "_line", "_listener", "_unread", "_within")

    gathers: Final = False
    changes: Final = True

    def __init__(self, listener: Listener) -> None:
        self._listener: Final = listener
        self._beginning: bytes | None = b""
        """What has come, while it could still be part of a mark."""
        self._line = b""
        """What has come of a line that could be an id."""
        self._within = False
        """Whether what comes next goes on with another line."""
        self._ended_in_cr = False
        self._ids = 0
        """How many ids the read has brought so far."""
        self._event = bytearray()
        """What has come of an event, if it is read."""
        self._unread = False

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Return what may go on. What has begun and not ended with the stream means nothing; what is held of it is left out.

        Raises `Refusal` for an event that would have to be read and is too long, and for too many at once.
        """
        if self._beginning is not None:
            content = self._beginning + content
            if not last and len(content) < len(_MARK) and _MARK.startswith(content):
                self._beginning = content
                return b""
            self._beginning = None
            content = content.removeprefix(_MARK)
        passed = self._read(self._line + content) if content else b""
        if last:
            self._line, self._event = b"", bytearray()
        return passed

    def _read(self, text: bytes) -> bytes:
        """Take the events out of what has come, and return what may go on."""
        passed: list[bytes] = []
        size = len(text)
        taken = at = 0
        if self._ended_in_cr and text.startswith(b"\n"):  # the second half of a CR LF
            at = 1
            if not self._event:
                taken = 1
                passed.append(b"\n")
        self._ended_in_cr = text.endswith(b"\r")
        self._line = b""
        self._ids = events = 0
        feed, carriage = text.find(b"\n", at), text.find(b"\r", at)
        while feed >= 0 or carriage >= 0:
            end = feed if carriage < 0 or 0 <= feed < carriage else carriage
            after = end + 2 if end == carriage and feed == end + 1 else end + 1
            if not self._within:
                if end == at:
                    events += 1
                    _require_few(events)
                    after = _after_empty_lines(text, after)
                    passed += (self._take(text[taken:at]), self._end_event(), text[at:after])
                    taken = after
                elif text.startswith(_ID, at):
                    passed.append(self._take(text[taken:at] + self._named(text[at:end])))
                    taken = end
            self._within = False
            at = after
            if 0 <= feed < at:
                feed = text.find(b"\n", at)
            if 0 <= carriage < at:
                carriage = text.find(b"\r", at)
        if at < size:
            self._within = self._within or not _ID.startswith(text[at : at + len(_ID)])
            if not self._within:
                _require(size - at, LONGEST_ID)
                self._line = text[at:]
                size = at
        passed.append(self._take(text[taken:size]))
        return b"".join(passed)

    def _named(self, line: bytes) -> bytes:
        value = line[len(_ID) :].removeprefix(b" ")
        if not value:
            return line
        _require(len(line), LONGEST_ID)
        self._ids += 1
        _require_few(self._ids)
        return b"id: " + self._listener.name(value)

    def _take(self, part: bytes) -> bytes:
        """More of an event has come. It is held if it is judged, else it may go on at once."""
        listener = self._listener
        if not self._unread:
            self._event += part
            if listener.judges:
                _require(len(self._event), listener.most)
            elif len(self._event) > listener.most:
                self._event, self._unread = bytearray(), True
        return b"" if listener.judges else part

    def _end_event(self) -> bytes:
        """The event is here whole; what was held of it may go on."""
        event, judges = bytes(self._event), self._listener.judges
        self._event, self._unread = bytearray(), False
        told = event
        if _DATA in event:
            if judges and len(event) > MOST_LINES:
                _require(max(event.count(b"\n"), event.count(b"\r")), MOST_LINES)
            content = b"\n".join([_value_of(line) for line in event.splitlines() if _says(line)])
            answer = self._listener.event(content) if content else content
            if answer is not content:
                told = (
                    b"".join([line for line in event.splitlines(keepends=True) if not _says(line)]) + b"data: " + answer + b"\n"
                )
        return told if judges else b""


def _after_empty_lines(text: bytes, at: int) -> int:
    """Where the first line begins that is not empty."""
    run = _EMPTY_LINES.match(text, at)
    return run.end() if run is not None else at


def _says(line: bytes) -> bool:
    """Whether a line is named `data`."""
    return line.startswith(b"data:") or line.rstrip(_ENDS) == _DATA


def _value_of(line: bytes) -> bytes:
    return line[len(_DATA) + 1 :].removeprefix(b" ")


def _require(size: int, most: int) -> None:
    if size > most:
        raise Refusal("upstream_failed", "An event of the upstream is longer than the gateway reads.")


def _require_few(count: int) -> None:
    if count > MOST_AT_ONCE:
        raise Refusal("upstream_failed", "The upstream sent more events at once than the gateway reads.")
