"""Where an issuer's keys come from, a file or the issuer itself; knows no token and decides nothing about one.

Keys are kept in memory. A key that its issuer removes stops validating with the next refresh, and when a refresh fails
the old keys serve on for a bounded time. Key ids come from callers, so an unknown one causes at most one fetch an interval.
"""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, final
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.fetch import Fetch, FetchError
from gateway.identity.jose import TokenProblem, VerificationKey, read_object
from gateway.identity.keyset import KEY_SET_BYTES, KeySetProblem, read_key_set

FRESH: Final = 300.0
"""Seconds for which keys are used without asking the issuer again."""
STALE: Final = 1800.0
"""Seconds for which keys serve at most, counted from the last time they could be read."""
INTERVAL: Final = 30.0
"""Seconds between two fetches, whatever asks for them."""

_DOCUMENT_BYTES: Final = 64 * 1024
_TIMEOUT: Final = 5.0
_OK: Final = 200
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


class KeysUnavailableError(Exception):
    """The keys of an issuer cannot be had now; the sentence may be shown to a caller."""

    def __init__(self, sentence: str) -> None:
        """`sentence` says whose keys and why."""
        super().__init__(sentence)
        self.sentence: Final = sentence


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of this id, or None if the issuer has none. Raises `KeysUnavailableError`."""
        ...


@final
class FileKeys:
    """Keys in a file, read again when the file changes."""

    def __init__(self, path: Path, algorithms: Sequence[str], clock: Clock) -> None:
        """Read the file now. Raises `ValueError` when it cannot be used."""
        self._path = path
        self._algorithms = tuple(algorithms)
        self._clock = clock
        try:
            self._version = self._stat()
            self._keys = self._read()
        except (OSError, KeySetProblem) as error:
            raise ValueError(f"the key set in {path} cannot be used: {_reason(error)}") from None
        self._read_at = clock.boot()

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of this id in the file as it is now, or as it last could be read."""
        self._refresh()
        return self._keys.get(kid)

    def _refresh(self) -> None:
        try:
            version = self._stat()
            if version != self._version:
                self._keys = self._read()
                self._version = version
        except (OSError, KeySetProblem):
            if self._clock.boot() - self._read_at > STALE:
                raise KeysUnavailableError("the issuer's key set cannot be read from its file any more") from None
            return
        self._read_at = self._clock.boot()

    def _stat(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Mapping[str, VerificationKey]:
        with self._path.open("rb") as file:
            return read_key_set(file.read(KEY_SET_BYTES + 1), self._algorithms)


@final
class DiscoveredKeys:
    """Keys that the issuer publishes (OpenID Connect Discovery 1.0 §4), fetched when they are first needed."""

    def __init__(self, issuer: str, algorithms: Sequence[str], fetch: Fetch, clock: Clock) -> None:
        """`issuer` has passed `check_issuer`."""
        self._issuer = issuer
        self._algorithms = tuple(algorithms)
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._problem = "they were not fetched yet"
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of this id; the issuer is asked first if the keys are old or the id is unknown."""
        if self._age() >= FRESH or kid not in self._keys:
            await self._refreshed()
        if self._age() > STALE:
            raise KeysUnavailableError(
                f"the keys of issuer {self._issuer} cannot be had: {self._problem}; try again in {INTERVAL:g} seconds"
            )
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.boot() - self._fetched_at

    async def _refreshed(self) -> None:
        if self._refreshing is None:
            now = self._clock.boot()
            if self._tried_at is not None and now - self._tried_at < INTERVAL:
                return
            self._tried_at = now
            self._refreshing = self._clock.spawn(self._refresh(now), "issuer keys")
        # Shielded: a caller that goes away must not take the fetch from the others who wait for it.
        await asyncio.shield(self._refreshing)

    async def _refresh(self, now: float) -> None:
        try:
            self._keys = await self._discover()
            self._fetched_at = now
        except (FetchError, KeySetProblem) as error:
            self._problem = str(error)
        finally:
            self._refreshing = None

    async def _discover(self) -> Mapping[str, VerificationKey]:
        document = await self._get(self._issuer.removesuffix("/") + _WELL_KNOWN, _DOCUMENT_BYTES)
        try:
            members = read_object(document)
        except TokenProblem:
            raise KeySetProblem("its discovery document is not one JSON object without duplicate members") from None
        if members.get("issuer") != self._issuer:
            raise KeySetProblem("its discovery document is that of another issuer")
        address = members.get("jwks_uri")
        if not isinstance(address, str) or not _may_be_asked(address, self._issuer):
            raise KeySetProblem("its discovery document names no https address for its keys")
        return read_key_set(await self._get(address, KEY_SET_BYTES), self._algorithms)

    async def _get(self, address: str, limit: int) -> bytes:
        answer = await self._fetch.request(
            "GET", address, headers={"Accept": "application/json"}, limit=limit, timeout=_TIMEOUT
        )
        if answer.status != _OK:
            raise KeySetProblem(f"the issuer answered with status {answer.status}")
        return answer.body


def check_issuer(issuer: str) -> None:
    """Check an issuer's address: https, or http on loopback, without user, query and fragment. Raises `ValueError`."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("an issuer is a URL such as https://issuer.example") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "?" in issuer or "#" in issuer:
        raise ValueError("an issuer is a URL such as https://issuer.example, without user, query and fragment")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("an issuer is asked over https; http is for loopback addresses only")


def _may_be_asked(address: str, issuer: str) -> bool:
    """Whether keys may come from there: over https, or in clear on the very loopback where a test issuer is."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host) and "@" not in parts.netloc
    return parts.scheme == "http" and bool(host) and _is_loopback(str(host)) and issuer.startswith("http://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    return (error.strerror or "it cannot be read").lower() if isinstance(error, OSError) else str(error)
