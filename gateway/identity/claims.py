"""Checks the claims that every signed identity has in common; knows no issuer, no signature and no claim of one kind alone.

The claims are declared in sets, and each that is checked has one small function. What no set names is for the expressions of
the operator, or for nobody.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.identity.provider import IdentityRefusedError

REQUIRED: Final = frozenset(("aud", "exp", "sub"))
"""Without one of these no token is an identity; `iss` is required beside them where an issuer is what is trusted."""
CHECKED: Final = frozenset(("aud", "exp", "iat", "iss", "nbf", "sub"))
"""What is checked wherever it stands. `jti` is not: a proof may be shown again until it ends (RFC 7519 §4.1.7)."""

LEEWAY: Final = 30.0
"""Seconds by which an issuer's clock may run ahead. An expiry gets no leeway: what has expired is never accepted."""
_AUDIENCES: Final = 100
_END_OF_TIME: Final = 253402300800.0
"""The year 10000: what lies beyond is a mistake, and no float loses its seconds before it."""


class Expected(NamedTuple):
    """What an operator demands of the common claims. `max_lifetime` is in seconds, from issue to expiry."""

    audience: str
    max_lifetime: float


def check_claims(claims: Mapping[str, Any], expected: Expected, now: float) -> float:
    """Check `aud`, `sub`, `exp`, `iat` and `nbf` at `now`, in Unix seconds; returns `exp`. Raises `IdentityRefusedError`."""
    _check_audience(claims, expected.audience)
    _check_subject(claims)
    expires = _check_expiry(claims, now)
    issued = _check_issued(claims, now)
    _check_begin(claims, now)
    if expires - issued > expected.max_lifetime:
        raise IdentityRefusedError(
            f"the identity token lives longer than the {expected.max_lifetime:g} seconds that are accepted"
        )
    return expires


def _check_audience(claims: Mapping[str, Any], audience: str) -> None:
    claimed = claims.get("aud")
    audiences = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise IdentityRefusedError(f"the identity token has no aud; ask its issuer for one with the audience {audience}")
    if len(audiences) > _AUDIENCES or audience not in audiences:
        raise IdentityRefusedError(f"the identity token is not meant for this authority; its aud must contain {audience}")


def _check_subject(claims: Mapping[str, Any]) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise IdentityRefusedError("the identity token has no sub")


def _check_expiry(claims: Mapping[str, Any], now: float) -> float:
    expires = _moment(claims, "exp")
    if expires is None:
        raise IdentityRefusedError("the identity token has no exp; only tokens that expire are accepted")
    if expires <= now:
        raise IdentityRefusedError("the identity token has expired; present a new one")
    return expires


def _check_issued(claims: Mapping[str, Any], now: float) -> float:
    """When it was issued; now, if it does not say so."""
    issued = _moment(claims, "iat")
    if issued is None:
        return now
    if issued > now + LEEWAY:
        raise IdentityRefusedError("the identity token was issued in the future; compare the clocks")
    return issued


def _check_begin(claims: Mapping[str, Any], now: float) -> None:
    begins = _moment(claims, "nbf")
    if begins is not None and begins > now + LEEWAY:
        raise IdentityRefusedError("the identity token is not valid yet; compare the clocks")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2) in Unix seconds; the JSON reader has refused what is not finite."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        raise IdentityRefusedError(f"the {name} of the identity token is not a time")
    return float(value)
