"""Follows the framing of a chunked body without changing it (RFC 9112 §7.1); knows no sockets and no meaning of the content.

Chunk extensions are dropped, and so are trailers but for those of a response to which both sides agree; all other bytes
pass as they came.
"""

import re
from typing import Final, final

from gateway.http.trailers import Trailers

LONGEST_LINE: Final = 1024
"""The longest chunk-size line or trailer line that is read, in bytes."""
LARGEST_TRAILER: Final = 8192
MOST_TRAILERS: Final = 32
"""How many bytes and how many lines of trailers are read before the message is refused."""

# RFC 9112 §7.1.1, without the spaces that it lets a recipient expect and forbids every sender.
_SIZE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    rb"(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*\"))?)*)"
).fullmatch
# Who takes trailers for headers would take these for the message's own framing (RFC 9110 §6.5.1), so none may be one.
_TRAILER: Final = re.compile(
    rb"(?!(?i:connection|content[-_]length|host|proxy[-_]connection|transfer[-_]encoding|upgrade):)"
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n"
).fullmatch


class BrokenChunkError(Exception):
    """The bytes are not a chunked body; the sentence may be shown to the sender."""


@final
class ChunkedBody:
    """The state of one chunked body. Feed it what arrives, pass on what it returns, until `done`."""

    __slots__ = ("_after", "_framed", "_left", "_line", "_lines", "_trailer", "_trailers", "done", "payload", "rest")

    def __init__(self, *, framed: bool = True, trailers: Trailers | None = None) -> None:
        """Without `framed` only the content is passed on, and without `trailers` none of them."""
        self._framed: Final = framed
        self._trailers: Final = trailers
        self.done = False
        self.payload = 0
        """Bytes of content so far, without the framing."""
        self.rest = b""
        """What followed the end of the body in the last bytes fed."""
        self._left = 0
        self._after = False
        self._line = b""
        self._trailer = -1
        self._lines = 0

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to pass on. Raises `BrokenChunkError`."""
        passed = self.pieces(data, [])
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def pieces(self, data: bytes, contents: list[int]) -> list[bytes]:
        """The same in pieces, the indices of those that are content put into `contents`. Raises `BrokenChunkError`."""
        passed: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.done:
            if self._left:
                step = min(self._left, size - at)
                contents.append(len(passed))
                passed.append(data[at : at + step] if step < size else data)
                self.payload += step
                self._left -= step
                at += step
                self._after = not self._left
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            line, at = self._line + data[at : end + 1], end + 1
            self._line = b""
            framing = self._read_line(line)
            if self._framed:
                passed.append(framing)
        if self.done:
            self.rest = data[at:]
        return passed

    def _hold(self, part: bytes) -> None:
        self._line += part
        if self._after and self._line != b"\r":
            raise BrokenChunkError("A chunk is longer than its size says.")
        if len(self._line) > LONGEST_LINE:
            raise BrokenChunkError("A chunk-size line is too long.")

    def _read_line(self, line: bytes) -> bytes:
        if line[-2:] != b"\r\n" or len(line) > LONGEST_LINE:
            raise BrokenChunkError("A line of the chunked body does not end in CR LF.")
        if self._after:
            if line != b"\r\n":
                raise BrokenChunkError("A chunk is longer than its size says.")
            self._after = False
            return line
        return self._read_size(line) if self._trailer < 0 else self._read_trailer(line)

    def _read_size(self, line: bytes) -> bytes:
        parts = _SIZE(line[:-2])
        if parts is None:
            raise BrokenChunkError("A chunk-size line is not a hexadecimal number and well-formed extensions.")
        self._left = int(parts[1], 16)
        if not self._left:
            self._trailer = 0
        return parts[1] + b"\r\n" if parts[2] else line

    def _read_trailer(self, line: bytes) -> bytes:
        if line == b"\r\n":
            self.done = True
            return line
        if _TRAILER(line) is None:
            raise BrokenChunkError("A trailer is no header line, or one that delimits messages.")
        self._trailer += len(line)
        self._lines += 1
        if self._trailer > LARGEST_TRAILER or self._lines > MOST_TRAILERS:
            raise BrokenChunkError("The trailers are too large or too many.")
        return b"" if self._trailers is None else self._trailers.admit(line)


def as_chunk(data: bytes) -> bytes:
    """Frame content as one chunk, for a receiver that has to see where the body ends."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
