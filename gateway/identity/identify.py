"""Finds the provider that a proof of identity belongs to and holds it to its agents; knows not how one is verified."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from gateway.identity import jose
from gateway.identity.discovery import Keys
from gateway.identity.failures import Failures
from gateway.identity.kept import UnavailableError
from gateway.identity.provider import (
    ACCESS_TOKEN_TYPE,
    MTLS_PEER_TYPE,
    SIGNED_TYPES,
    Identity,
    IdentityHeldError,
    IdentityRefusedError,
    IdentityUnavailableError,
    Presented,
    Provider,
)
from gateway.identity.x509_svid import CertificateProblem, read_leaf, trust_domain_of
from gateway.model import AgentPattern
from gateway.spiffe import spiffe_id

_SENTENCES: Final[Mapping[str, str]] = {
    "size": f"the identity token is longer than {jose.TOKEN_BYTES} bytes",
    "form": "the identity token is not a signed JWT in compact form",
    "base64": "the identity token is not encoded in proper base64url",
    "json": "a part of the identity token is not one JSON object without duplicate members",
    "header": "the header of the identity token lacks an alg, or has an alg, kid or typ that is no text",
    "critical": "the identity token uses a critical extension, and none is supported",
    "foreign_key": "the identity token brings its own key or names a place to fetch one; keys come from the issuer only",
    "algorithm": "the identity token is signed with another algorithm than its key is for",
    "signature": "the signature of the identity token does not verify",
}

_SPIFFE: Final = "spiffe://"
_PREFIX = re.compile(r"[a-z][a-z0-9]{1,14}_(?=eyJ)").match
"""What a Doorward puts before its tokens, so that scanners find them."""


@final
@dataclass(frozen=True, slots=True)
class Minter:
    """A provider together with the agents that it may vouch for, and no others. All of them are of its `tenant`."""

    provider: Provider
    mints: tuple[AgentPattern, ...]
    tenant: str = ""


@final
class Identities:
    """All configured identities. Each kind of token, or each issuer of one, belongs to exactly one of them."""

    def __init__(self, minters: Mapping[str, Minter], failures: Failures | None = None) -> None:
        """`minters` by their names in the configuration; `failures` counts what sources get wrong, and nothing does without.

        Raises `ValueError` if two could claim one proof or one agent.
        """
        self.minters = dict(minters)
        """By their names in the configuration."""
        self._failures = failures
        self._names: dict[tuple[str, str | None], str] = {}
        for name, minter in self.minters.items():
            self._enter(name, minter)

    def become(self, successor: "Identities") -> None:
        """From now on verify what the successor would; what is being verified goes on as it began."""
        kept = {id(minter.provider) for minter in successor.minters.values()}
        gone = [minter.provider for minter in self.minters.values() if id(minter.provider) not in kept]
        self.minters, self._names = successor.minters, successor._names  # noqa: SLF001 of its own kind
        for provider in gone:
            provider.close()

    def close(self) -> None:
        """Verify nothing any more."""
        for minter in self.minters.values():
            minter.provider.close()

    def troubles(self) -> Sequence[str]:
        """What an operator should know of what identities are verified with."""
        told = ((name, minter.provider.trouble()) for name, minter in self.minters.items())
        return tuple(f"identity {name}: {trouble}" for name, trouble in told if trouble is not None)

    def roots(self) -> Sequence[bytes] | None:
        """The certificates (DER) that may stand above those of clients; None if no provider takes certificates."""
        taken = [roots for minter in self.minters.values() if (roots := minter.provider.roots()) is not None]
        return tuple(dict.fromkeys(root for roots in taken for root in roots)) if taken else None

    def vouching(self, agent: str) -> frozenset[str]:
        """The tenants of which an identity may vouch for this agent."""
        each = self.minters.values()
        return frozenset(minter.tenant for minter in each if any(pattern.covers(agent) for pattern in minter.mints))

    def knows(self, presented: Presented) -> bool:
        """Whether a provider is configured for what a token says of its issuer, which is not verified yet."""
        try:
            return (presented.token_type, self._issuer(presented)) in self._names
        except IdentityRefusedError:
            return False

    async def identify(self, presented: Presented) -> Identity:
        """Say which agent this is. Raises `IdentityRefusedError` for every proof that is not accepted."""
        source, failures = presented.source, self._failures
        if source is None or failures is None:
            return await self._identify(presented)
        proof, name = _digest(presented), _named(presented)
        if wait := failures.wait(source, name, proof):
            raise IdentityHeldError(wait)
        try:
            identity = await self._identify(presented)
        except IdentityUnavailableError:
            raise
        except IdentityRefusedError:
            failures.failed(source, name)
            raise
        if identity.expires is not None:
            failures.verified(source, name, proof, identity.expires)
        return identity

    async def _identify(self, presented: Presented) -> Identity:
        name = self._names.get((presented.token_type, self._issuer(presented)))
        if name is None:
            raise IdentityRefusedError(self._unknown(presented.token_type))
        minter = self.minters[name]
        identity = await minter.provider.verify(presented)
        try:
            spiffe_id(identity.agent)
        except ValueError as error:
            raise IdentityRefusedError(f"identity provider {name} gave no agent: {error}") from None
        if not any(pattern.covers(identity.agent) for pattern in minter.mints):
            raise IdentityRefusedError(f"identity provider {name} may not vouch for this agent: it is outside its mints")
        return replace(identity, tenant=minter.tenant)

    def _enter(self, name: str, minter: Minter) -> None:
        if not minter.mints:
            raise ValueError(f"identity {name} vouches for no agent; give it a mints pattern")
        issuer = minter.provider.issuer
        for other in set(self._names.values()):
            # One trust domain gives its workloads SVIDs of both kinds, and they are the same agents.
            alike = issuer is not None and issuer == self.minters[other].provider.issuer
            if alike and minter.tenant == self.minters[other].tenant:
                continue
            if any(mine.overlaps(yours) for mine in minter.mints for yours in self.minters[other].mints):
                raise ValueError(f"identities {other} and {name} could both vouch for one agent; keep their mints apart")
        for token_type in minter.provider.token_types:
            key = (token_type, issuer)
            if key in self._names:
                raise ValueError(f"identities {self._names[key]} and {name} verify the same tokens; make them one")
            self._names[key] = name

    def _issuer(self, presented: Presented) -> str | None:
        """Whose word a proof claims to be, unverified: it only selects whose keys must verify it (RFC 8725 §3.8).

        An issuer that is configured comes first. Otherwise the trust domain of `sub` decides, as it does for every JWT-SVID.
        """
        kind = presented.token_type
        if kind == MTLS_PEER_TYPE:
            return _trust_domain(presented)
        if kind not in SIGNED_TYPES and kind != ACCESS_TOKEN_TYPE:
            return None
        claims = read_signed(_without_prefix(presented.token or "")).claims
        issuer, subject = claims.get("iss"), claims.get("sub")
        known = isinstance(issuer, str) and (kind, issuer) in self._names
        if not known and isinstance(subject, str) and subject.startswith(_SPIFFE):
            return _SPIFFE + trust_domain_of(subject)
        return issuer if isinstance(issuer, str) else None

    def _unknown(self, token_type: str) -> str:
        known = {kind for kind, _ in self._names}
        if token_type in known:
            whose = "trust domain of this certificate" if token_type == MTLS_PEER_TYPE else "issuer of this token"
            return f"no identity provider is configured for the {whose}"
        return f"this type of identity is not accepted here; accepted: {', '.join(sorted(known)) or 'none'}"


def read_identity_token(presented: Presented) -> jose.Jws:
    """Take the presented token apart without believing it. Raises `IdentityRefusedError`."""
    return read_signed(presented.token or "")


def read_signed(token: str) -> jose.Jws:
    """Take a token apart without believing it. Raises `IdentityRefusedError`."""
    try:
        return jose.read(token.encode())
    except jose.TokenProblem as problem:
        raise refused(problem) from None
    except UnicodeEncodeError:
        raise IdentityRefusedError(_SENTENCES["form"]) from None


async def verify_signed(jws: jose.Jws, keys: Keys) -> None:
    """Check that the issuer, whose keys these are, has signed it. Raises `IdentityRefusedError`, `IdentityUnavailableError`."""
    try:
        key = await keys.find(jws.kid or "")
    except UnavailableError as error:
        raise IdentityUnavailableError(error.sentence) from None
    check_signature(jws, key, "its issuer does not publish")


def check_signature(jws: jose.Jws, key: jose.VerificationKey | None, otherwise: str) -> None:
    """Check that this key has signed it. Raises `IdentityRefusedError`; for want of a key it says what is wrong with that."""
    if key is None:
        raise IdentityRefusedError(f"the identity token is signed with a key that {otherwise}")
    try:
        jose.verify(jws, key)
    except jose.TokenProblem as problem:
        raise refused(problem) from None


def refused(problem: jose.TokenProblem) -> IdentityRefusedError:
    """The refusal that tells a caller about a problem of its token."""
    return IdentityRefusedError(_SENTENCES[problem.code])


def _trust_domain(presented: Presented) -> str | None:
    """The trust domain that a client certificate names."""
    if presented.certificate is None:
        raise IdentityRefusedError("this identity is only accepted with a client certificate on the authority's TLS")
    try:
        return _SPIFFE + read_leaf(presented.certificate.leaf).trust_domain
    except CertificateProblem as problem:
        raise IdentityRefusedError(str(problem)) from None


def _named(presented: Presented) -> str:
    """Whom a proof names, which nobody has verified yet; as a digest, for it may be long. Empty if it names nobody."""
    try:
        if presented.token_type == MTLS_PEER_TYPE:
            shown = presented.certificate
            names: tuple[object, object] = ("", "" if shown is None else read_leaf(shown.leaf).id)
        else:
            claims = read_signed(_without_prefix(presented.token or "")).claims
            names = (claims.get("iss"), claims.get("sub"))
    except (IdentityRefusedError, CertificateProblem):
        return ""
    return hashlib.sha256(repr(names).encode()).hexdigest()


def _without_prefix(token: str) -> str:
    found = _PREFIX(token)
    return token if found is None else token[found.end() :]


def _digest(presented: Presented) -> bytes:
    """What a proof is known by once it has verified."""
    own = presented.certificate.leaf if presented.token_type == MTLS_PEER_TYPE and presented.certificate is not None else b""
    shown = (presented.token_type, presented.token or "")
    return hashlib.sha256(b"\0".join((*(each.encode(errors="replace") for each in shown), own))).digest()
