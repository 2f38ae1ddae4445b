"""Makes task tokens and reads its own back; knows the claims of a token, not whether its task still lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, final

from gateway.authority.rotation import SigningKeys
from gateway.identity.jose import TOKEN_BYTES, TokenProblem, read, verify
from gateway.known_claims import NOTHING_KNOWN, KnownClaims
from gateway.model import Binding
from gateway.stores.store import IssuedToken, TaskRow

TYPE: Final = "at+jwt"


class TokenTooLargeError(Exception):
    """The claims do not fit into a token that a gateway would read."""


@final
@dataclass(frozen=True, slots=True)
class OwnToken:
    """A task token of this authority, or of another one of its store, whose signature holds and whose time is not over."""

    id: str
    task: str
    agent: str
    subject: str
    intents: frozenset[str]
    expires: float
    may_act: str | None
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return f"OwnToken({self.id})"


class Narrowed(NamedTuple):
    """Where and by whom alone a token can be used.

    `resource` is the URL of an upstream. With `may_act` the token is for this authority alone, as the subject token of that
    agent: whoever gets hold of it can call nothing with it. `binding` is what its user has to hold, `claims` those of its
    agent that policy reads.
    """

    resource: str | None = None
    may_act: str | None = None
    binding: Binding | None = None
    claims: KnownClaims = NOTHING_KNOWN


EVERYWHERE: Final = Narrowed()


def details_of(task: TaskRow, intents: tuple[str, ...]) -> dict[str, object]:
    """What a token is for (RFC 9396 §7), as it is told to whoever gets it: intents, and the task's params and limits."""
    details: dict[str, object] = {"type": "agent_task", "intents": list(intents)}
    if task.params:
        details["params"] = dict(task.params)
    if task.limits:
        details["limits"] = dict(task.limits)
    return details


def _carried(task: TaskRow, intents: tuple[str, ...]) -> dict[str, object]:
    """The same with what gateways have to know: who opened the task if not the agent itself, and what stands above it."""
    details = details_of(task, intents)
    if task.starter != task.agent:
        details["starter"] = task.starter
    if task.met:
        details["met"] = list(task.met)
    if task.above:
        details["above"] = [{"task": above.task, "limits": dict(above.limits)} for above in task.above]
    return details


def _known(whose: str, claims: KnownClaims) -> dict[str, object]:
    """What policy has read of the claims of the agent, or of the subject: most policy reads none."""
    known: dict[str, object] = {}
    if claims.there:
        known[f"{whose}_claims"] = dict(claims.there)
    if claims.lacking:
        known[f"{whose}_lacks"] = sorted(claims.lacking)
    return known


def confirmation(binding: Binding) -> dict[str, str]:
    """The `cnf` of a bound token (RFC 7800 §3, RFC 9449 §6.1, RFC 8705 §3.1)."""
    both = {"jkt": binding.jkt, "x5t#S256": binding.certificate}
    return {member: value for member, value in both.items() if value is not None}


def _actors(task: TaskRow) -> dict[str, object]:
    """Who acts (RFC 8693 §4.1): the agent, and within it the agents of the tasks above, which is history and nothing more."""
    agents = [task.agent]
    agents += [above.agent for above in task.above]
    chain: dict[str, object] = {}
    for agent, below in zip(reversed(agents), [None, *reversed(agents)], strict=False):
        if agent != below:
            chain = {"sub": agent, "act": chain} if chain else {"sub": agent}
    return chain


@final
class TokenMaker:
    """Signs the task tokens of one issuer for one audience (design §6, RFC 9068 §2)."""

    def __init__(self, keys: SigningKeys, *, issuer: str, audience: str, prefix: str) -> None:
        """`prefix` is put before the JWT, so that scanners find leaked tokens."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._prefix = prefix

    async def mint(
        self, issued: IssuedToken, task: TaskRow, intents: tuple[str, ...], *, policy: str, now: float,
        narrowed: Narrowed = EVERYWHERE,
    ) -> str:  # fmt: skip
        """The token of a task for some of its intents. Raises `TokenTooLargeError` and `UnsignedError`."""
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._audience if narrowed.resource is None else [self._audience, narrowed.resource],
            "sub": task.subject,
            "act": _actors(task),
            "client_id": task.agent,
            "jti": issued.id,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(issued.expires),
            "txn": task.id,
            "task_iat": int(task.opened),
            "epoch": issued.epoch,
            "tenant": task.tenant,
            "scope": " ".join(intents),
            "authorization_details": [_carried(task, intents)],
            "policy": policy,
        }
        if narrowed.may_act is not None:
            claims |= {"aud": self._issuer, "may_act": {"sub": narrowed.may_act}}
        else:
            claims |= _known("subject", task.subject_claims)
        claims |= _known("agent", narrowed.claims)
        if narrowed.binding is not None:
            claims["cnf"] = confirmation(narrowed.binding)
        signed = await self._keys.current.signed(TYPE, claims)
        if len(signed) > TOKEN_BYTES:
            raise TokenTooLargeError
        return self._prefix + signed

    def looks_own(self, token: str) -> bool:
        """Whether a token has the form of a task token; it says nothing of who made it."""
        return token.startswith(self._prefix)

    def read_back(self, token: str) -> OwnToken | None:
        """A token of this authority, or of another one of its store, alive or not; None for whatever else it is."""
        if not self.looks_own(token):
            return None
        try:
            jws = read(token[len(self._prefix) :].encode())
            key = self._keys.verification(jws.kid)
            if key is None:
                return None
            verify(jws, key)
        except (TokenProblem, UnicodeEncodeError):
            return None
        claims = dict(jws.claims)
        if jws.kind != TYPE or claims.get("iss") != self._issuer or not self._is_named(claims):
            return None
        return OwnToken(
            id=claims["jti"],
            task=claims["txn"],
            agent=claims["act"]["sub"],
            subject=claims["sub"],
            intents=frozenset(claims["scope"].split(" ")),
            expires=claims["exp"],
            may_act=claims["may_act"]["sub"] if "may_act" in claims else None,
            claims=claims,
        )

    def _is_named(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token is for our gateways, or for this authority."""
        audience = claims.get("aud")
        return audience == self._issuer or self._audience in (audience if isinstance(audience, list) else [audience])
