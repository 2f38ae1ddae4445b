"""Lets gateways in other processes follow the feed over HTTP, and nobody else; knows nothing of what it carries."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, final

import orjson
from aiohttp import web

from gateway import telemetry
from gateway.authority import wire
from gateway.authority.authority import Authority
from gateway.authority.outlet import Outlet
from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError, answer, answer_errors
from gateway.endpoints.callers import peer_of
from gateway.endpoints.forms import invalid
from gateway.endpoints.peer_certificate import certificate_of, own_authorities_of
from gateway.endpoints.sites import BODY
from gateway.identity.x509_svid import CertificateProblem, verify_chain
from gateway.limits.wishes import read_event
from gateway.stores.store import StoreUnavailableError

MOST_LINES: Final = 512
"""The most gateways that follow one authority; a further one is told to come later."""
STALLED: Final = 10.0
"""Seconds for which a gateway may take nothing of what is written to it; then it is cut."""

_EPOCH = re.compile(r"[0-9a-f]{0,64}").fullmatch
_AFTER = re.compile(r"[0-9]{1,15}").fullmatch
_NAME = re.compile(r"[0-9a-z-]{0,64}").fullmatch
_log = telemetry.logger("feed")


@final
class Gateways:
    """Who is a gateway: users of this host over the Unix socket, names in client certificates over TLS."""

    def __init__(self, users: frozenset[int], certificates: frozenset[str], clock: Clock) -> None:
        """`users` by their ids; `certificates` by a URI or DNS name among their subject alternative names."""
        self._clock: Final = clock
        self._users: Final = users
        self._certificates: Final = certificates

    def check(self, request: web.Request) -> None:
        """Raises `AnswerError` for whoever is none."""
        peer = peer_of(request)
        if peer is not None and peer.uid in self._users:
            return
        if peer is None and not self._certificates.isdisjoint(_names(request)) and self._vouched(request):
            return
        raise AnswerError(403, "not_a_gateway", "You are no gateway of this authority; gateways stand in authority.gateways.")

    def _vouched(self, request: web.Request) -> bool:
        """Whether `client_ca` stands above the certificate: where agents of other trust domains connect, it need not."""
        shown, own = certificate_of(request), own_authorities_of(request)
        if shown is None or own is None:
            return shown is not None
        try:
            verify_chain(shown, own, self._clock.now(), "client_ca")
        except CertificateProblem:
            return False
        return True


@final
class FeedEndpoint:
    """`GET /feed?epoch=E&after=SEQ`: everything after that, then whatever happens, until either side ends it."""

    def __init__(self, authority: Authority, gateways: Gateways, policy: Callable[[], str], clock: Clock) -> None:
        """`policy` tells the digest of the authority's policy now."""
        self._feed: Final = authority.feed
        self._lending: Final = authority.lending
        self._lines: Final[dict[str, Outlet]] = {}
        self._gateways: Final = gateways
        self._policy: Final = policy
        self._clock: Final = clock
        self._open: Final[set[Outlet]] = set()

    @property
    def open(self) -> int:
        """How many gateways follow now."""
        return len(self._open)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with server-sent events."""
        self._gateways.check(request)
        epoch, after, name = _position(request)
        if len(self._open) >= MOST_LINES:
            raise AnswerError(503, "temporarily_unavailable", "Too many gateways follow this authority.", {"Retry-After": "2"})
        if epoch:
            await self._feed.remembered(epoch, after)
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "Server": "doorward"})
        response.content_type = "text/event-stream"
        outlet = Outlet(self._policy)
        self._open.add(outlet)
        try:
            await response.prepare(request)
            epoch_kept = bool(epoch) and epoch == self._feed.epoch
            await self._write(response, wire.start(epoch_kept=epoch_kept, at=self._clock.boot()))
            await self._serve(response, outlet, epoch, after, name)
        except StoreUnavailableError:  # the gateway comes again, and the heartbeat has told
            pass
        except (TimeoutError, ConnectionError):
            _log.warning("gateway_cut", reason="it takes nothing of what is written to it")
        finally:
            self._open.discard(outlet)
            if self._lines.get(name) is outlet:
                del self._lines[name]
                self._lending.leave(name)
            with suppress(ValueError):
                self._feed.unsubscribe(outlet)
            if (transport := request.transport) is not None:
                transport.abort()
        return response

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /gateway/events`: what the leases of a gateway say; the answers go down its line."""
        self._gateways.check(request)
        try:
            document = orjson.loads(await request.read())
            name, said = document["gateway"], document["events"]
            events = [read_event(each) for each in said]
        except (ValueError, KeyError, TypeError):
            raise invalid("Send JSON with the gateway and its events.") from None
        if not isinstance(name, str) or name not in self._lines:
            raise AnswerError(409, "no_line", "This gateway has no line to the feed; dial it first.")
        self._lending.take(name, events)
        return answer({})

    async def close(self, _application: web.Application | None = None) -> None:
        """End all lines, as the authority stops."""
        for outlet in self._open:
            outlet.close()

    async def _serve(self, response: web.StreamResponse, outlet: Outlet, epoch: str, after: int, name: str) -> None:
        async def between() -> None:
            await self._write(response, outlet.take())

        await self._feed.subscribe(outlet, epoch, after, between=between)
        if name:
            self._lines[name] = outlet
            self._lending.join(name, outlet)
        while waiting := await outlet.waiting():
            await self._write(response, waiting)

    async def _write(self, response: web.StreamResponse, text: bytes) -> None:
        if text:
            async with asyncio.timeout(STALLED):
                await response.write(text)


def feed_application(feed: FeedEndpoint) -> web.Application:
    """The feed alone, for the gateways that a parent starts."""
    application = web.Application(middlewares=[answer_errors], client_max_size=BODY)
    application.add_routes([web.get("/feed", feed.get), web.post("/gateway/events", feed.post)])
    application.on_shutdown.append(feed.close)
    return application


def _position(request: web.Request) -> tuple[str, int, str]:
    query = request.query
    name = query.get("gateway", "")
    epoch, after = query.get("epoch", ""), query.get("after", "0")
    if (
        set(query) - {"epoch", "after", "gateway"}
        or _NAME(name) is None
        or len(set(query)) != len(query)
        or _EPOCH(epoch) is None
        or _AFTER(after) is None
    ):
        raise invalid("The parameters are epoch, after and gateway, each at most once: where your last heartbeat left you.")
    return epoch, int(after), name


def _names(request: web.Request) -> set[str]:
    transport = request.transport
    shown: dict[str, Any] = {} if transport is None else transport.get_extra_info("peercert") or {}
    return {value for kind, value in shown.get("subjectAltName", ()) if kind in ("URI", "DNS")}
