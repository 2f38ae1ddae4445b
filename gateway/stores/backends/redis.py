"""Keeps tasks and revocations in a Redis or Valkey server that several authorities share; knows no token beyond its id.

authority:
  store: {redis: {url: "rediss://authority@redis.acme.example:6379/0", password_file: /run/secrets/redis}}
"""

import asyncio
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.kind import Config as BaseConfig
from gateway.kind import shorthand
from gateway.model import Restoration, Revocation
from gateway.stores.memory import Memory
from gateway.stores.redis_rows import ending, entry, revocation, row_of, stop, task_row
from gateway.stores.store import (
    EPOCH_OVER,
    KEEP_ENDED,
    KEEP_SPENT,
    MOST_OPEN,
    PAGE,
    BarredError,
    Beat,
    Ending,
    Entry,
    IssuedToken,
    Purged,
    Stop,
    Store,
    StoreUnavailableError,
    TaskEndedError,
    TaskFilter,
    TaskRow,
    TasksOpenError,
    TaskUnknownError,
    TooManyTasksError,
)

if TYPE_CHECKING:
    from gateway.stores.redis_server import RedisServer

T = TypeVar("T")

PREFIX: Final = "{doorward}:"
"""What every key begins with; the braces keep them together on one node."""
_VERSION: Final = 2
_FORGOTTEN_AT_ONCE: Final = 2000
_PASSWORD_BYTES: Final = 4096
_PORT: Final = 6379
_ONCE: Final = frozenset(("open_task", "issue", "draw", "give_back", "count", "hold", "once"))
_FILE: Final = "redis.json"
_SCRIPT: Final = ("redis_epochs.lua", "redis_transactions.lua", "redis_counting.lua")


def _check_url(text: str) -> str:
    # The sentences never repeat the address, for it may hold a password.
    try:
        parts = urlsplit(text)
        named = (parts.path.strip("/") or "0").isdigit() and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        raise ValueError("expected an address such as rediss://redis.acme.example:6379/0") from None
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return text
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not named:
        raise ValueError("expected an address such as rediss://redis.acme.example:6379/0, or unix: and a path")
    if parts.scheme == "redis" and not _is_local(parts.hostname):
        raise ValueError(
            "expected rediss:// for another host: without TLS whoever listens could open tasks and lift revocations"
        )
    return text


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Config(BaseConfig):
    """A Redis or Valkey server with `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`."""

    url: Annotated[str, Field(repr=False), AfterValidator(_check_url)]
    """`rediss://user@host:port/database`, `redis://` for this host alone, or `unix:` and a path."""
    password_file: str | None = None
    """The file with the password of the user."""
    ca: str | None = None
    """The certificates that the server's must be signed by; the system's if left out."""
    certificate: str | None = None
    """The certificate with which the authority shows itself to the server."""
    key: str | None = None
    """The key of that certificate."""
    folder: str | None = "var"
    """Where this authority, and no other, keeps its signing keys and what it remembers of the store. `null` for nowhere."""

    _expand = model_validator(mode="before")(shorthand("url"))


class RedisStore:
    """Every transaction is one run of one script, which Redis runs alone; what it says is known to be on the disk."""

    def __init__(self, server: "RedisServer", folder: Path | None, clock: Clock) -> None:
        """`folder` is None if nothing survives the death of this authority."""
        self.folder = folder
        self.failures = 0
        self._server = server
        self._clock = clock
        self._memory = Memory(clock.identifier())
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and check. Raises `DoorwardError` for a server that could forget."""
        try:
            self._memory.load(None if self.folder is None else self.folder / _FILE)
            if self.folder is not None:
                self.folder.mkdir(parents=True, mode=0o711, exist_ok=True)
            await self._server.open()
            remembered = self._memory.epoch
            await self.beat()
            self._memory.compare(remembered)
        except (StoreUnavailableError, OSError) as error:
            raise DoorwardError(f"the store cannot be used: {error}") from None
        self._listening = self._clock.spawn(self._server.listen(f"{PREFIX}changed", self._heard), "news of the store")

    async def close(self) -> None:
        """Let go of all connections."""
        listening, self._listening = self._listening, None
        while listening is not None and not listening.done():
            listening.cancel()  # more than once: the library may take one for the end of a connection
            await asyncio.wait([listening], timeout=0.1)
        await self._server.close()
        with suppress(StoreUnavailableError):  # then that of the last heartbeat stands
            self._memory.save()

    async def open_task(self, task: TaskRow, first: IssuedToken | None, most: int = MOST_OPEN) -> None:
        """See `Store.open_task`."""
        due = "" if task.due is None else task.due
        token, covered, epoch = ("", task.opened, "") if first is None else (first.id, first.expires, first.epoch)
        await self._write(
            "open_task", task.id, row_of(task), task.tenant, task.agent, task.starter, task.parent or "", task.opened,
            task.ends, due, token, covered, epoch, most, of=task.parent or task.id,
        )  # fmt: skip

    async def issue(self, token: IssuedToken, now: float) -> TaskRow:
        """See `Store.issue`."""
        (shown,) = await self._write("issue", token.task, token.id, token.expires, token.epoch, now, of=token.task)
        return task_row(shown)

    async def task(self, task: str) -> TaskRow | None:
        """See `Store.task`."""
        return await self._found(task_row, "task", task)

    async def tasks(self, which: TaskFilter) -> Sequence[TaskRow]:
        """See `Store.tasks`. Each page that is looked through is read at once, but not all of them together."""
        found: list[TaskRow] = []
        limit, before = max(1, min(which.limit, PAGE)), which.before or (0.0, "")
        while page := await self._run("tasks", *before):
            for task in map(task_row, page):
                if which.before is not None and (task.opened, task.id) >= which.before:
                    continue
                if _fits(task, which):
                    found.append(task)
                    if len(found) == limit:
                        return tuple(found)
            before = task.opened, task.id
        return tuple(found)

    async def task_of(self, token: str, now: float) -> TaskRow | None:
        """See `Store.task_of`."""
        return await self._found(task_row, "task_of", token, now)

    async def heartbeat(self, task: str, due: float, now: float) -> TaskRow:
        """See `Store.heartbeat`."""
        return task_row((await self._run("heartbeat", task, due, now, of=task))[0])

    async def end_task(self, task: str, state: str, cause: str, now: float) -> Ending:
        """See `Store.end_task`."""
        return ending((await self._urgent("end_task", task, state, cause, now, of=task))[0])

    async def end_tasks_of(self, kind: str, name: str, tenant: str, cause: str, now: float) -> Sequence[Ending]:
        """See `Store.end_tasks_of`."""
        return tuple(map(ending, await self._urgent("end_tasks_of", kind, name, tenant, cause, now)))

    async def revoke_token(self, token: str, cause: str, now: float) -> Revocation | None:
        """See `Store.revoke_token`."""
        return await self._found(revocation, "revoke_token", token, cause, now, kept=True)

    async def stop(self, kind: str, name: str, tenant: str, cause: str, until: float, now: float) -> Revocation:
        """See `Store.stop`."""
        return revocation((await self._urgent("stop", kind, name, tenant, cause, until, now))[0])

    async def restore(self, kind: str, name: str, tenant: str, now: float) -> Restoration | None:
        """See `Store.restore`."""
        lifted = await self._found(entry, "restore", kind, name, tenant, now, kept=True)
        return lifted if isinstance(lifted, Restoration) else None

    async def stops(self, after: int) -> Sequence[Stop]:
        """See `Store.stops`."""
        return tuple(map(stop, await self._run("stops", after, urgent=True)))

    async def revocations(self, after: int) -> Sequence[Entry]:
        """See `Store.revocations`."""
        return tuple(map(entry, await self._run("revocations", after, urgent=True)))

    async def beat(self) -> Beat:
        """See `Store.beat`."""
        found = _beat(await self._run("beat", urgent=True))
        self._memory.save()
        return found

    async def begin_epoch(self, lost: str, seen: int) -> Beat:
        """See `Store.begin_epoch`."""
        return _beat(await self._urgent("begin_epoch", lost, seen))

    async def look_back(self, now: float) -> Beat:
        """See `Store.look_back`."""
        return _beat(await self._urgent("look_back", now))

    async def changed(self) -> None:
        """See `Store.changed`: every write of another authority is published."""
        await self._news.wait()
        self._news.clear()

    async def draw(self, key: str, wanted: int, most: int, until: float, now: float) -> int:
        """See `Store.draw`."""
        return int((await self._run("draw", key, wanted, most, until, now))[0])

    async def give_back(self, key: str, amount: int) -> None:
        """See `Store.give_back`."""
        await self._run("give_back", key, amount)

    async def count(self, amounts: Mapping[str, int], until: float, now: float) -> Mapping[str, int]:
        """See `Store.count`."""
        words = [word for key, amount in amounts.items() for word in (key, amount)]
        return dict(zip(amounts, map(int, await self._run("count", until, now, *words)), strict=True))

    async def hold(self, key: str, holder: str, amount: int, *, most: int, until: float, now: float) -> int:
        """See `Store.hold`."""
        return int((await self._run("hold", key, holder, amount, most, until, now))[0])

    async def prolong(self, holder: str, until: float, now: float) -> None:
        """See `Store.prolong`."""
        await self._run("prolong", holder, until, now)

    async def once(self, key: str, until: float, now: float) -> bool:
        """See `Store.once`."""
        (first,) = await self._write("once", key, until, now)
        return bool(int(first))

    async def keys(self, mine: Mapping[str, str], until: float, now: float) -> Mapping[str, tuple[str, float]]:
        """See `Store.keys`."""
        words = [word for name, text in mine.items() for word in (name, text)]
        found = await self._run("keys", until, now, *words, kept=bool(mine))
        return {name.decode(): (text.decode(), float(end)) for name, text, end in found}

    @property
    def alone(self) -> bool:
        """See `Store.alone`."""
        return False

    async def label(self, task: str, added: Iterable[str]) -> frozenset[str]:
        """See `Store.label`."""
        return frozenset(label.decode() for label in await self._write("label", task, *added, of=task))

    async def labels(self, task: str) -> frozenset[str]:
        """See `Store.labels`."""
        return frozenset(label.decode() for label in await self._run("label", task, of=task))

    async def purge(self, now: float, tenants: Collection[str]) -> Purged:
        """See `Store.purge`. Forgetting comes first: it works, and helps, when the memory is full."""
        (forgotten,) = await self._run("forget", now, _FORGOTTEN_AT_ONCE, urgent=True)
        over = await self._urgent("end_over", now, *tenants)
        silent = await self._urgent("end_silent", now, *tenants)
        endings = tuple(map(ending, (*over, *silent)))
        return Purged(endings, bool(endings) or int(forgotten) >= _FORGOTTEN_AT_ONCE)

    async def _write(self, name: str, *arguments: str | float, of: str = "") -> Sequence[Any]:
        return await self._run(name, *arguments, of=of, kept=True)

    async def _urgent(self, name: str, *arguments: str | float, of: str = "") -> Sequence[Any]:
        return await self._run(name, *arguments, of=of, kept=True, urgent=True)

    async def _found(self, read: Callable[[Any], T], name: str, *arguments: str | float, kept: bool = False) -> T | None:
        try:
            return read((await self._run(name, *arguments, kept=kept, urgent=kept))[0])
        except TaskUnknownError:
            return None

    async def _run(
        self, name: str, *arguments: str | float, of: str = "", kept: bool = False, urgent: bool = False
    ) -> Sequence[Any]:
        """One transaction. `of` is the task that errors name. Raises all that a method of `Store` may raise."""
        memory = self._memory
        header = (PREFIX, name, memory.name, memory.count, memory.epoch, self._clock.identifier())
        words = (*header, KEEP_ENDED, KEEP_SPENT, PAGE, _VERSION, *arguments)
        try:
            answer = await self._server.run([_word(word) for word in words], urgent=urgent, kept=kept, again=name not in _ONCE)
        except StoreUnavailableError:
            self.failures += 1
            raise
        epoch, count, (outcome, *rest) = answer
        found: Sequence[Any] = rest
        if epoch:
            memory.learn(epoch.decode(), int(count))
        match outcome:
            case b"ok":
                return found
            case b"unknown":
                raise TaskUnknownError(of)
            case b"ended":
                raise TaskEndedError(found[0].decode())
            case b"barred":
                raise BarredError(revocation(found[0]))
            case b"many":
                raise TooManyTasksError(found[0].decode())
            case b"open":
                raise TasksOpenError(revocation(found[0]))
            case b"wide":
                raise ValueError("a child task stays within the life and the tenant of its parent")
            case b"over":
                raise StoreUnavailableError(EPOCH_OVER)
        raise StoreUnavailableError("this identifier is in use already")

    def _heard(self, who: bytes) -> None:
        if who.decode() != self._memory.name:
            self._news.set()


def build(config: Config, *, resolve: Callable[[str], Path], clock: Clock) -> Store:
    """The store that was configured, still closed. Raises `DoorwardError` if its password cannot be read."""
    # The library is several MiB that nobody pays for who keeps the store in a file.
    from gateway.stores.redis_server import RedisServer, Target  # noqa: PLC0415

    parts = urlsplit(config.url)
    password = None if parts.password is None else unquote(parts.password)
    if config.password_file is not None:
        password = _read_password(resolve(config.password_file))
    target = Target(
        host=parts.hostname or "",
        port=parts.port or _PORT,
        path=str(resolve(parts.path)) if parts.scheme == "unix" else "",
        database=0 if parts.scheme == "unix" else int(parts.path.strip("/") or 0),
        username=None if parts.username is None else unquote(parts.username),
        password=password,
        tls=_tls(config, resolve) if parts.scheme == "rediss" else None,
    )
    folder = None if config.folder is None else resolve(config.folder)
    script = "".join(Path(__file__).parents[1].joinpath(name).read_text() for name in _SCRIPT)
    return RedisStore(RedisServer(target, script, clock), folder, clock)


def _read_password(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(_PASSWORD_BYTES).strip().decode()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text:
        raise DoorwardError(f"the password of the store cannot be read from {file}")
    return text


def _tls(config: Config, resolve: Callable[[str], Path]) -> dict[str, Any]:
    named = {"ssl_ca_certs": config.ca, "ssl_certfile": config.certificate, "ssl_keyfile": config.key}
    return {
        "ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        **{option: str(resolve(path)) for option, path in named.items() if path is not None},
    }  # fmt: skip


def _beat(answered: Sequence[bytes]) -> Beat:
    epoch, seq, swept = answered
    return Beat(epoch.decode(), int(seq), float(swept))


def _fits(task: TaskRow, which: TaskFilter) -> bool:
    wanted = ((which.tenant, task.tenant), (which.agent, task.agent), (which.state, task.state))
    return all(value is None or value == found for value, found in wanted)


def _word(value: str | float) -> str:
    """Numbers as text that reads back as the very same number."""
    return value if isinstance(value, str) else repr(value)
