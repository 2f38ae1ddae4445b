"""Writes a secret in every form in which an upstream is likely to repeat it; knows nothing of messages and of searching."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_SHIFTS: Final = range(3)

# What is left as it is beside letters and digits, by whom.
_LEFT_ALONE: Final = (
    b"-._",  # PHP's urlencode
    b"-._~",  # quote_plus, Go's QueryEscape and most others (RFC 3986 §2.3)
    b"-._~/",  # urllib's quote
    b"-._*",  # forms of the URL standard, Java's URLEncoder
    b"-._!*()",  # HttpUtility of .NET
    b"-._~!*'()",  # encodeURIComponent
    b"-._~!*'();,/?:@&=+$#",  # encodeURI
    b"-._~$&+:=@",  # Go's PathEscape
)
_TO_ENCODE: Final = (
    re.compile(rb"[\x00-\xff]"),
    *(re.compile(rb"[^A-Za-z0-9%b]" % re.escape(marks)) for marks in _LEFT_ALONE),
)
_ENCODED: Final = re.compile(rb"%..")

# What is escaped in JSON beside what has to be, by whom. A quotation mark has its backslash already.
_QUOTED: Final = {'"': "u0022", "/": "\\/"} | {mark: f"\\u{ord(mark):04x}" for mark in "<>&'=+`\x7f"}
_ESCAPED: Final = tuple(
    str.maketrans({mark: _QUOTED[mark] for mark in marks})
    for marks in (
        "",  # nobody
        "/",  # PHP, Foundation
        "<>&",  # Go, Rails
        "<>&'",  # Flask
        "<>&'=",  # Gson
        "<>&'\"",  # Newtonsoft for HTML
        "<>&'\"/",  # PHP for HTML
        "<>&'\"+`\x7f",  # System.Text.Json
    )
)
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-f]{4}|.)")


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
    for to_encode in _TO_ENCODE:
        text = to_encode.sub(lambda byte: b"%%%02X" % ord(byte[0]), value)
        for form in (text, _ENCODED.sub(lambda byte: byte[0].lower(), text)):
            yield form
            yield form.replace(b"%20", b"+")


def _in_json(value: bytes) -> Iterator[bytes]:
    """As a part of a JSON string (RFC 8259 §7), with digits of either case."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    for only_ascii in (True, False):
        quoted = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        for escaped in _ESCAPED:
            form = quoted.translate(escaped)
            yield form.encode()
            yield _ESCAPE.sub(lambda escape: escape[0][:2] + escape[0][2:].upper(), form).encode()
