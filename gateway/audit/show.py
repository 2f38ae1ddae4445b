"""Joins the two records of each exchange into one row and picks rows; knows no files and judges nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, NamedTuple

_MOST_OPEN: Final = 10_000
_ROWS_MEASURED: Final = 500
_WIDEST: Final = 48
_DOMAIN: Final = re.compile(r"spiffe://[^/]+/").match
_COLUMNS: Final = ("time", "agent", "task", "intent", "operation", "decision", "status", "duration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What an exchange must match; None matches all. `since` is an RFC 3339 time in UTC, compared as text."""

    task: str | None = None
    agent: str | None = None
    intent: str | None = None
    request: str | None = None
    decision: str | None = None
    upstream: str | None = None
    since: str | None = None
    tenant: str | None = None
    issuer: str | None = None

    def matches(self, request: Mapping[str, Any]) -> bool:
        """Whether the request record is one that was asked for."""
        intent = request.get("intent") or {}
        named = (intent.get("declared"), *(intent.get("observed") or ()))
        return (
            self.tenant in (None, request.get("tenant"))
            and self.issuer in (None, request.get("issuer"))
            and self.task in (None, request.get("task"))
            and self.agent in (None, request.get("agent"))
            and self.request in (None, request.get("request_id"))
            and self.decision in (None, request.get("decision"))
            and self.upstream in (None, request.get("upstream"))
            and (self.intent is None or self.intent in named)
            and (self.since is None or str(request.get("time")) >= self.since)
        )


class Usual(NamedTuple):
    """Whose most rows are: the trust domain of agents, as the beginning of their names, and who issued their tokens.

    It goes without saying. What is otherwise in a row is said there, or two agents of one name would look like one.
    """

    domain: str = ""
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its closing record, or without one if it is open, was lost, or could not be parsed."""

    request: Mapping[str, Any]
    response: Mapping[str, Any] | None

    def row(self, usual: Usual) -> tuple[str, ...]:
        """What the table shows of it, in the order of its columns."""
        request, response = self.request, self.response or {}
        intent = request.get("intent") or {}
        operation = " ".join(filter(None, (request.get("method"), request.get("path"))))
        duration = response.get("duration_us")
        return (
            str(request.get("time", ""))[:23].replace("T", " "),
            _agent(request, usual),
            str(request.get("task") or "-")[:12],
            str(intent.get("declared") or ",".join(intent.get("observed") or ()) or "-"),
            operation or "(not parsed)",
            _decision(request, response),
            _status(request, response),
            "-" if duration is None else f"{duration / 1000:.1f} ms",
        )


def exchanges(records: Iterable[Mapping[str, Any]], wanted: Filter) -> Iterator[Exchange]:
    """The exchanges that match, each when it closes; those still open come last, oldest first. Memory is bounded."""
    opened: dict[str, Mapping[str, Any]] = {}
    for record in records:
        kind, request_id = record.get("type"), str(record.get("request_id"))
        if kind == "request" and wanted.matches(record):
            if record.get("method") is None:
                yield Exchange(record, None)
                continue
            opened[request_id] = record
            if len(opened) > _MOST_OPEN:
                yield Exchange(opened.pop(next(iter(opened))), None)
        elif kind == "response" and request_id in opened:
            yield Exchange(opened.pop(request_id), record)
    for request in opened.values():
        yield Exchange(request, None)


def table(found: Iterable[Exchange]) -> Iterator[str]:
    """Lines of a table. The first rows set the widths; longer values are cut, at the end or, for paths, in the middle."""
    rest = iter(found)
    begun = list(islice(rest, _ROWS_MEASURED))
    usual = usual_of(begun)
    first, rows = [exchange.row(usual) for exchange in begun], (exchange.row(usual) for exchange in rest)
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(_COLUMNS, *first, strict=True)]
    for row in chain([_COLUMNS], first, rows):
        yield "  ".join(_fit(value, width) for value, width in zip(row, widths, strict=True)).rstrip()


def _fit(value: str, width: int) -> str:
    if len(value) > width:
        half = (width - 1) // 2
        value = f"{value[: width - 1 - half]}…{value[len(value) - half :]}"
    return value.ljust(width)


def usual_of(found: Iterable[Exchange]) -> Usual:
    """What the first of these has that says whose it is."""
    for request in (exchange.request for exchange in found):
        agent = request.get("agent")
        if isinstance(agent, str):
            domain = _DOMAIN(agent)
            return Usual("" if domain is None else domain[0], request.get("issuer"))
    return Usual()


def _agent(request: Mapping[str, Any], usual: Usual) -> str:
    agent, issuer = request.get("agent"), request.get("issuer")
    if not isinstance(agent, str):
        return "-"
    name = agent.removeprefix(usual.domain)
    return name if issuer in (None, usual.issuer) else f"{name} of {issuer}"


def _decision(request: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    code = request.get("code") or response.get("code")
    return str(request.get("decision") or "none") + (f" {code}" if code else "")


def _status(request: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    if not response:
        return "-" if request.get("method") is None else "open"
    ending = str(response.get("ending"))
    status = response.get("status")
    return ending if status is None else str(status) if ending in ("complete", "refused") else f"{status} {ending}"
