"""Makes task tokens and reads its own back; knows the claims of a token, not whether its task still lives."""

from dataclasses import dataclass
from typing import Any, Final, final

import jwt

from gateway.authority.keys import ALGORITHM, SigningKey
from gateway.identity.jose import TOKEN_BYTES, TokenProblem, read, verify
from gateway.stores.store import IssuedToken, TaskRow

TYPE: Final = "at+jwt"


class TokenTooLargeError(Exception):
    """The claims do not fit into a token that a gateway would read."""


@final
@dataclass(frozen=True, slots=True)
class OwnToken:
    """A task token of this authority whose signature holds and whose time is not over."""

    id: str
    task: str
    agent: str
    subject: str
    expires: float
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return f"OwnToken({self.id})"


@final
class TokenMaker:
    """Signs the task tokens of one issuer for one audience (design §6, RFC 9068 §2)."""

    def __init__(self, key: SigningKey, *, issuer: str, audience: str, prefix: str) -> None:
        """`prefix` is put before the JWT, so that scanners find leaked tokens."""
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._prefix = prefix

    def mint(self, issued: IssuedToken, task: TaskRow, intents: tuple[str, ...], *, policy: str, epoch: str, now: float) -> str:
        """The token of a task for some of its intents. Raises `TokenTooLargeError`."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": task.subject,
            "act": {"sub": task.agent},
            "client_id": task.agent,
            "jti": issued.id,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(issued.expires),
            "txn": task.id,
            "task_iat": int(task.opened),
            "epoch": epoch,
            "tenant": task.tenant,
            "scope": " ".join(intents),
            "authorization_details": [{"type": "agent_task", "intents": list(intents)}],
            "policy": policy,
        }
        signed = jwt.encode(claims, self._key.private, ALGORITHM, headers={"typ": TYPE, "kid": self._key.kid})
        if len(signed) > TOKEN_BYTES:
            raise TokenTooLargeError
        return self._prefix + signed

    def looks_own(self, token: str) -> bool:
        """Whether a token has the form of a task token; it says nothing of who made it."""
        return token.startswith(self._prefix)

    def read_back(self, token: str, now: float) -> OwnToken | None:
        """A token that this authority has signed and that has not expired; None for whatever else it is."""
        if not self.looks_own(token):
            return None
        try:
            jws = read(token[len(self._prefix) :].encode())
            verify(jws, self._key.verification())
        except (TokenProblem, UnicodeEncodeError):
            return None
        claims = dict(jws.claims)
        if (
            jws.kind != TYPE
            or jws.kid != self._key.kid
            or claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
        ):
            return None
        if now >= claims["exp"]:
            return None
        return OwnToken(claims["jti"], claims["txn"], claims["act"]["sub"], claims["sub"], claims["exp"], claims)
