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
from typing import Annotated, Any, Final, Self, final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.expressions import BOOL, CLAIMS, STRING, Environment, Expression, ExpressionError
from gateway.identity import jose
from gateway.identity.asking import Asking, check_address
from gateway.identity.claims import Expected, check_claims
from gateway.identity.discovery import DiscoveredKeys, FileKeys, Issuer, Keys, PublishedKeys
from gateway.identity.identify import read_identity_token, verify_signed
from gateway.identity.kept import UnavailableError
from gateway.identity.provider import (
    SIGNED_TYPES,
    Identity,
    IdentityRefusedError,
    IdentityUnavailableError,
    Presented,
    Provider,
    ProviderConfig,
    Tools,
)
from gateway.identity.shared_issuers import SHARED
from gateway.identity.token_review import ReviewRule, TokenReview
from gateway.kind import Config as AnyConfig
from gateway.kind import Duration
from gateway.spiffe import spiffe_id

_CLAIMS: Final = Environment({"claims": CLAIMS})
_KINDS: Final = frozenset(("", "jwt"))


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


def _address(text: str) -> str:
    check_address(text, "a key set")
    return text


def _algorithm(name: str) -> str:
    if name not in jose.ALGORITHMS:
        known = ", ".join(jose.ALGORITHMS)
        raise PydanticCustomError("algorithm", "expected a public-key signature algorithm; known: {known}", {"known": known})
    return name


class KeysRule(AnyConfig):
    """Where the issuer's keys come from: a file, an address, or what the issuer's discovery document names."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """A JWK set (RFC 7517). It is read again when it changes."""
    url: Annotated[str, Field(max_length=2000), AfterValidator(_address)] | None = None
    """The address of a JWK set, where there is no discovery document or it is not to be followed."""
    ca: Annotated[str, Field(min_length=1)] | None = None
    """A file of PEM certificates that TLS is verified with, instead of the system's; for `url` and for discovery."""
    bearer: Annotated[str, Field(min_length=1)] | None = None
    """With `url`: a file with a token that is shown there, as a Kubernetes API server wants it."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.file is not None and (self.url is not None or self.ca is not None):
            raise ValueError("keys in a `file` are not asked for, so neither `url` nor `ca` stands beside it")
        if self.bearer is not None and self.url is None:
            raise ValueError("`bearer` needs `url`: a token is shown to an address of yours, not to one that an answer names")
        return self


class Config(ProviderConfig):
    """Tokens of an OpenID Connect issuer: a Kubernetes cluster, a CI system, a cloud's metadata service."""

    issuer: Issuer
    """The `iss` of its tokens, compared character by character; https, or http on a loopback address."""
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """What `aud` must contain. A name of Doorward's own, so that a token meant for another service is of no use here."""
    agent: Annotated[str, AfterValidator(_agent_expression)]
    """A CEL expression over `claims` that gives the SPIFFE ID. `segment(text)` refuses what is no path segment of one."""
    require: Annotated[str, AfterValidator(_require_expression)] | None = None
    """A CEL expression over `claims` that must be true."""
    jwks: KeysRule = KeysRule()
    """Where the issuer's keys are; without it they are discovered at the issuer."""
    algorithms: Annotated[tuple[Annotated[str, AfterValidator(_algorithm)], ...], Field(min_length=1, max_length=10)] = (
        "RS256",
        "ES256",
    )
    """The signature algorithms that are accepted. A key without an `alg` serves the first of them that fits it."""
    max_lifetime: Duration = 86400.0
    """The longest life, from issue to expiry, that a token may have."""
    review: ReviewRule | None = None
    """Ask a Kubernetes API server with each exchange whether the account and the pod of the token are still there."""

    @model_validator(mode="after")
    def _check_owner(self) -> Self:
        """An issuer that serves everybody says nothing of whose a token is unless its claims are looked at."""
        shared = SHARED.get(self.issuer)
        if shared is None or (self.require is not None and not _met(self.require, shared.stranger)):
            return self
        told = "this `require` is met by a stranger's token" if self.require is not None else "`require` is missing"
        owned = " or ".join(f"claims.{name}" for name in shared.owned)
        raise PydanticCustomError(
            "shared",
            "{platform} gives tokens to everybody, and {told}: compare {owned} with your own",
            {"platform": shared.platform, "told": told, "owned": owned},
        )


@final
class Oidc:
    """Verifies the tokens of one issuer, in the order of RFC 8725 §3: form, type, key, signature, claims."""

    token_types: Final = SIGNED_TYPES

    def __init__(self, config: Config, name: str, tools: Tools, keys: Keys, review: TokenReview | None = None) -> None:
        """`keys` are those of `config.issuer` and of nobody else."""
        self.issuer: Final[str | None] = config.issuer
        self._config = config
        self._name = name
        self._clock = tools.clock
        self._keys = keys
        self._review = review
        self._expected = Expected(config.audience, config.max_lifetime)
        self._agent = _compiled(config.agent, STRING)
        self._require = None if config.require is None else _compiled(config.require, BOOL)

    async def verify(self, presented: Presented) -> Identity:
        """The agent that the token's claims give; the identity ends with the token."""
        jws = read_identity_token(presented)
        _check_kind(jws)
        await self._check_signature(jws)
        claims = MappingProxyType(dict(jws.claims))
        expires = check_claims(claims, self._expected, self._clock.now())
        agent = self._agent_of(jws.claims)
        if self._review is not None:  # last, as it asks somebody else
            await self._ask(self._review, presented, claims)
        return Identity(agent, self._name, claims, expires)

    def roots(self) -> None:
        """A certificate is no token."""

    def trouble(self) -> str | None:
        """Why the keys could not be read the last time."""
        return self._keys.trouble()

    def close(self) -> None:
        """The keys are needed no more."""
        self._keys.close()

    async def _ask(self, review: TokenReview, presented: Presented, claims: Mapping[str, Any]) -> None:
        try:
            await review.check(presented.token or "", claims)
        except UnavailableError as error:
            raise IdentityUnavailableError(error.sentence) from None

    async def _check_signature(self, jws: jose.Jws) -> None:
        if jws.claims.get("iss") != self._config.issuer:
            raise IdentityRefusedError("the identity token is from another issuer")
        if jws.algorithm not in self._config.algorithms:
            accepted = ", ".join(self._config.algorithms)
            raise IdentityRefusedError(f"the identity token uses an algorithm that is not accepted; accepted: {accepted}")
        if not jws.kid:
            raise IdentityRefusedError("the header of the identity token has no kid, so its key cannot be found")
        await verify_signed(jws, self._keys)

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
    """Open the source of keys. Raises `ValueError` when a file of it, or of the review, cannot be used."""
    review = None if config.review is None else TokenReview(config.review, config.audience, tools)
    return Oidc(config, name, tools, _keys(config, tools), review)


def _keys(config: Config, tools: Tools) -> Keys:
    rule, clock = config.jwks, tools.clock
    if rule.file is not None:
        return FileKeys(tools.resolve(rule.file), config.algorithms, clock)
    asking = Asking("the issuer", tools.fetch, clock, tools.resolve, ca=rule.ca, bearer=rule.bearer)
    if rule.url is not None:
        return PublishedKeys(rule.url, config.issuer, config.algorithms, asking, clock)
    return DiscoveredKeys(config.issuer, config.algorithms, asking, clock)


def _met(require: str, claims: Mapping[str, Any]) -> bool:
    """Whether these claims are what the operator demands; what cannot be evaluated is not met."""
    try:
        return _compiled(require, BOOL).evaluate({"claims": claims}) is True
    except ExpressionError:
        return False


def _check_kind(jws: jose.Jws) -> None:
    # Task tokens, proofs, logout tokens and security events all say what they are, and none is an identity (RFC 8725 §3.12).
    if jws.kind not in _KINDS:
        raise IdentityRefusedError("the identity token is of another kind: its typ may only be JWT")
