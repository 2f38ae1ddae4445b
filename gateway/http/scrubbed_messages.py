"""Follows the frames of WebSocket messages from an upstream while the injected secret is kept out of them; knows not how.

The secret is looked for in each message, across its frames and reads (RFC 6455 §5.4); the framing stays as it came. Nothing is
held back beyond the end of a message, for the other side may answer nothing before it has it.
"""

from typing import Final, final

from gateway.errors import Refusal
from gateway.http.scrubbed_body import lay_out
from gateway.http.scrubber import Scrubber, Stream
from gateway.model import Outcome

MOST_HELD: Final = 1024
"""How many parts of frames may wait behind the beginning of what could be the secret; none has more than 127 bytes."""
MOST_AT_ONCE: Final = 32768
"""How many frames one read brings at most: where more have room, their contents have fewer than six bytes each."""


class _Bits:
    """What the first two bytes of a frame say (RFC 6455 §5.2)."""

    FIN: Final = 0x80
    RESERVED: Final = 0x70
    OPCODE: Final = 0x0F
    MASKED: Final = 0x80
    SHORTEST: Final = 2
    LONGEST_CONTROL: Final = 125
    IN_16_BITS: Final = 126
    IN_64_BITS: Final = 127


class _Opcode:
    """What a frame is (RFC 6455 §5.2)."""

    CONTINUATION: Final = 0x0
    BINARY: Final = 0x2
    CLOSE: Final = 0x8
    PONG: Final = 0xA


_EXTENDED: Final = {_Bits.IN_16_BITS: 2, _Bits.IN_64_BITS: 8}
"""How many bytes of length follow the first two of a frame."""


@final
class ScrubbedMessages:
    """What an upstream sends over a WebSocket without extensions, so that what it says stands there in plain."""

    __slots__ = (
        "_control",
        "_head",
        "_last",
        "_layout",
        "_left",
        "_message",
        "_outcome",
        "_scrubber",
        "done",
        "payload",
        "rest",
    )

    def __init__(self, scrubber: Scrubber, outcome: Outcome) -> None:
        self._scrubber: Final = scrubber
        self._outcome: Final = outcome
        self._head = b""
        """What has come of the head of a frame."""
        self._left = 0
        """Bytes that are missing from the frame."""
        self._message: Stream | None = None
        """The message that has begun and not ended."""
        self._last = False
        """Whether the data frame is the last one of its message."""
        self._control: bytes | None = None
        """What has come of the content of a control frame; None within other frames."""
        self._layout: list[bytes | int] = []
        """What is to be passed on next: framing, and the lengths of content that is held back."""
        self.done = False
        self.payload = 0
        """Bytes that were passed on, framing included."""
        self.rest = b""

    @property
    def between_frames(self) -> bool:
        """Whether what was passed on so far ends with a whole frame, so that another one may follow."""
        return not self._left and not self._layout

    def feed(self, data: bytes) -> bytes:
        """Pass on framing as it came and content that is no secret. Raises `Refusal` for what is no frame of a server."""
        passed: list[bytes] = []
        at = frames = 0
        while at < len(data):
            if self._left:
                content = data[at : at + self._left]
                at += len(content)
                self._left -= len(content)
                passed.append(self._content(content))
            else:
                missing = _size_of_head(self._head) - len(self._head)
                self._head += data[at : at + missing]
                at += missing
                passed.append(self._begin_frame())
                frames += not self._head
                if frames > MOST_AT_ONCE:
                    raise _broken("is one of too many at once")
        return self._count(b"".join(passed))

    def end(self) -> bytes:
        """The upstream closed the connection in good order: what is held back is no secret."""
        self.done = True
        message, self._message = self._message, None
        return self._count(b"" if message is None else lay_out(self._layout, message.pass_on(b"", last=True)))

    def _begin_frame(self) -> bytes:
        """Read the head of a frame if it is there, and let it wait for its turn."""
        head = self._head
        if len(head) < _Bits.SHORTEST:
            return b""
        first, second = head[0], head[1]
        self._require_frame(first, second)
        size = _size_of_head(head)
        if len(head) < size:
            return b""
        length = int.from_bytes(head[_Bits.SHORTEST :]) if size > _Bits.SHORTEST else second
        if length >> 63:
            raise _broken("has a length of 64 bits")
        self._head = b""
        self._left = length
        self._layout.append(head)
        if first & _Bits.OPCODE >= _Opcode.CLOSE:
            self._control = b""
        else:
            self._last = bool(first & _Bits.FIN)
            if self._message is None:
                self._message = self._scrubber.stream(self._outcome)
        return self._content(b"") if not length else self._lay_out(b"")

    def _require_frame(self, first: int, second: int) -> None:
        opcode = first & _Bits.OPCODE
        if first & _Bits.RESERVED or second & _Bits.MASKED:
            raise _broken("is masked or extended")
        if opcode >= _Opcode.CLOSE:
            if opcode > _Opcode.PONG or not first & _Bits.FIN or second > _Bits.LONGEST_CONTROL:
                raise _broken("is no control frame")
        elif opcode > _Opcode.BINARY or (opcode == _Opcode.CONTINUATION) is (self._message is None):
            raise _broken("stands where no such one can stand")

    def _content(self, content: bytes) -> bytes:
        """Take a part of a frame's content; what may go on is returned."""
        if self._control is not None:
            self._control += content
            if self._left:
                return b""
            whole, self._control = self._control, None
            if whole:
                self._layout.append(self._scrubber.stream(self._outcome).pass_on(whole, last=True))
            return self._lay_out(b"")
        message = self._message
        if message is None:
            raise _broken("belongs to no message")
        ended = self._last and not self._left
        if ended:
            self._message = None
        self._layout.append(len(content))
        return self._lay_out(message.pass_on(content, last=ended))

    def _lay_out(self, content: bytes) -> bytes:
        passed = lay_out(self._layout, content)
        if len(self._layout) > MOST_HELD:
            raise _broken("is one of too many within a message that could hold the secret")
        return passed

    def _count(self, passed: bytes) -> bytes:
        self.payload += len(passed)
        return passed


def _size_of_head(head: bytes) -> int:
    """How many bytes the head of a frame has at least, by those that are here."""
    return _Bits.SHORTEST + _EXTENDED.get(head[1], 0) if len(head) >= _Bits.SHORTEST else _Bits.SHORTEST


def _broken(what: str) -> Refusal:
    return Refusal("upstream_failed", f"A WebSocket frame of the upstream {what}.")
