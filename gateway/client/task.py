"""One task from its opening to its end, kept alive by a thread of its own; knows no HTTP library that its token is used with.

The thread opens the task, sends heartbeats, renews the token and ends the task, so that none of it depends on a loop that is
busy or on a call that blocks. When the process dies, the heartbeats stop, and with them the task.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self, final
from urllib.parse import urlsplit

from gateway.client.calls import COMPLETED, FAILED, Calls, Issued
from gateway.client.errors import AuthorityUnreachableError, ClientError, MisusedError, NoTokenError, TaskEndedError
from gateway.client.hooks import Auth, Middleware, Put, declaration

AGAIN: Final = 1.0
"""Seconds after which what failed is tried again."""
END_TRIES: Final = 3
"""How often the end of a task is told to an authority that does not answer; then the silence tells it."""
_RENEW_AT: Final = 0.5
_BEAT_AT: Final = 0.3
_SHORTEST: Final = 0.05
_PORTS: Final = {"http": 80, "https": 443}


@final
class Task:
    """A context manager, for `with` and for `async with`, to be entered once."""

    def __init__(self, calls: Calls, gateway: str, intents: Sequence[str], params: Mapping[str, str]) -> None:
        """`Client.task` makes it. Nothing is asked of the authority before the block begins."""
        self._calls: Final = calls
        self._gateway: Final = gateway
        self._wanted: Final = tuple(intents)
        self._params: Final = dict(params)
        self._opened: Final[Future[None]] = Future()
        self._ended: Final[Future[None]] = Future()
        self._ending: Final = threading.Event()
        self._how = FAILED
        self._issued: Issued | None = None
        self._id = ""
        self._expires = 0.0
        self._trouble: ClientError | None = None
        self._thread: Final = threading.Thread(target=self._live, name="doorward task", daemon=True)

    # What the agent's code uses inside of the block.

    @property
    def id(self) -> str:
        """The id of the task, by which operators and the audit log know it."""
        return self._open().task

    @property
    def intents(self) -> tuple[str, ...]:
        """What the task may declare."""
        return self._open().intents

    @property
    def token(self) -> str:
        """The current task token. Raises `NoTokenError`, and `TaskEndedError` once the authority has said so."""
        issued = self._open()
        if isinstance(self._trouble, TaskEndedError):
            raise self._trouble
        if _now() >= self._expires:
            raise NoTokenError("the token of the task has run out and could not be renewed yet") from self._trouble
        return issued.token

    def url(self, path: str) -> str:
        """The address of a path on the gateway, such as `/billing/v1/invoices`. Raises `MisusedError`."""
        if not self._gateway:
            raise MisusedError("name the gateway: Client(gateway=...), or the environment variable DOORWARD_GATEWAY")
        return self._gateway + ("" if path.startswith("/") else "/") + path

    def headers(self, intent: str | None = None, *, reason: str | None = None, tool: str | None = None) -> dict[str, str]:
        """Token and declared intent as headers, good for one request now and for no later one.

        Without `intent` it is the task's only one. Raises `NoTokenError`, `TaskEndedError`, `MisusedError`.
        """
        declared = declaration(self._declared(intent), reason=reason, tool=tool)
        return {"Authorization": f"Bearer {self.token}", "Agent-Intent": declared}

    def auth(self, intent: str | None = None, *, reason: str | None = None, tool: str | None = None) -> Auth:
        """For `auth=` of requests and httpx, of a call, a session or a client: puts the current token on each request."""
        return Auth(self._put(intent, reason=reason, tool=tool))

    def middleware(self, intent: str | None = None, *, reason: str | None = None, tool: str | None = None) -> Middleware:
        """For `middlewares=(...,)` of aiohttp, of a call or a session: puts the current token on each request."""
        return Middleware(self._put(intent, reason=reason, tool=tool))

    # Blocks.

    def __enter__(self) -> Self:
        """Open the task. Raises `ClientError`."""
        self._start()
        try:
            self._opened.result()
        except BaseException:
            self._ending.set()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the task. Raises `ClientError` only where nothing else is raised already."""
        self._leave(error)
        try:
            self._ended.result()
        except ClientError as trouble:
            _tell(trouble, error)

    async def __aenter__(self) -> Self:
        """Open the task. Raises `ClientError`."""
        self._start()
        try:
            await asyncio.wrap_future(self._opened)
        except BaseException:
            self._ending.set()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the task. Raises `ClientError` only where nothing else is raised already."""
        self._leave(error)
        try:
            await asyncio.wrap_future(self._ended)
        except ClientError as trouble:
            _tell(trouble, error)

    def _start(self) -> None:
        if self._thread.ident is not None:
            raise MisusedError("a task is entered once; make another with Client.task")
        for future in (self._opened, self._ended):
            future.set_running_or_notify_cancel()
        self._thread.start()

    def _leave(self, error: BaseException | None) -> None:
        well = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self._how = COMPLETED if well else FAILED
        self._ending.set()

    def _open(self) -> Issued:
        if self._issued is None or self._ending.is_set():
            raise MisusedError("the task is not open; use it inside of its with block")
        return self._issued

    def _declared(self, intent: str | None) -> str:
        intents = self.intents
        if intent is None and len(intents) > 1:
            raise MisusedError(f"say which intent the request is for: {', '.join(intents)}")
        if intent is not None and intent not in intents:
            raise MisusedError(f"the task has no intent {intent}; it was opened for {', '.join(intents)}")
        return intents[0] if intent is None else intent

    def _put(self, intent: str | None, *, reason: str | None, tool: str | None) -> Put:
        home = _origin(self.url("/"))

        def put(_method: str, url: str) -> Mapping[str, str]:
            """What goes onto this request; a proof of possession will want its method and URL."""
            if _origin(url) != home:
                raise MisusedError(f"the token of a task is for {self._gateway} and goes nowhere else")
            return self.headers(intent, reason=reason, tool=tool)

        return put

    # What its thread does.

    def _live(self) -> None:
        with _Into(self._opened):
            issued = self._took(lambda: self._calls.open_task(self._wanted, self._params))
        if self._opened.exception() is None:
            with _Into(self._ended):
                self._keep(issued)
                self._ending.wait()
                self._end(issued.task)

    def _keep(self, issued: Issued) -> None:
        """Renew and send heartbeats until the block ends, or the task."""
        beat = again = _now()
        renew = beat + issued.lifetime * _RENEW_AT
        while not self._ending.wait(max(_SHORTEST, min(renew, beat) - _now(), again - _now())):
            try:
                if _now() >= beat:
                    beat = _now() + self._calls.heartbeat(issued.task) * _BEAT_AT
                if _now() >= renew:
                    issued = self._took(lambda: self._calls.renew(self._id))
                    renew = _now() + issued.lifetime * _RENEW_AT
                self._trouble = None
            except TaskEndedError as over:
                self._trouble = over
                return
            except ClientError as trouble:
                self._trouble = trouble
                again = _now() + min(AGAIN, issued.lifetime * _BEAT_AT)

    def _end(self, task: str) -> None:
        """Tell the authority how it ended. Raises `ClientError`."""
        for _ in range(END_TRIES - 1):
            try:
                return self._calls.end(task, self._how)
            except AuthorityUnreachableError:
                threading.Event().wait(AGAIN)
        return self._calls.end(task, self._how)

    def _took(self, call: Callable[[], Issued]) -> Issued:
        """A token from the authority; its life is counted from before it was asked for."""
        asked = _now()
        issued = call()
        self._expires = asked + issued.lifetime
        self._issued = issued
        self._id = issued.task
        return issued


@final
class _Into:
    """Gives whatever a block raises, or that it raised nothing, to whoever waits for it in another thread."""

    def __init__(self, future: "Future[None]") -> None:
        self._future: Final = future

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Let the waiting go on."""
        if error is None:
            self._future.set_result(None)
        else:
            self._future.set_exception(error)
        return True


def _tell(trouble: ClientError, error: BaseException | None) -> None:
    """The end of the task could not be told, or it had ended before. What the block raises is more important."""
    if error is None:
        raise trouble
    error.add_note(f"doorward: {trouble}")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _now() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
