"""Finds the provider that a proof of identity belongs to and holds it to its agents; knows not how one is verified."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from gateway.identity import jose
from gateway.identity.provider import SIGNED_TYPES, Identity, IdentityRefusedError, Presented, Provider
from gateway.model import AgentPattern, spiffe_id

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


@final
@dataclass(frozen=True, slots=True)
class Minter:
    """A provider together with the agents that it may vouch for, and no others."""

    provider: Provider
    mints: tuple[AgentPattern, ...]


@final
class Identities:
    """All configured identities. Each kind of token, or each issuer of one, belongs to exactly one of them."""

    def __init__(self, minters: Mapping[str, Minter]) -> None:
        """`minters` by their names in the configuration. Raises `ValueError` if two could claim one proof or one agent."""
        self._minters = dict(minters)
        self._names: dict[tuple[str, str | None], str] = {}
        for name, minter in self._minters.items():
            self._enter(name, minter)

    async def identify(self, presented: Presented) -> Identity:
        """Say which agent this is. Raises `IdentityRefusedError` for every proof that is not accepted."""
        name = self._names.get((presented.token_type, self._issuer(presented)))
        if name is None:
            raise IdentityRefusedError(self._unknown(presented.token_type))
        minter = self._minters[name]
        identity = await minter.provider.verify(presented)
        try:
            spiffe_id(identity.agent)
        except ValueError as error:
            raise IdentityRefusedError(f"identity provider {name} gave no agent: {error}") from None
        if not any(pattern.covers(identity.agent) for pattern in minter.mints):
            raise IdentityRefusedError(f"identity provider {name} may not vouch for this agent: it is outside its mints")
        return identity

    def _enter(self, name: str, minter: Minter) -> None:
        if not minter.mints:
            raise ValueError(f"identity {name} vouches for no agent; give it a mints pattern")
        for other in set(self._names.values()):
            if any(mine.overlaps(yours) for mine in minter.mints for yours in self._minters[other].mints):
                raise ValueError(f"identities {other} and {name} could both vouch for one agent; keep their mints apart")
        for token_type in minter.provider.token_types:
            key = (token_type, minter.provider.issuer)
            if key in self._names:
                raise ValueError(f"identities {self._names[key]} and {name} verify the same tokens; make them one")
            self._names[key] = name

    def _issuer(self, presented: Presented) -> str | None:
        """The issuer that a token names, unverified: it only selects whose keys must verify it (RFC 8725 §3.8)."""
        if presented.token_type not in SIGNED_TYPES:
            return None
        issuer = read_identity_token(presented).claims.get("iss")
        return issuer if isinstance(issuer, str) else None

    def _unknown(self, token_type: str) -> str:
        known = {kind for kind, _ in self._names}
        if token_type in known:
            return "no identity provider is configured for the issuer of this token"
        return f"this type of identity is not accepted here; accepted: {', '.join(sorted(known)) or 'none'}"


def read_identity_token(presented: Presented) -> jose.Jws:
    """Take the presented token apart without believing it. Raises `IdentityRefusedError`."""
    try:
        return jose.read((presented.token or "").encode())
    except jose.TokenProblem as problem:
        raise refused(problem) from None
    except UnicodeEncodeError:
        raise IdentityRefusedError(_SENTENCES["form"]) from None


def refused(problem: jose.TokenProblem) -> IdentityRefusedError:
    """The refusal that tells a caller about a problem of its token."""
    return IdentityRefusedError(_SENTENCES[problem.code])
