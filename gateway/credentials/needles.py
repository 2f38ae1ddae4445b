"""Writes a secret in every form in which an upstream is likely to repeat it; knows nothing of messages and of searching."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_SHIFTS: Final = range(3)
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What is left as it is by: nobody, quote_plus and most others, urllib's quote, encodeURIComponent.
_LEFT_ALONE: Final[tuple[frozenset[int], ...]] = (
    frozenset(),
    _UNRESERVED,
    _UNRESERVED | frozenset(b"/"),
    _UNRESERVED | frozenset(b"!*'()"),
)


def needles_of(value: bytes) -> tuple[bytes, ...]:
    """Plain, base64, hexadecimal, percent encoding, and JSON where it escapes something; each form once, plain first."""
    in_hex = value.hex().encode("ascii")
    forms = [value, *_in_base64(value), in_hex, in_hex.upper(), *_in_percent_encoding(value), *_in_json(value)]
    return tuple(dict.fromkeys(forms))


def _in_base64(value: bytes) -> Iterator[bytes]:
    """In both alphabets (RFC 4648 §4 and §5), wherever it begins in a longer text.

    Only the characters that are the secret's alone: those at the edges hold bits of its neighbours too.
    """
    for shift in _SHIFTS:
        text = b64encode(bytes(shift) + value)
        inner = text[-(-8 * shift // 6) : 8 * (shift + len(value)) // 6]
        yield inner
        yield inner.translate(_URL_SAFE)


def _in_percent_encoding(value: bytes) -> Iterator[bytes]:
    """With digits of either case (RFC 3986 §2.1), fully and as libraries do it, the space also as a plus sign."""
    for left_alone in _LEFT_ALONE:
        for form in (b"%%%02X", b"%%%02x"):
            text = b"".join(bytes((byte,)) if byte in left_alone else form % byte for byte in value)
            yield text
            yield text.replace(b"%20", b"+")


def _in_json(value: bytes) -> Iterator[bytes]:
    """As a part of a JSON string (RFC 8259 §7); the slash is escaped by some."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    for only_ascii in (True, False):
        quoted = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        yield quoted.encode()
        yield quoted.replace("/", "\\/").encode()
