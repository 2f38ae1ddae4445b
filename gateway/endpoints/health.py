"""Says how a Doorward is: alive, ready or why not, and in figures; knows no operator and no task."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from aiohttp import web

from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.endpoints.answers import answer, answer_errors
from gateway.endpoints.sites import BODY, Site, start_site
from gateway.http.unix_socket import EVERY_USER
from gateway.metrics.figures import CONTENT_TYPE, Figures

LINES_AT_ONCE: Final = 500
"""Lines of `/metrics` that are written before requests have their turn."""


@final
@dataclass(frozen=True, slots=True)
class Health:
    """How a Doorward is, for whoever asks.

    `unready` says why requests would be refused now, and nothing when they would not; `notices` what else an operator should
    know; `measure` takes all figures anew.
    """

    unready: Callable[[], Sequence[str]]
    notices: Callable[[], Sequence[str]]
    measure: Callable[[], Awaitable[Figures]]


@final
class HealthEndpoints:
    """`GET /healthz`, `GET /readyz` and `GET /metrics`."""

    def __init__(self, health: Health, clock: Clock) -> None:
        """`health` is asked each time."""
        self._health: Final = health
        self._clock: Final = clock

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        """This answers as long as the program runs."""
        return answer({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.StreamResponse:
        """503 with the reasons while requests would be refused; notices leave it ready."""
        reasons = [*self._health.unready()]
        notices = [*self._health.notices(), *_of_clock(self._clock)]
        return answer({"ready": not reasons, "reasons": reasons, "notices": notices}, 503 if reasons else 200)

    async def metrics(self, _request: web.Request) -> web.StreamResponse:
        """All figures in the text format of Prometheus. Requests have their turn while a long text is written."""
        figures = await self._health.measure()
        figures.put("doorward_ready", not self._health.unready())
        text = bytearray()
        for number, line in enumerate(figures.lines(), 1):
            text += line.encode() + b"\n"
            if number % LINES_AT_ONCE == 0:
                await self._clock.sleep(0)
        return web.Response(body=bytes(text), headers={"Content-Type": CONTENT_TYPE, "Server": "doorward"})

    def routes(self) -> Sequence[web.RouteDef]:
        """All three."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz), web.get("/metrics", self.metrics)]


def _of_clock(clock: Clock) -> Iterator[str]:
    """Why valid identities and tokens may look expired, or too young."""
    if seconds := int(clock.set_back()):
        yield f"the machine's clock was set back and is {seconds} seconds behind; time here steps back only at a new start"


async def start_health_site(health: Health, listen: str | None, *, resolve: Callable[[str], Path], clock: Clock) -> Site | None:
    """Answer on the address of `admin.listen`, if there is one. Raises `DoorwardError`."""
    if listen is None:
        return None
    application = health_application(health, clock)
    return await start_site(application, [parse_address(listen)], mode=EVERY_USER, resolve=resolve, clock=clock)


def health_application(health: Health, clock: Clock) -> web.Application:
    """These alone, for whoever may connect."""
    application = web.Application(middlewares=[answer_errors], client_max_size=BODY)
    application.add_routes(HealthEndpoints(health, clock).routes())
    return application
