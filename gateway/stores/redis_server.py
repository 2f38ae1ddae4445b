"""Reaches a Redis or Valkey server: bounded connections, bounded waits, one script; knows nothing of what the script does.

Whatever the server or the library says goes no further than the name of the error, for it could hold what was sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, TypeVar, final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway import telemetry
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.stores.store import StoreUnavailableError

T = TypeVar("T")

CONNECTIONS: Final = 8
"""Connections for what asks for access, and as many for what ends it and for the heartbeat."""
WAITING: Final = 1024
"""The most transactions that wait for a connection, save for those that end access."""
CONNECT: Final = 2.0
"""Seconds for a connection, TLS and the password included."""
ANSWER: Final = 2.0
"""Seconds for an answer."""
PATIENCE: Final = 5.0
"""Seconds for a whole transaction, the wait for a connection and for a replica included."""
REPLICA: Final = 1000
"""Milliseconds for a replica to say that it has what is to be acknowledged."""
RETRY: Final = 0.5
"""Seconds after which the line for news is laid again."""
QUIET: Final = 5.0
"""Seconds after which a line without news is tried."""

_log = telemetry.logger("store")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the server is and how it is reached. `tls` is None for a plain connection; `path` is a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


@final
class RedisServer:
    """A server that is known to keep what it acknowledges. Its methods raise `StoreUnavailableError` and nothing else."""

    def __init__(self, target: Target, script: str, clock: Clock) -> None:
        """Nothing is connected before `open`. `script` is run by every transaction."""
        self._target = target
        self._script = script
        self._digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._clock = clock
        self._calm: Redis | None = None
        self._urgent: Redis | None = None
        self._waiting = 0

    def __repr__(self) -> str:
        return f"RedisServer({self._target})"

    async def open(self) -> None:
        """Connect, and check that the server forgets nothing. Raises `DoorwardError` that says what to change there."""
        self._calm, self._urgent = self._client(CONNECTIONS), self._client(CONNECTIONS)
        try:
            facts = await self._bounded(self._settings(self._urgent))
        except StoreUnavailableError as error:
            await self.close()
            raise DoorwardError(f"the store at {self._target} cannot be used: {error}") from None
        wrong = [
            f"{name} is {facts.get(name, 'not told')} and has to be {wanted}"
            for name, wanted in (("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction"))
            if facts.get(name) != wanted
        ]
        if wrong:
            await self.close()
            raise DoorwardError(
                f"the store at {self._target} could lose revocations: {', '.join(wrong)}; correct its configuration"
            )

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._calm, self._urgent):
            if client is not None:
                await client.aclose()
        self._calm = self._urgent = None

    async def run(self, arguments: Sequence[str], *, urgent: bool, kept: bool, again: bool) -> Any:
        """Run the script once. `kept`: return only when a replica has it, too, if there are replicas.

        What is `urgent` never waits behind what asks for access. What may happen `again` without harm is tried a second
        time when the connection turns out to be dead. After an error nobody knows whether it was done.
        """
        client = self._urgent if urgent else self._calm
        if client is None:
            raise StoreUnavailableError("the store is closed")
        if not urgent and self._waiting >= WAITING:
            raise StoreUnavailableError("too many transactions are waiting")
        self._waiting += not urgent
        try:
            return await self._bounded(self._try(client, arguments, kept=kept, again=again))
        finally:
            self._waiting -= not urgent

    async def listen(self, channel: str, told: Callable[[bytes], None]) -> None:
        """Call `told` with each message on a channel, and with nothing whenever some may have been missed; for ever."""
        while True:
            client = self._client(1)
            try:
                async with client, client.pubsub() as line:
                    await line.subscribe(channel)
                    await self._hear(line, told)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                _log.warning("news_interrupted", reason=type(error).__name__)
            await self._clock.sleep(RETRY)

    async def _hear(self, line: Any, told: Callable[[bytes], None]) -> None:
        tried = False
        while True:
            message = await line.get_message(timeout=QUIET)
            if message is None:
                if tried:
                    raise TimeoutError
                tried = True
                await line.ping()
                continue
            tried = False
            if message["type"] == "message":
                told(message["data"])
            elif message["type"] == "subscribe":
                told(b"")

    async def _try(self, client: Redis, arguments: Sequence[str], *, kept: bool, again: bool) -> Any:
        try:
            return await self._run(client, arguments, kept=kept)
        except exceptions.ConnectionError:
            await client.connection_pool.disconnect(inuse_connections=False)  # after a restart all of them are dead
            if not again:
                raise
        return await self._run(client, arguments, kept=kept)

    async def _run(self, client: Redis, arguments: Sequence[str], *, kept: bool) -> Any:
        one: Any = client.client()  # the library has types for some of its methods only
        try:
            await one.initialize()
            try:
                answer = await one.execute_command("EVALSHA", self._digest, 1, *arguments)
            except exceptions.NoScriptError:
                answer = await one.execute_command("EVAL", self._script, 1, *arguments)
            replicas = (await one.info("replication")).get("connected_slaves", 0) if kept else 0
            if replicas and not await one.wait(1, REPLICA):
                raise StoreUnavailableError("no replica has acknowledged in time")
            return answer
        finally:
            await one.aclose()  # also when it was cancelled before it was ready

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(PATIENCE):
                return await work
        except (exceptions.TimeoutError, TimeoutError):
            raise StoreUnavailableError("no answer in time") from None
        except exceptions.AuthenticationError:
            raise StoreUnavailableError("the server does not take the user name or the password") from None
        except exceptions.OutOfMemoryError:
            raise StoreUnavailableError("the memory of the server is full") from None
        except exceptions.ResponseError as error:
            raise StoreUnavailableError(f"the server refused: {_word(error)}") from None
        except (exceptions.RedisError, OSError) as error:
            raise StoreUnavailableError(f"the server cannot be reached ({type(error).__name__})") from None

    async def _settings(self, client: Redis) -> Mapping[str, str]:
        asked = [await client.config_get(name) for name in ("appendonly", "appendfsync", "maxmemory-policy")]
        return {_text(name): _text(value) for found in asked for name, value in found.items()}

    def _client(self, connections: int) -> Redis:
        target = self._target
        options: dict[str, Any] = {
            "db": target.database, "username": target.username, "password": target.password,
            "socket_timeout": ANSWER, "socket_connect_timeout": CONNECT, "retry": Retry(NoBackoff(), 0), "retry_on_error": [],
        }  # fmt: skip
        kind: type[Connection | SSLConnection | UnixDomainSocketConnection] = Connection
        if target.path:
            kind = UnixDomainSocketConnection
            options["path"] = target.path
        else:
            options |= {"host": target.host, "port": target.port}
        if target.tls is not None:
            kind = SSLConnection
            options |= target.tls
        pool = BlockingConnectionPool(max_connections=connections, timeout=PATIENCE, connection_class=kind, **options)
        return Redis.from_pool(pool)


def _word(error: Exception) -> str:
    """The first word of what the server says, which is its kind; the rest may repeat what was sent."""
    word = str(error).partition(" ")[0]
    return word if word.isascii() and word.isalpha() and word.isupper() else type(error).__name__


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
