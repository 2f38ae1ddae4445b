"""Heads that were permitted before, to be read at less cost when they come again, whole or in part; knows no policy.

Most clients send the same fields with every request, and differ in the request line and the trace alone. So beside whole
heads the fields are remembered without that line and without a `traceparent` of the usual form: what they say follows from
their bytes and the vocabulary, whichever line stands above them.
"""

from typing import Final, final

from gateway.http.fields import Field, Role, Vocabulary
from gateway.http.framing import Framing
from gateway.http.head import Recurring, RequestHead, read_request_line, read_trace
from gateway.http.memory import ENTRIES, Memory
from gateway.http.target import AmbiguousTargetError

_TRACE: Final = b"\r\ntraceparent: 00-"
_TRACE_NAME: Final = len(b"\r\ntraceparent: ")
_TRACE_LINE: Final = _TRACE_NAME + 55


@final
class _Fields:
    """What the fields of a head say, but for its trace. `lines` counts them."""

    __slots__ = ("expects_continue", "forward", "framing", "host", "keep", "lines", "recurring", "wants_trailers", "watched")

    def __init__(self, head: RequestHead, lines: int) -> None:
        self.lines: Final = lines
        self.forward: Final[list[bytes]] = head.forward
        self.watched: Final[dict[str, list[Field]]] = {
            name: fields for name, fields in head.watched.items() if name != "traceparent"
        }
        self.framing: Final[Framing] = head.framing
        self.host: Final[bytes] = head.host
        self.keep: Final[bool] = head.keep
        self.expects_continue: Final[bool] = head.expects_continue
        self.wants_trailers: Final[bool] = head.wants_trailers
        self.recurring: Final = Recurring()


@final
class Permitted:
    """The heads that were permitted under one vocabulary. A parsed head is never changed, so it serves again."""

    __slots__ = ("_fields", "_heads", "_most_lines", "known")

    def __init__(self, vocabulary: Vocabulary, most_lines: int, entries: int = ENTRIES) -> None:
        """`vocabulary` is the one that the heads are parsed by, and `most_lines` how many fields a head may have."""
        traced = vocabulary.role_of("traceparent") == Role.WATCHED
        self._heads: Final[Memory[RequestHead]] = Memory(entries)
        self._fields: Final[Memory[_Fields]] = Memory(entries if traced else 0)
        self._most_lines: Final = most_lines
        self.known: Final = self._heads.known
        """Whole heads by their bytes."""

    def assemble(self, raw: bytes) -> RequestHead | None:
        """The head whose fields came before under another request line or trace; None for one that has to be parsed."""
        if not self._fields.known:
            return None
        end = raw.find(b"\r\n")
        at = raw.find(_TRACE, end)
        trace = None
        if at < 0:
            fields = self._fields.known.get(raw[end:])
        else:
            fields = self._fields.known.get(raw[end:at] + raw[at + _TRACE_LINE :])
            trace = read_trace(raw[at + _TRACE_NAME : at + _TRACE_LINE])
            if (
                trace is None
                or not _ends_line(raw, at + _TRACE_LINE)
                or (fields is not None and fields.lines == self._most_lines)
            ):
                return None
        if fields is None:
            return None
        try:
            head = read_request_line(raw, raw[:end])
        except AmbiguousTargetError:
            return None
        if head.http_1_0 or head.absolute is not None:
            return None
        head.forward = fields.forward
        head.watched = fields.watched
        head.framing = fields.framing
        head.host = fields.host
        head.keep = fields.keep
        head.expects_continue = fields.expects_continue
        head.wants_trailers = fields.wants_trailers
        head.trace = trace
        head.recurring = fields.recurring
        return head

    def keep(self, head: RequestHead) -> None:
        """Remember a head that was permitted."""
        if head.kept:
            return
        head.kept = self._heads.keep(head.raw, head)
        if head.recurring is not None or head.http_1_0 or head.absolute is not None or head.upgrade is not None:
            return
        raw = head.raw
        end = raw.find(b"\r\n")
        at = raw.find(_TRACE, end)
        traced = 0 if at < 0 else 1
        if len(head.watched.get("traceparent", ())) != traced or (head.trace is None) == bool(traced):
            return
        if traced and not _ends_line(raw, at + _TRACE_LINE):
            return  # a trace in another spelling, twice, or of no meaning
        rest = raw[end:] if at < 0 else raw[end:at] + raw[at + _TRACE_LINE :]
        self._fields.keep(rest, _Fields(head, rest.count(b"\r\n")))


def _ends_line(raw: bytes, at: int) -> bool:
    """Whether a line ends here."""
    return at == len(raw) or raw.startswith(b"\r\n", at)
