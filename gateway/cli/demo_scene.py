"""The scene that the demo plays: each step, what it should show and what it showed; knows nothing of how that looks."""

import json
import secrets
import shutil
import socket
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from gateway.audit.show import Exchange, usual_of
from gateway.cli import demo_upstream
from gateway.cli.demo_children import Children
from gateway.errors import DoorwardError
from gateway.fetch import Answer, Fetch

CONFIGURATION: Final = "doorward.yaml"
KEY_FILE: Final = "billing.key"
UPSTREAM_FILE: Final = "upstream.py"
PATH: Final = "/invoices?limit=2"

_KEY_BYTES: Final = 16
_PORTS: Final = range(10_000, 30_000)
_DIGITS_OF_TASK: Final = 8
_AGENTS_OWN: Final = {
    "Cookie": "session=the-agents-own",
    "X-Api-Key": "a-guess-of-the-agent",
    "Accept": "application/json",
    "User-Agent": "demo-agent/1",
}
_TOKEN_SHOWN: Final = "Bearer (the task token)"  # noqa: S105 these words stand where the token was
_NOT_FOR_UPSTREAMS: Final = ("authorization", "cookie")


class Ports(NamedTuple):
    """Where the parts of the scene listen, all on this machine only."""

    gateway: int
    authority: int
    upstream: int

    @classmethod
    def free(cls) -> "Ports":
        """Three ports on which nothing listens now, of those that no other program is given unasked. Raises `DoorwardError`."""
        found: list[int] = []
        for _ in _PORTS:
            port = _PORTS[secrets.randbelow(len(_PORTS))]
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found += [port] * (port not in found)
            if len(found) == len(cls._fields):
                return cls(*found)
        raise DoorwardError(
            f"no three ports from {_PORTS.start} to {_PORTS.stop - 1} are free on 127.0.0.1; end what holds them"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step showed: one line to compare, what the caller was told to do next, and a table to look at."""

    line: str
    told: str = ""
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it went. It went well if what was seen begins with what was expected."""

    number: int
    title: str
    does: str
    expected: str
    seen: Seen

    @property
    def well(self) -> bool:
        """Whether the step was as it should be."""
        return self.seen.line.startswith(self.expected)


class Act(NamedTuple):
    """One step to play."""

    title: str
    does: str
    expected: str
    play: Callable[[], Awaitable[Seen]]


@final
class Scene:
    """One upstream, one Doorward and one agent, on ports that were free a moment ago."""

    def __init__(self, folder: Path, ports: Ports, children: Children, fetch: Fetch) -> None:
        """`folder` exists and is empty but for the mark."""
        self._folder: Final = folder
        self._ports: Final = ports
        self._children: Final = children
        self._fetch: Final = fetch
        self._doorward: Process | None = None
        self._token = ""
        self._task = ""

    async def play(self, report: Callable[[Step], None]) -> bool:
        """Play until a step is not as it should be. Returns whether all were."""
        for number, act in enumerate(self._acts(), 1):
            try:
                seen = await act.play()
            except DoorwardError as error:
                seen = Seen(str(error))
            step = Step(number, act.title, act.does, act.expected, seen)
            report(step)
            if not step.well:
                return False
        return True

    def _acts(self) -> tuple[Act, ...]:
        init = " ".join(("doorward", *self._init_words()))
        call = f"/billing{PATH}"
        return (
            Act("An API that knows nothing but a static key", f"GET {PATH}, straight to it, without its key",
                "401 key_missing", self._upstream_starts),
            Act("A configuration for it", init, "wrote doorward.yaml", self._configuration_is_made),
            Act("Doorward in front of it", "doorward serve", "it listens", self._doorward_starts),
            Act("A call without a token", f"GET {call}", "401 token_missing", self._call_without_token),
            Act("A task, and a token for it", "doorward token --intent billing.read", "a token for billing.read",
                self._token_is_issued),
            Act("The wrong intent", f"POST {call}, declared as billing.read", "403 intent_mismatch", self._wrong_intent),
            Act("The right call", f"GET {call}, declared as billing.read",
                "200: its own key arrived, and nothing of the caller's", self._right_call),
            Act("The task is done", "doorward task complete TASK", "completed", self._task_is_completed),
            Act("The same token once more", f"GET {call}, declared as billing.read", "401 token_revoked", self._same_token),
            Act("Doorward is told to stop", "SIGTERM", "exit 0", self._doorward_stops),
            Act("The log is as it was written", "doorward audit verify", "intact", self._log_is_verified),
            Act("Who did what, for which task", "doorward audit show", "1 call allowed, 3 denied", self._log_is_shown),
        )  # fmt: skip

    def _init_words(self) -> tuple[str, ...]:
        url = f"http://127.0.0.1:{self._ports.upstream}"
        return ("init", "--upstream", url, "--name", "billing", "--header", demo_upstream.KEY_HEADER, "--secret-file", KEY_FILE)

    async def _upstream_starts(self) -> Seen:
        key = self._folder / KEY_FILE
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(_KEY_BYTES) + "\n")
        shutil.copyfile(demo_upstream.__file__, self._folder / UPSTREAM_FILE)
        port = self._ports.upstream
        await self._children.start(UPSTREAM_FILE, str(port), KEY_FILE, port=port, log="upstream.log")
        return _outcome(await self._fetch.request("GET", f"http://127.0.0.1:{port}{PATH}"))

    async def _configuration_is_made(self) -> Seen:
        said = await self._children.run(*self._init_words())
        # `doorward init` writes the usual ports; these may be in use here, and the demo disturbs nobody.
        file = self._folder / CONFIGURATION
        text = file.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{self._ports.gateway}")
        file.write_text(text.replace("127.0.0.1:8081", f"127.0.0.1:{self._ports.authority}"))
        return Seen(said.splitlines()[0])

    async def _doorward_starts(self) -> Seen:
        port = self._ports.gateway
        self._doorward = await self._children.start("-m", "gateway", "serve", port=port, log="serve.log")
        return Seen(f"it listens on 127.0.0.1:{port}")

    async def _call_without_token(self) -> Seen:
        return _outcome(await self._call("GET", {}))

    async def _token_is_issued(self) -> Seen:
        answer = json.loads(await self._children.run("token", "--json", "--intent", "billing.read"))
        self._token, self._task = answer["access_token"], answer["task"]
        minutes = -(-answer["expires_in"] // 60)
        return Seen(
            f"a token for {answer['scope']}, good for {minutes} minutes and for task {self._task[:_DIGITS_OF_TASK]} alone"
        )

    async def _wrong_intent(self) -> Seen:
        return _outcome(await self._call("POST", self._agents_headers()))

    async def _right_call(self) -> Seen:
        sent = {**self._agents_headers(), **_AGENTS_OWN}
        answer = await self._call("GET", sent)
        if answer.status != HTTPStatus.OK:
            return _outcome(answer)
        received: Mapping[str, str] = answer.json()["headers"]
        shown = {"Host": f"127.0.0.1:{self._ports.gateway}", **sent, "Authorization": _TOKEN_SHOWN}
        return Seen(f"200: {self._judge(received)}", table=_side_by_side(shown, received))

    def _judge(self, received: Mapping[str, str]) -> str:
        names = {name.lower() for name in received}
        leaked = sorted(name for name in names if name in _NOT_FOR_UPSTREAMS or name.startswith("agent-"))
        if leaked or self._token in str(received):
            return f"the upstream received {', '.join(leaked) or 'the token'}"
        return "its own key arrived, and nothing of the caller's"

    async def _task_is_completed(self) -> Seen:
        ended = json.loads(await self._children.run("task", "complete", self._task, "--json"))
        return Seen(str(ended["state"]))

    async def _same_token(self) -> Seen:
        return _outcome(await self._call("GET", self._agents_headers()))

    async def _doorward_stops(self) -> Seen:
        if self._doorward is None:
            raise DoorwardError("it was not started")
        return Seen(f"exit {await self._children.end(self._doorward)}")

    async def _log_is_verified(self) -> Seen:
        return Seen((await self._children.run("audit", "verify")).splitlines()[0])

    async def _log_is_shown(self) -> Seen:
        lines = (await self._children.run("audit", "show", "--json")).splitlines()
        found = [Exchange(pair["request"], pair["response"]) for pair in map(json.loads, lines)]
        decisions = [exchange.request["decision"] for exchange in found]
        table = (("time", "task", "intent", "operation", "decision", "status", "took"), *map(_row, found))
        return Seen(f"{decisions.count('allow')} call allowed, {decisions.count('deny')} denied", table=table)

    async def _call(self, method: str, headers: Mapping[str, str]) -> Answer:
        return await self._fetch.request(method, f"http://127.0.0.1:{self._ports.gateway}/billing{PATH}", headers=headers)

    def _agents_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Agent-Intent": 'billing.read;reason="close March"'}


def _outcome(answer: Answer) -> Seen:
    """Status and code, as Doorward's problems and the upstream's errors both have them."""
    members: Mapping[str, Any] = answer.json()
    code = members.get("code") or members.get("error") or ""
    return Seen(f"{answer.status} {code}".strip(), told=str(members.get("remedy", "")))


def _side_by_side(sent: Mapping[str, str], received: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    arrived = {name.lower(): value for name, value in received.items()}
    known = {name.lower() for name in (*sent, "Accept-Encoding")}
    both = ((name, value, arrived.get(name.lower(), "-")) for name, value in sent.items())
    added = ((name, "-", value) for name, value in received.items() if name.lower() not in known)
    return (("header", "the agent sent", "the upstream received"), *both, *added)


def _row(exchange: Exchange) -> tuple[str, ...]:
    """Without the day and the agent, which are the same in every row here."""
    time, _agent, task, *others = exchange.row(usual_of([exchange]))
    return (time[11:19], task[:_DIGITS_OF_TASK], *others)
