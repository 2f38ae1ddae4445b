"""Where the one task token of a request stands, for SDKs that know only a base URL and a key; knows nothing of what it says."""

import re
from base64 import b64decode
from typing import Final
from urllib.parse import unquote_plus

from gateway.errors import Refusal
from gateway.http.fields import Field
from gateway.http.head import RequestHead
from gateway.http.query import readings
from gateway.model import Upstream

BASIC: Final = "basic"
"""The token is the password of Authorization: Basic (RFC 7617), whatever the user is called."""
IN_QUERY: Final = "query:"
"""Stands before the name of a parameter of the query."""
DPOP: Final = b"DPoP "
"""Stands before a token that came by that scheme, so that what was verified of it is never taken for a bearer token's."""

_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)").fullmatch
_BY_PROOF: Final = re.compile(rb"[Dd][Pp][Oo][Pp] +([A-Za-z0-9._~+/-]+=*)").fullmatch
_BY_PASSWORD: Final = re.compile(rb"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]+=*)").fullmatch
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*").fullmatch


def the_one_token(head: RequestHead, upstream: Upstream) -> bytes:
    """Return it as it is verified; in the query it stands no more when this returns.

    Two filled places are two tokens, and nobody could say which was meant (RFC 6750 §2). Raises `Refusal`.
    """
    watched, places = head.watched, upstream.token_places
    found = [field for place in ("authorization", *places) for field in watched.get(place, ()) if field.value]
    in_query = _taken_from_query(head, places) if places and head.target.query else []
    if len(found) + len(in_query) > 1:
        raise Refusal("request_malformed", "The request carries more than one token.")
    if in_query:
        return _plain(in_query[0])
    if not found:
        raise Refusal("token_missing")
    field = found[0]
    if field.token is not None:
        return field.token
    if field.name != "authorization":
        field.token = _plain(field.value)
        return field.token
    password = _BY_PASSWORD(field.value) if BASIC in places else None
    if password is not None:  # and not kept with the line, which may come for an upstream that takes none
        return _password(password[1])
    field.token = _from_authorization(field)
    return field.token


def _from_authorization(field: Field) -> bytes:
    parts = _BEARER(field.value)
    if parts is not None:
        return parts[1]
    parts = _BY_PROOF(field.value)
    if parts is None:
        raise Refusal("token_invalid", "Authorization is not Bearer or DPoP, a space and one token.")
    return DPOP + parts[1]


def _plain(value: bytes) -> bytes:
    """A token that stands by itself. One that is bound to a key comes by its own scheme alone (RFC 9449 §7.1)."""
    if _TOKEN(value) is None:
        raise Refusal("token_invalid", "Here the token stands alone, without a scheme.")
    return value


def _password(encoded: bytes) -> bytes:
    try:
        user, colon, password = b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        raise Refusal("token_invalid", "Authorization: Basic is not base64.") from None
    if not colon or not password:
        raise Refusal("token_missing" if not user else "token_invalid", "The token is the password of Authorization: Basic.")
    return _plain(password)


def _alike(name: str) -> set[str]:
    """What some server takes a decoded name for, as it is compared: with `_` as `-`."""
    return {reading.replace("_", "-") for reading in readings(name)}


def _taken_from_query(head: RequestHead, places: tuple[str, ...]) -> list[bytes]:
    """The values of the parameters where a token may stand. However they are spelled, none of them is in the head any more.

    Names are compared decoded, without regard to case, and as servers do that read `a_b`, `a-b`, `a[b` and `a_b[0]` alike.
    """
    names = {each for place in places if place.startswith(IN_QUERY) for each in _alike(place.removeprefix(IN_QUERY))}
    if not names:
        return []
    query, found, kept = head.target.query or "", list[bytes](), list[str]()
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if names.isdisjoint(_alike(unquote_plus(name))):
            kept.append(pair)
        elif value:
            found.append(unquote_plus(value).encode("utf-8", "replace"))
    if not all(names.isdisjoint(_alike(unquote_plus(pair.partition("=")[0]))) for part in kept for pair in part.split(";")):
        raise Refusal("request_malformed", "Some servers would find a token behind the semicolon in the query.")
    if len(kept) < query.count("&") + 1:
        head.leave_out_of_query("&".join(kept) or None)
    return found
