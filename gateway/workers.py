"""Several gateway processes and their authority: the parent, which starts, watches and replaces them; passes no request."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Final, final

from gateway import telemetry
from gateway.aside import aside
from gateway.authority.addresses import Address
from gateway.authority_side import AuthoritySide
from gateway.clock import Clock
from gateway.control import Control
from gateway.endpoints.feed import feed_application
from gateway.endpoints.health import Health
from gateway.endpoints.sites import start_site
from gateway.errors import DoorwardError
from gateway.ground import Ground
from gateway.http.bound import Bound, bind_address
from gateway.http.listener import BACKLOG
from gateway.http.turns import leave_out, shared_counts
from gateway.http.unix_socket import OWNER_ONLY
from gateway.identity.identify import Identities
from gateway.identity.replays import KEY_BYTES, shared_memory
from gateway.measuring import measure_authority, measure_ground, measure_reload
from gateway.metrics.figures import Figures
from gateway.reload import Prepared, Reload
from gateway.settings.compile import compile_configuration
from gateway.settings.load import Loaded
from gateway.slot import Slot
from gateway.stores.store import StoreUnavailableError

START: Final = 60.0
"""Seconds within which a worker has to be ready; then it is ended, and started anew."""
PREPARE: Final = 60.0
"""Seconds within which every worker has to have prepared a changed configuration; else it is refused."""
SILENT: Final = 10
"""A worker that reports nothing for so many seconds hangs; it is killed, and started anew."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before a worker that has died is started anew, doubled each time, up to the longest."""
STEADY: Final = 30.0
"""A worker that lived for so many seconds is started anew after the first pause."""
LAST_WORDS: Final = 1.0
"""Seconds for which the last words of a worker that has ended are read."""
LEAVE: Final = 10.0
"""Seconds that a worker is given beyond `gateway.limits.drain` before it is killed."""

_GONE: Final = "gone"
_log = telemetry.logger("workers")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AllPrepared(Prepared):
    """What the authority makes of a configuration that every worker has prepared."""

    identities: Identities


@final
class Workers:
    """The parent. It holds the sockets that agents connect to, so that a worker's death or replacement loses none of them."""

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        """Compile the configuration. Raises `ConfigurationError`; nothing is opened yet."""
        self.ground: Final = Ground(loaded, clock)
        self._authority: Final = AuthoritySide(self.ground)
        self.clock: Final = clock
        self._bound: Final[list[Bound]] = []
        self._slots: Final = [Slot(number) for number in range(1, _count(loaded.document.gateway.workers) + 1)]
        self._kept: list[asyncio.Task[None]] = []
        self._proofs = self._connections = -1
        self._proof_key: Final = secrets.token_bytes(KEY_BYTES)
        self._stopping = False
        self._ends: Final = {"asked": 0, "died": 0}
        """How many workers have ended, as they were asked to or not."""
        self._measuring: Final = asyncio.Lock()
        self._changing: Final = asyncio.Lock()
        """Held while a worker starts, and from when a configuration is prepared until it is in force or given up."""
        self._reload: Reload[AllPrepared] | None = None
        self._started: Final = AsyncExitStack()
        self._feed = str(loaded.resolve(loaded.document.admin.socket.removeprefix("unix:"))) + ".feed"

    @property
    def addresses(self) -> Sequence[str]:
        """Where agents send requests, once started."""
        return [bound.text for bound in self._bound]

    @property
    def health_ports(self) -> Sequence[int]:
        """The TCP port of `admin.listen`, once started, if it has one."""
        return self._authority.health_ports

    @property
    def warnings(self) -> Sequence[str]:
        """What the operator should know."""
        return (*self.ground.warnings, *dict.fromkeys(warning for slot in self._slots for warning in slot.warnings))

    @property
    def processes(self) -> Sequence[int]:
        """The process ids of the workers that live."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    async def start(self) -> None:
        """Start audit, authority and workers, and wait until all of them are ready. Raises `DoorwardError`."""
        loaded = self.ground.loaded
        try:
            await self.ground.start()
            self._started.push_async_callback(self.ground.stop)
            await self._authority.start(Health(self.unready, self._notices, self.measure), self._reload_for)
            self._started.push_async_callback(self._authority.stop)
            feed = feed_application(self._authority.feed)
            site = await start_site(feed, [Address(path=self._feed)], mode=OWNER_ONLY, resolve=loaded.resolve, clock=self.clock)
            self._started.push_async_callback(site.stop)
            self._proofs = shared_memory(len(self._slots))
            self._connections = shared_counts(len(self._slots))
            for descriptor in (self._proofs, self._connections):
                self._started.callback(os.close, descriptor)
            for text in loaded.document.gateway.listen:
                self._bound.append(bind_address(text, loaded.resolve, BACKLOG))
                self._started.callback(self._bound[-1].close)
            self._started.push_async_callback(self._end_workers)
            await asyncio.gather(*[self._start_worker(slot) for slot in self._slots])
            self._kept = [self.clock.spawn(self._keep(slot), f"worker {slot.number}") for slot in self._slots]
            self._kept.append(self.clock.spawn(self._watch(), "silence of workers"))
            ground = self.ground
            self._reload = Reload(
                self, ground.loaded, ground.compiled.digest, tasks=self._authority.authority.tenants.tasks,
                ledger=ground.ledger, clock=self.clock,
            )  # fmt: skip
            self._started.callback(self.clock.spawn(self._reload.run(), "reload").cancel)
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Drain all workers at once, then stop the authority; the log is sealed when this returns."""
        await self._started.aclose()

    async def replace(self) -> None:
        """Replace all workers, one after the other; the others, and the queue of the sockets, take what comes meanwhile."""
        for slot in self._slots:
            await slot.ready.wait()
            slot.replaced = True
            slot.ready.clear()
            if slot.control is not None:
                slot.control.send({"do": "drain"})
            await slot.ready.wait()

    def unready(self) -> Sequence[str]:
        """Why requests would be refused now; empty when ready, which one worker is enough for."""
        if not self._bound:
            return ["starting"]
        reasons = [*self._authority.troubles()]
        if not any(slot.ready.is_set() for slot in self._slots):
            reasons += [f"worker {slot.number}: {reason}" for slot in self._slots for reason in slot.unready]
        return ["draining"] if self._stopping else reasons

    async def measure(self) -> Figures:
        """The figures of all processes together; of a worker that does not answer, those that it told last."""
        async with self._measuring:
            heard = await asyncio.gather(*[slot.measure() for slot in self._slots])
            figures = Figures()
            measure_ground(figures, self.ground)
            measure_authority(figures, self._authority)
            measure_reload(figures, self._reload)
            ready = sum(slot.ready.is_set() for slot in self._slots)
            figures.put("doorward_workers", ready, "ready")
            figures.put("doorward_workers", len(self._slots) - ready, "unready")
            figures.put("doorward_workers_unheard", heard.count(False))
            for how, times in self._ends.items():
                figures.put("doorward_worker_ends_total", times, how)
            for slot in self._slots:
                slot.join_figures(figures)
        return figures

    async def prepare(self, loaded: Loaded) -> AllPrepared:
        """Make everything of another configuration here and in every worker, with no effect. Raises `DoorwardError`."""
        await self._changing.acquire()
        try:
            now, before = self.clock.now(), self.ground.compiled
            compiled = await aside(lambda: compile_configuration(loaded, now, before))
            identities = await aside(lambda: self._authority.prepare(loaded))
            troubles = await self._prepare_workers(loaded, compiled.digest)
        except BaseException:
            self._changing.release()
            raise
        return AllPrepared(loaded=loaded, compiled=compiled, troubles=troubles, identities=identities)

    def commit(self, prepared: AllPrepared) -> None:
        """Issue by it from now on, and let every worker serve by it; one that cannot is replaced."""
        self.ground.loaded, self.ground.compiled = prepared.loaded, prepared.compiled
        self._authority.commit(prepared.loaded, prepared.identities)
        for slot in self._slots:
            if slot.control is not None:
                slot.control.send({"do": "commit", "digest": prepared.compiled.digest})
        self._changing.release()

    def abandon(self, prepared: AllPrepared) -> None:
        """The workers keep what they have; what they prepared is never asked for."""
        del prepared
        self._changing.release()

    def tidy(self) -> None:
        """Each worker does that by itself."""

    def ask_reload(self) -> None:
        """Read the configuration again soon, changed or not."""
        if self._reload is not None:
            self._reload.ask()

    async def _prepare_workers(self, loaded: Loaded, digest: str) -> tuple[str, ...]:
        """Let every worker that lives prepare; one that dies meanwhile is started anew with what is then in force."""
        answers = []
        for slot in self._slots:
            if slot.process is not None and slot.control is not None:
                slot.answer = asyncio.get_running_loop().create_future()
                answers.append(slot.answer)
                slot.control.send({"do": "prepare", "texts": _texts(loaded)})
        try:
            async with asyncio.timeout(PREPARE):
                said = await asyncio.gather(*answers)
        except TimeoutError:
            raise DoorwardError(f"not every worker has prepared the configuration within {PREPARE:.0f} seconds") from None
        for answer in said:
            if answer["prepared"] not in (digest, _GONE):
                raise DoorwardError(
                    answer.get("refused") or "a worker reads the configuration differently: its environment differs"
                )
        return tuple(dict.fromkeys(trouble for answer in said for trouble in answer.get("troubles", ())))

    def _notices(self) -> Sequence[str]:
        reload = () if self._reload is None else self._reload.notices()
        heard = dict.fromkeys(notice for slot in self._slots for notice in slot.notices)
        return [*reload, *heard, *(f"worker {slot.number}: {reason}" for slot in self._slots for reason in slot.unready)]

    async def _reload_for(self, operator: str, confirmed: bool) -> Mapping[str, object]:  # noqa: FBT001 as an endpoint gives it
        if self._reload is None:
            raise DoorwardError("doorward has not started yet; try again in a moment")
        return asdict(await self._reload.again(by=f"user:{operator}", confirmed=confirmed))

    async def _begin(self, slot: Slot) -> None:
        """Start the worker of a slot, and wait until it is ready. Raises `DoorwardError`; then it has ended."""
        async with self._changing:
            await self._start_worker(slot)

    async def _start_worker(self, slot: Slot) -> None:
        ours, theirs = socket.socketpair()
        descriptors = [each.fileno() for bound in self._bound for each in bound.sockets]
        words = ("-m", "gateway", "serve", "--worker", str(theirs.fileno()))
        with theirs:
            slot.process = await asyncio.create_subprocess_exec(
                sys.executable, *words, pass_fds=(theirs.fileno(), self._proofs, self._connections, *descriptors),
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        slot.name = f"worker-{self.clock.identifier()}"
        slot.control, slot.silent = await Control.open(ours), 0
        slot.control.send(
            {
                "number": slot.number,
                "name": slot.name,
                "texts": _texts(self.ground.loaded),
                "listen": [(bound.text, [each.fileno() for each in bound.sockets]) for bound in self._bound],
                "feed": self._feed,
                "key": self._proof_key.hex(),
                "proofs": self._proofs,
                "connections": self._connections,
                "processes": len(self._slots),
            }
        )
        slot.heard = self.clock.spawn(self._hear(slot, slot.control), f"reports of worker {slot.number}")
        ready = self.clock.spawn(slot.ready.wait(), f"start of worker {slot.number}")
        died = self.clock.spawn(slot.process.wait(), f"death of worker {slot.number}")
        await asyncio.wait((ready, died), timeout=START, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not ready.done():
            ready.cancel()
            await self._kill(slot)
            raise DoorwardError(f"worker {slot.number} did not start; the log says why")

    async def _hear(self, slot: Slot, control: Control) -> None:
        while (report := await control.receive()) is not None:
            if control is slot.control:
                slot.hear(report)
        control.close()
        if control is slot.control:
            slot.settle({"prepared": _GONE})

    async def _hear_out(self, slot: Slot) -> None:
        """Whoever has ended may have said something that was not read yet."""
        if slot.heard is not None:
            await asyncio.wait([slot.heard], timeout=LAST_WORDS)
        slot.bury()

    async def _keep(self, slot: Slot) -> None:
        """Start the worker anew whenever it has ended, ever more slowly if it does not live."""
        pause = FIRST_PAUSE
        while True:
            begun = self.clock.boot()
            if slot.process is not None:
                code = await slot.process.wait()
                await self._hear_out(slot)
                self._ends["asked" if slot.replaced or self._stopping else "died"] += 1
                leave_out(self._connections, slot.number - 1)
                with suppress(StoreUnavailableError):  # then its places come back when they would have ended
                    await self._authority.authority.lending.bury(slot.name)
                if self._stopping:
                    return
                if slot.replaced:
                    slot.replaced, pause = False, 0.0
                else:
                    _log.error("worker_ended", worker=slot.number, code=code)
            if pause:
                await self.clock.sleep(pause)
            lived = self.clock.boot() - begun > STEADY
            pause = FIRST_PAUSE if lived else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                await self._begin(slot)
            except DoorwardError as error:
                _log.error("worker_does_not_start", worker=slot.number, problem=str(error))

    async def _watch(self) -> None:
        """Kill whoever says nothing, counted in seconds that this process lives: after a pause of the machine nobody hangs."""
        while True:
            await self.clock.sleep(1.0)
            for slot in self._slots:
                slot.silent += 1
                if slot.silent > SILENT and slot.ready.is_set() and slot.process is not None:
                    _log.error("worker_hangs", worker=slot.number)
                    slot.ready.clear()
                    with suppress(ProcessLookupError):
                        slot.process.send_signal(signal.SIGKILL)

    async def _end_workers(self) -> None:
        self._stopping = True
        for task in self._kept:
            task.cancel()
        await asyncio.gather(*self._kept, return_exceptions=True)
        await asyncio.gather(*[self._end(slot) for slot in self._slots])

    async def _end(self, slot: Slot) -> None:
        if slot.process is None or slot.control is None:
            return
        slot.control.send({"do": "drain"})
        with suppress(TimeoutError):
            async with asyncio.timeout(self.ground.loaded.document.gateway.limits.drain + LEAVE):
                await slot.process.wait()
                slot.control.close()
                return
        await self._kill(slot)

    async def _kill(self, slot: Slot) -> None:
        leave_out(self._connections, slot.number - 1)
        if slot.process is not None:
            with suppress(ProcessLookupError):
                slot.process.kill()
            await slot.process.wait()
            slot.bury()
        if slot.control is not None:
            slot.control.close()


def _count(workers: int) -> int:
    return workers or len(os.sched_getaffinity(0))


def _texts(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Each file with its text and its tenant."""
    return [(str(file), text, loaded.owners.get(file, "")) for file, text in loaded.texts.items()]
