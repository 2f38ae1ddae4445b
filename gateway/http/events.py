"""Takes a stream of server-sent events apart as it comes, and puts it together again; knows nothing of what events say.

Lines and events as the HTML standard has them (§9.2): a line ends with CR LF, LF or CR, an event with an empty line. What
nobody wants to change passes at once and as it came, so that nothing is held back that a reader could wait for.
"""

from typing import Final, Protocol, final

from gateway.errors import Refusal

LONGEST_ID: Final = 2048
"""The longest id of an event, in bytes: longer than any that a server makes, and short enough for a header line."""

_MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark, which readers take off the beginning of a stream."""
_ID: Final = b"id"
_DATA: Final = b"data"


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

    __slots__ = ("_beginning", "_copied", "_copy", "_ended_in_cr", "_event", "_held", "_holding", "_line", "_listener",
                 "_passing", "_read")  # fmt: skip

    gathers: Final = False
    changes: Final = True

    def __init__(self, listener: Listener) -> None:
        self._listener: Final = listener
        self._line = b""
        """What has come of a line that may not go on before its end is here."""
        self._passing = False
        """Whether the line goes on as it comes."""
        self._copy: list[bytes] = []
        self._copied = 0
        self._held: list[bytes] = []
        """The lines of an event that is judged."""
        self._holding = 0
        """How many bytes they have."""
        self._event: list[bytes] = []
        """What the event says so far, a part for each of its lines."""
        self._read = 0
        """How many bytes the event has so far, also of those that are not in `_event`."""
        self._ended_in_cr = False
        self._beginning: bytes | None = b""
        """What has come, while it could still be part of a mark."""

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Return what may go on. What has begun and not ended with the stream means nothing; what is held of it is left out.

        Raises `Refusal` for an event that would have to be read and is too long.
        """
        if self._beginning is not None:
            content = self._beginning + content
            if not last and len(content) < len(_MARK) and _MARK.startswith(content):
                self._beginning = content
                return b""
            self._beginning = None
            content = content.removeprefix(_MARK)
        passed: list[bytes] = []
        at = 0
        if self._ended_in_cr and content.startswith(b"\n"):  # the second half of a CR LF
            at = 1
            if self._held:
                self._held.append(b"\n")
            else:
                passed.append(b"\n")
        if content:
            self._ended_in_cr = False
        while at < len(content):
            end, after = _end_of_line(content, at)
            if end < 0:
                passed.append(self._begin(content[at:]))
                break
            self._ended_in_cr = after == len(content) and content[end:after] == b"\r"
            passed.append(self._finish(content[at:end], content[end:after]))
            at = after
        if last:
            self._line, self._held = b"", []
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def _begin(self, part: bytes) -> bytes:
        """Part of a line whose end is missing."""
        if self._passing:
            return self._note(part)
        line = self._line = self._line + part
        if self._listener.judges:
            _require(len(line), self._listener.most)
            return b""
        if line.startswith(_ID[: len(line)]):
            _require(len(line), LONGEST_ID)
            return b""
        self._passing = True
        self._line = b""
        return self._note(line)

    def _note(self, part: bytes) -> bytes:
        self._copied += len(part)
        if self._copied <= self._listener.most:
            self._copy.append(part)
        return part

    def _finish(self, part: bytes, ending: bytes) -> bytes:
        """The end of a line."""
        if self._passing:
            self._note(part)
            self._say(b"".join(self._copy), self._copied)
            self._passing = False
            self._copy, self._copied = [], 0
            return part + ending
        line = self._line + part
        self._line = b""
        if not line:
            return self._end_event(ending)
        if line.partition(b":")[0] == _ID:
            _require(len(line), LONGEST_ID)
            value = line[len(_ID) + 1 :].removeprefix(b" ")
            line = line if not value else b"id: " + self._listener.name(value)
        else:
            self._say(line, len(line))
        if not self._listener.judges:
            return line + ending
        self._holding += len(line) + len(ending)
        _require(self._holding, self._listener.most)
        self._held.append(line + ending)
        return b""

    def _say(self, line: bytes, size: int) -> None:
        """Read a line that is no id; `size` is what it really has, in bytes."""
        name, _, value = line.partition(b":")
        if name != _DATA:
            return
        self._read += size
        if self._read <= self._listener.most:
            self._event.append(value.removeprefix(b" "))

    def _end_event(self, ending: bytes) -> bytes:
        held, event, size = self._held, self._event, self._read
        self._held, self._event, self._read, self._holding = [], [], 0, 0
        content = b"\n".join(event)
        if content and size <= self._listener.most:
            told = self._listener.event(content)
            if told is not content and self._listener.judges:
                held = [line for line in held if line.partition(b":")[0].rstrip(b"\r\n") != _DATA]
                held.append(b"data: " + told + b"\n")
        return b"".join(held) + ending


def _end_of_line(content: bytes, at: int) -> tuple[int, int]:
    """Where the line ends and where the next one begins; -1 if the end is not there yet."""
    feed = content.find(b"\n", at)
    carriage = content.find(b"\r", at, feed if feed >= 0 else len(content))
    if carriage < 0:
        return feed, feed + 1
    after = carriage + 1
    return carriage, after + 1 if content.startswith(b"\n", after) else after


def _require(size: int, most: int) -> None:
    if size > most:
        raise Refusal("upstream_failed", "An event of the upstream is longer than the gateway reads.")
