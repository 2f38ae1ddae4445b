"""The third step: the one task token of a request, verified and still good; knows nothing of what it may be used for."""

import re
from collections.abc import Mapping
from math import ceil
from typing import Any, Final, cast

from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.identity.failures import Failures
from gateway.identity.issuers import Issuers
from gateway.identity.jose import Jws, TokenProblem, VerificationKey, read, verify
from gateway.identity.places import DPOP, the_one_token
from gateway.identity.standing import Standing
from gateway.known_claims import NOTHING_KNOWN, KnownClaims
from gateway.model import Binding, Current, Limit, Principal, Upstream, marks_of
from gateway.site import site_of
from gateway.task_limits import counted, read_limits

KIND: Final = "at+jwt"
MOST_INTENTS: Final = 256
"""How many intents a token may carry."""
SKEW: Final = 30.0
"""Seconds by which an authority's clock may be ahead. Expiry has no leeway at all."""

_STRANGER: Final = "The token is of an issuer that this gateway does not trust, or of a key it no longer uses."
_CONFIRMATIONS: Final = frozenset(("jkt", "x5t#S256"))
_NONE: Final[frozenset[str]] = frozenset()  # one for all principals: an empty set of its own takes 200 bytes
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


def authenticate(head: RequestHead, upstream: Upstream, issuers: Issuers, source: str) -> Principal:
    """Return whose token came with the request, or raise the `Refusal` for one that is missing or not ours.

    Signature and claims are proved once for the same bytes, and only so many wrong signatures are looked at for each `source`.
    What can change is for `still_good`, and whether the caller holds what the token is bound to is for `possession`.
    """
    token = head.token
    if token is None:
        token = head.token = the_one_token(head, upstream)
    for standing in issuers.standings:
        principal = standing.remembered.get(token)
        if principal is not None:
            return principal
    return _verified(token, issuers, source)


def still_good(principal: Principal, standing: Standing) -> Current:
    """Return the proof that the token is good now, or raise the `Refusal` for one that is over, of another epoch or revoked.

    Nothing here is remembered from one request to the next.
    """
    if standing.clock.now() >= principal.expires:
        raise Refusal("token_expired")
    if standing.stale:
        raise Refusal("revocations_stale", retry_after=1)
    if principal.epoch != standing.epoch:
        raise Refusal("token_invalid", "The records of its authority began anew since this token was issued.")
    if not standing.ended.isdisjoint(principal.marks):
        raise standing.end_of(principal.marks)
    return cast("Current", principal)


def _verified(shown: bytes, issuers: Issuers, source: str) -> Principal:
    """Everything cheap is checked before the signature, so that garbage does not cost a verification (RFC 8725 §3).

    The token says itself whose it is. What it says is believed only once that issuer's key has verified it.
    """
    by_proof = shown.startswith(DPOP)
    token = shown[len(DPOP) :] if by_proof else shown
    prefix = issuers.prefix_of(token)
    if not prefix:
        raise Refusal("token_invalid", f"A task token begins with {issuers.prefixes}.")
    try:
        jws = read(token[len(prefix) :])
        standing = issuers.of(jws.claims.get("iss"))
        if standing is None:
            raise Refusal("token_invalid", _STRANGER)
        if jws.algorithm not in standing.algorithms or jws.kind != KIND or prefix != standing.prefix:
            raise Refusal("token_invalid")
        key = standing.signing_keys.get(jws.kid or "")
        if key is None and not standing.epoch:
            raise Refusal("revocations_stale", "This gateway has not heard its authority yet.")
        if key is None:
            raise Refusal("token_invalid", _STRANGER)
        _verify(jws, key, standing.failures, source)
    except TokenProblem:
        raise Refusal("token_invalid") from None
    principal = _principal(jws.claims, key.kid, standing)
    if by_proof != (principal.binding is not None and principal.binding.jkt is not None):
        if by_proof:
            raise Refusal("token_invalid", "The token is not bound to a key; send it as Bearer.")
        raise Refusal("proof_missing", "The token is bound to a key: send it as Authorization: DPoP, with a proof.")
    standing.remember(shown, principal)
    return principal


def _verify(jws: Jws, key: VerificationKey, failures: Failures, source: str) -> None:
    """Check the signature, unless too many of this source were wrong lately. Raises `TokenProblem` and `Refusal`."""
    actor = jws.claims.get("act")
    name = actor.get("sub") if isinstance(actor, dict) else None
    agent = name if isinstance(name, str) else ""
    site = site_of(source)
    if wait := failures.wait(site, agent):
        raise Refusal("limit_exceeded", "Too many tokens from this address had a wrong signature.", retry_after=ceil(wait))
    try:
        verify(jws, key)
    except TokenProblem:
        failures.failed(site, agent)
        raise
    failures.proved(site, agent)


def _principal(claims: Mapping[str, Any], key: str, standing: Standing) -> Principal:
    """What the claims of a token that this key has signed say (design §6), each of the one type it may have."""
    audience = claims.get("aud")
    if standing.audience not in (audience if isinstance(audience, list) else [audience]):
        raise Refusal("token_invalid", "The token is for another audience.")
    expires, not_before = _number(claims, "exp"), _number(claims, "nbf")
    if not_before > standing.clock.now() + SKEW:
        raise Refusal("token_invalid", "The token is not valid yet.")
    actor = claims.get("act")
    agent = _text(actor if isinstance(actor, dict) else {}, "sub")
    tenant = _text(claims, "tenant")
    if tenant not in standing.tenants:
        raise Refusal("tenant_mismatch")
    if not standing.speaks_for(agent):
        raise Refusal("token_invalid", "The issuer of the token does not speak for this agent here.")
    task, token = _text(claims, "txn"), _text(claims, "jti")
    intents = _text(claims, "scope").split(" ")
    if len(intents) > MOST_INTENTS:
        raise Refusal("token_invalid")
    details = _details(claims)
    above = _above(details)
    return Principal(
        agent=agent,
        subject=_text(claims, "sub"),
        tenant=tenant,
        task=task,
        token=token,
        intents=frozenset(intents),
        expires=expires,
        epoch=_text(claims, "epoch"),
        marks=marks_of(token=token, task=task, agent=agent, tenant=tenant, key=key),
        opened=_number(claims, "task_iat"),
        params=_params(details),
        starter=_text(details, "starter") if "starter" in details else None,
        binding=_binding(claims["cnf"]) if "cnf" in claims else None,
        limits=_limits(tenant, [(task, details), *above]),
        family=above[-1][0] if above else "",
        met=_names(details, "met"),
        claims=_known(claims, "agent"),
        subject_claims=_known(claims, "subject"),
        issuer=standing.issuer,
    )


def _binding(confirmation: object) -> Binding:
    """What `cnf` says. A binding that nothing here checks must not be taken for none (RFC 7800 §3.1, RFC 9449 §7.2)."""
    if not isinstance(confirmation, dict) or not confirmation or not _CONFIRMATIONS.issuperset(confirmation):
        raise Refusal("token_invalid", "The token is bound in a way that this gateway cannot check.")
    if not all(isinstance(value, str) and _THUMBPRINT(value) for value in confirmation.values()):
        raise Refusal("token_invalid")
    return Binding(confirmation.get("jkt"), confirmation.get("x5t#S256"))


def _known(claims: Mapping[str, Any], whose: str) -> KnownClaims:
    """What policy read of the claims of the agent, or of the subject; a token of an earlier version names none as lacking."""
    if f"{whose}_claims" not in claims and f"{whose}_lacks" not in claims:
        return NOTHING_KNOWN
    there = claims.get(f"{whose}_claims", {})
    if not isinstance(there, dict):
        raise Refusal("token_invalid")
    return KnownClaims(there, _names(claims, f"{whose}_lacks"))


def _details(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one element of `authorization_details` (RFC 9396 §2), if there is any."""
    details = claims.get("authorization_details", [{}])
    if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
        raise Refusal("token_invalid")
    return details[0]


def _params(details: Mapping[str, Any]) -> dict[str, str]:
    params = details.get("params", {})
    if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
        raise Refusal("token_invalid")
    return params


def _above(details: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tasks above, nearest first, each with what is said of it."""
    above = details.get("above", [])
    if not isinstance(above, list) or not all(isinstance(each, dict) for each in above):
        raise Refusal("token_invalid")
    return [(_text(each, "task"), each) for each in above]


def _limits(tenant: str, tasks: list[tuple[str, Mapping[str, Any]]]) -> tuple[Limit, ...]:
    """The limits of the task and of each above: whatever is used counts under all of them."""
    limits: list[Limit] = []
    try:
        for task, said in tasks:
            if "limits" in said:
                limits += counted(tenant, task, read_limits(said["limits"]))
    except ValueError:
        raise Refusal("token_invalid") from None
    return tuple(limits)


def _names(said: Mapping[str, Any], member: str) -> frozenset[str]:
    if member not in said:
        return _NONE
    names = said[member]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refusal("token_invalid")
    return frozenset(names)


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refusal("token_invalid")
    try:
        return float(value)
    except OverflowError:
        raise Refusal("token_invalid") from None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal("token_invalid")
    return value
