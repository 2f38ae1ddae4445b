"""The eighth step: the credential for a permit, fresh and still permitted; knows nothing of the request it is for."""

import hmac
from collections.abc import Collection, Iterator, Mapping
from typing import Final, final

from gateway.clock import Clock
from gateway.credentials.injector import Injector, UnfitSecretError
from gateway.credentials.scrub import SecretScrubber
from gateway.credentials.secret import Secret
from gateway.credentials.source import SecretUnavailableError, Source
from gateway.errors import Refusal
from gateway.http.outbound import PoolKey
from gateway.http.scrubber import Scrubber
from gateway.model import Permit, Upstream

FINGERPRINTED_FROM: Final = 16
"""Shorter secrets, in bytes, may hold less than 80 bits that nobody can guess, and get no fingerprint."""


@final
class Credential:
    """A secret on its way into one request. `version` is a keyed fingerprint, so records can tell secrets apart.

    `scrubber` keeps it out of responses; None if no upstream of the credential wants that.
    """

    __slots__ = ("_keys", "lines", "name", "places", "scrubber", "version")

    def __init__(self, name: str, version: str, places: frozenset[str], lines: Secret, scrubber: Scrubber | None) -> None:
        self.name: Final = name
        self.version: Final = version
        self.places: Final = places
        self.lines: Final = lines
        self.scrubber: Final = scrubber
        self._keys: dict[Upstream, PoolKey] = {}

    def key_for(self, upstream: Upstream) -> PoolKey:
        """The key of the connections that this secret may go over: an upstream's own, and this version's."""
        key = self._keys.get(upstream)
        if key is None:
            key = self._keys[upstream] = PoolKey(upstream, self.name, self.version)
        return key

    def __repr__(self) -> str:
        return f"<Credential {self.name} {self.version}>"


@final
class ManagedCredential:
    """One credential of the configuration, with its source, its injector and how long it is permitted."""

    def __init__(
        self, name: str, source: Source, injector: Injector, *, ends: float | None, key: bytes, scrubbed: bool = True
    ) -> None:
        """`ends` is the Unix time at which its exception ends; `key` is that of the fingerprints.

        `scrubbed` says whether an upstream of it wants the secret kept out of responses; then it has to be one that can be.
        """
        self.name: Final = name
        self.source: Final = source
        self.injector: Final = injector
        self.ends: Final = ends
        self._key: Final = key
        self.scrubbed: Final = scrubbed
        self._secret: Secret | None = None
        self._credential: Credential | None = None

    def credential(self) -> Credential:
        """The credential as it is now. Raises `SecretUnavailableError` or `UnfitSecretError`."""
        secret = self.source.current()
        if self._credential is None or secret is not self._secret:
            lines = Secret(self.injector.lines(secret))
            scrubber = SecretScrubber(self.injector.to_scrub(secret)) if self.scrubbed else None
            self._credential = Credential(self.name, self._fingerprint(secret), self.injector.places, lines, scrubber)
            self._secret = secret
        return self._credential

    def _fingerprint(self, secret: Secret) -> str:
        value = secret.reveal()
        if len(value) < FINGERPRINTED_FROM:
            return "unmarked"
        return hmac.digest(self._key, value, "sha256").hex()[:16]


@final
class Credentials:
    """All credentials of one snapshot."""

    def __init__(self, managed: Mapping[str, ManagedCredential], clock: Clock) -> None:
        self.managed: Final = managed
        self._clock: Final = clock

    def troubles(self, known: Collection[Source] = ()) -> Iterator[tuple[str, str]]:
        """The name of each credential that has no usable secret now, so that its requests would be refused, and a sentence.

        Sources that are `known` are not asked.
        """
        for name, managed in self.managed.items():
            if managed.source in known:
                continue
            try:
                managed.credential()
            except (SecretUnavailableError, UnfitSecretError) as error:
                yield name, f"credential {name}: {error}; requests that need it are refused"

    async def obtain(self, permit: Permit) -> Credential:
        """The credential of the permit's upstream. A request is refused rather than forwarded bare."""
        managed = self.managed[permit.upstream.credential]
        if managed.ends is not None and self._clock.now() >= managed.ends:
            raise Refusal("credential_expired", f"The exception of the credential {managed.name} has ended.")
        try:
            return managed.credential()
        except (SecretUnavailableError, UnfitSecretError):
            raise Refusal("credential_unavailable", retry_after=5) from None
