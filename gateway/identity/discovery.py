"""Where an issuer's keys come from: a file, an address or the issuer itself; knows no token and decides nothing about one.

Keys are kept in memory. A key that its issuer removes stops validating with the next refresh, and when a refresh fails
the old keys serve on for a bounded time. Key ids come from callers, so an unknown one causes at most one fetch an interval.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Protocol, final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.clock import Clock
from gateway.identity.asking import Asking, check_address, is_loopback
from gateway.identity.jose import TokenProblem, VerificationKey, read_object
from gateway.identity.kept import ContentProblem, Kept, KeptFetch, KeptFile
from gateway.identity.keyset import KEY_SET_BYTES, read_key_set

_DOCUMENT_BYTES: Final = 64 * 1024
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of this id, or None if the issuer has none. Raises `UnavailableError`."""
        ...

    def trouble(self) -> str | None:
        """Why they could not be read the last time; None if they could."""
        ...

    def close(self) -> None:
        """They are needed no more."""
        ...


class KeptKeys:
    """Keys by their ids, wherever they are kept."""

    def __init__(self, kept: Kept[Mapping[str, VerificationKey]]) -> None:
        """`kept` are those of one issuer and of nobody else."""
        self._kept = kept

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of this id; the issuer is asked first if the keys are old or the id is unknown."""
        keys = await self._kept.current()
        if kid not in keys:
            keys = await self._kept.renewed()
        return keys.get(kid)

    def trouble(self) -> str | None:
        """Why they could not be read the last time; None if they could."""
        return self._kept.trouble()

    def close(self) -> None:
        """They are needed no more."""
        self._kept.close()


@final
class FileKeys(KeptKeys):
    """Keys in a file, read again when the file changes."""

    def __init__(self, path: Path, algorithms: Sequence[str], clock: Clock) -> None:
        """Read the file now. Raises `ValueError` when it cannot be used."""
        super().__init__(
            KeptFile(
                path,
                lambda text: read_key_set(text, algorithms),
                limit=KEY_SET_BYTES,
                what="the issuer's key set",
                clock=clock,
            )
        )


@final
class PublishedKeys(KeptKeys):
    """Keys at an address that the operator names (RFC 7517 §5)."""

    def __init__(self, address: str, issuer: str, algorithms: Sequence[str], asking: Asking, clock: Clock) -> None:
        """`address` has passed `check_address`."""

        async def fetch() -> Mapping[str, VerificationKey]:
            return read_key_set(await asking.get(address, limit=KEY_SET_BYTES), algorithms)

        super().__init__(KeptFetch(fetch, what=f"the keys of issuer {issuer}", clock=clock))


@final
class DiscoveredKeys(KeptKeys):
    """Keys that the issuer publishes (OpenID Connect Discovery 1.0 §4), fetched when they are first needed."""

    def __init__(self, issuer: str, algorithms: Sequence[str], asking: Asking, clock: Clock) -> None:
        """`issuer` has passed `check_issuer`."""
        self._issuer = issuer
        self._algorithms = tuple(algorithms)
        self._asking = asking
        super().__init__(KeptFetch(self._discover, what=f"the keys of issuer {issuer}", clock=clock))

    async def _discover(self) -> Mapping[str, VerificationKey]:
        document = await self._asking.get(self._issuer.removesuffix("/") + _WELL_KNOWN, limit=_DOCUMENT_BYTES)
        try:
            members = read_object(document)
        except TokenProblem:
            raise ContentProblem("its discovery document is not one JSON object without duplicate members") from None
        if members.get("issuer") != self._issuer:
            raise ContentProblem("its discovery document is that of another issuer")
        address = members.get("jwks_uri")
        if not isinstance(address, str) or not _may_be_asked(address, self._issuer):
            raise ContentProblem("its discovery document names no https address for its keys")
        return read_key_set(await self._asking.get(address, limit=KEY_SET_BYTES), self._algorithms)


def check_issuer(issuer: str) -> str:
    """Check an issuer's address: https, or http on loopback, without user, query and fragment. Raises `ValueError`."""
    check_address(issuer, "an issuer")
    return issuer


Issuer = Annotated[str, Field(min_length=8, max_length=500), AfterValidator(check_issuer)]
"""The address of an issuer, as a configuration names it and tokens repeat it."""


def _may_be_asked(address: str, issuer: str) -> bool:
    """Whether keys may come from there: over https, or in clear on the very loopback where a test issuer is."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host) and "@" not in parts.netloc
    return parts.scheme == "http" and bool(host) and is_loopback(str(host)) and issuer.startswith("http://")
