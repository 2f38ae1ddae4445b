"""Knows a workload by a token of an OpenID Connect issuer; knows one issuer and never another's keys.

identities:
  cluster:
    oidc:
      issuer: https://kubernetes.default.svc
      audience: doorward
      agent: |
        "spiffe://acme.example/ns/" + segment(claims["kubernetes.io"].namespace)
      require: |
        claims["kubernetes.io"].namespace in ["agents"]
    mints: spiffe://acme.example/ns/*
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from gateway.expressions import BOOL, CLAIMS, STRING, Environment, Expression, ExpressionError
from gateway.identity import jose
from gateway.identity.discovery import DiscoveredKeys, FileKeys, Keys, KeysUnavailableError, check_issuer
from gateway.identity.identify import read_identity_token, refused
from gateway.identity.provider import SIGNED_TYPES, Identity, IdentityRefusedError, Presented, Provider, ProviderConfig, Tools
from gateway.kind import Config as AnyConfig
from gateway.kind import Duration
from gateway.model import spiffe_id

LEEWAY: Final = 30.0
"""Seconds by which an issuer's clock may run ahead. An expiry gets no leeway: what has expired is never accepted."""

_CLAIMS: Final = Environment({"claims": CLAIMS})
_KINDS: Final = frozenset(("", "jwt"))
_AUDIENCES: Final = 100


def _agent_expression(text: str) -> str:
    expression = _compiled(text, STRING)
    if not expression.reads:
        raise PydanticCustomError(
            "expression", "the expression reads no claim, so every token of the issuer would be the same agent"
        )
    return text


def _require_expression(text: str) -> str:
    if not _compiled(text, BOOL).reads:
        raise PydanticCustomError("expression", "the expression reads no claim, so it demands nothing of a token")
    return text


def _compiled(text: str, returns: Any) -> Expression:
    try:
        return _CLAIMS.compile(text, returns)
    except ExpressionError as error:
        raise PydanticCustomError(
            "expression",
            "{problem} (line {line}, column {column} of the expression)",
            {"problem": error.message, "line": error.line, "column": error.column},
        ) from None


def _issuer(text: str) -> str:
    check_issuer(text)
    return text


def _algorithm(name: str) -> str:
    if name not in jose.ALGORITHMS:
        known = ", ".join(jose.ALGORITHMS)
        raise PydanticCustomError("algorithm", "expected a public-key signature algorithm; known: {known}", {"known": known})
    return name


class KeyFile(AnyConfig):
    """Where the issuer's keys are kept."""

    file: Annotated[str, Field(min_length=1)]
    """A JWK set (RFC 7517). It is read again when it changes."""


class Config(ProviderConfig):
    """Tokens of an OpenID Connect issuer: a Kubernetes cluster, a CI system, a cloud's metadata service."""

    issuer: Annotated[str, Field(min_length=8, max_length=500), AfterValidator(_issuer)]
    """The `iss` of its tokens, compared character by character; https, or http on a loopback address."""
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """What `aud` must contain. A name of Doorward's own, so that a token meant for another service is of no use here."""
    agent: Annotated[str, AfterValidator(_agent_expression)]
    """A CEL expression over `claims` that gives the SPIFFE ID. `segment(text)` refuses what is no path segment of one."""
    require: Annotated[str, AfterValidator(_require_expression)] | None = None
    """A CEL expression over `claims` that must be true."""
    jwks: KeyFile | None = None
    """Where the issuer's keys are; without it they are discovered at the issuer."""
    algorithms: Annotated[tuple[Annotated[str, AfterValidator(_algorithm)], ...], Field(min_length=1, max_length=10)] = (
        "RS256",
        "ES256",
    )
    """The signature algorithms that are accepted. A key without an `alg` serves the first of them that fits it."""
    max_lifetime: Duration = 86400.0
    """The longest life, from issue to expiry, that a token may have."""


@final
class Oidc:
    """Verifies the tokens of one issuer, in the order of RFC 8725 §3: form, type, key, signature, claims."""

    token_types: Final = SIGNED_TYPES

    def __init__(self, config: Config, name: str, tools: Tools, keys: Keys) -> None:
        """`keys` are those of `config.issuer` and of nobody else."""
        self.issuer: Final[str | None] = config.issuer
        self._config = config
        self._name = name
        self._clock = tools.clock
        self._keys = keys
        self._agent = _compiled(config.agent, STRING)
        self._require = None if config.require is None else _compiled(config.require, BOOL)

    async def verify(self, presented: Presented) -> Identity:
        """The agent that the token's claims give; the identity ends with the token."""
        jws = read_identity_token(presented)
        _check_kind(jws)
        await self._check_signature(jws)
        claims = MappingProxyType(dict(jws.claims))
        expires = self._check_claims(claims)
        return Identity(self._agent_of(jws.claims), self._name, claims, expires)

    async def _check_signature(self, jws: jose.Jws) -> None:
        if jws.claims.get("iss") != self._config.issuer:
            raise IdentityRefusedError("the identity token is from another issuer")
        if jws.algorithm not in self._config.algorithms:
            accepted = ", ".join(self._config.algorithms)
            raise IdentityRefusedError(f"the identity token uses an algorithm that is not accepted; accepted: {accepted}")
        if not jws.kid:
            raise IdentityRefusedError("the header of the identity token has no kid, so its key cannot be found")
        try:
            key = await self._keys.find(jws.kid)
        except KeysUnavailableError as error:
            raise IdentityRefusedError(error.sentence) from None
        if key is None:
            raise IdentityRefusedError("the identity token is signed with a key that its issuer does not publish")
        try:
            jose.verify(jws, key)
        except jose.TokenProblem as problem:
            raise refused(problem) from None

    def _check_claims(self, claims: Mapping[str, Any]) -> float:
        _check_audience(claims, self._config.audience)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise IdentityRefusedError("the identity token has no sub")
        return self._check_times(claims)

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        now = self._clock.now()
        expires = _moment(claims, "exp")
        if expires is None:
            raise IdentityRefusedError("the identity token has no exp; only tokens that expire are accepted")
        if expires <= now:
            raise IdentityRefusedError("the identity token has expired; present a new one")
        issued, not_before = _moment(claims, "iat"), _moment(claims, "nbf")
        if issued is not None and issued > now + LEEWAY:
            raise IdentityRefusedError("the identity token was issued in the future; compare the clocks")
        if not_before is not None and not_before > now + LEEWAY:
            raise IdentityRefusedError("the identity token is not valid yet; compare the clocks")
        if expires - (now if issued is None else issued) > self._config.max_lifetime:
            raise IdentityRefusedError(
                f"the identity token lives longer than the {self._config.max_lifetime:g} seconds that are accepted"
            )
        return expires

    def _agent_of(self, claims: Mapping[str, Any]) -> str:
        values = {"claims": claims}
        try:
            if self._require is not None and self._require.evaluate(values) is not True:
                raise IdentityRefusedError("the identity token does not meet the operator's requirement")
            return spiffe_id(self._agent.evaluate(values))
        except ExpressionError as error:
            raise IdentityRefusedError(f"the claims of the identity token name no agent: {error.message}") from None
        except ValueError as error:
            raise IdentityRefusedError(f"the claims of the identity token name no agent: {error}") from None


def build(config: Config, name: str, tools: Tools) -> Provider:
    """Open the source of keys. Raises `ValueError` when a file of keys cannot be used."""
    keys: Keys
    if config.jwks is not None:
        keys = FileKeys(tools.resolve(config.jwks.file), config.algorithms, tools.clock)
    else:
        keys = DiscoveredKeys(config.issuer, config.algorithms, tools.fetch, tools.clock)
    return Oidc(config, name, tools, keys)


def _check_kind(jws: jose.Jws) -> None:
    # Task tokens, proofs, logout tokens and security events all say what they are, and none is an identity (RFC 8725 §3.12).
    if jws.kind not in _KINDS:
        raise IdentityRefusedError("the identity token is of another kind: its typ may only be JWT")


def _check_audience(claims: Mapping[str, Any], audience: str) -> None:
    claimed = claims.get("aud")
    audiences = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise IdentityRefusedError(f"the identity token has no aud; ask its issuer for one with the audience {audience}")
    if len(audiences) > _AUDIENCES or audience not in audiences:
        raise IdentityRefusedError(f"the identity token is not meant for this authority; its aud must contain {audience}")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2) in Unix seconds; the JSON reader has refused what is not finite."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        raise IdentityRefusedError(f"the {name} of the identity token is not a time")
    return float(value)


_END_OF_TIME: Final = 253402300800.0
"""The year 10000: what lies beyond is a mistake, and no float loses its seconds before it."""
