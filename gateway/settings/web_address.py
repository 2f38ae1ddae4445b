"""URLs as operators write them, in parts; opens no connection and resolves no name."""

import re
from ipaddress import IPv6Address
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator

from gateway.model import Origin

_PORTS: Final = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?").fullmatch
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?").fullmatch


class WebAddress(NamedTuple):
    """A URL in parts. `path` has no trailing slash and is empty for the root."""

    origin: Origin
    path: str


def read_url(text: str) -> WebAddress:
    """Read an http or https URL of which each part is plain. Raises `ValueError` with a sentence that shows no part of it."""
    if any(letter <= " " or letter == "\x7f" for letter in text):
        raise ValueError("a URL here has no spaces and no control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("this is not a URL such as https://api.example") from None
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ValueError("expected a URL that begins with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("a URL here holds no user and password; put the secret under `credentials`")
    if "?" in text or "#" in text:
        raise ValueError("a URL here has no query and no fragment")
    host = _host(parts.hostname or "", bracketed="[" in parts.netloc)
    if not is_plain_path(parts.path):
        raise ValueError("the path of a URL here has plain segments: no empty ones, no dot segments, no backslashes or spaces")
    return WebAddress(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), parts.path.rstrip("/"))


def is_plain_path(path: str) -> bool:
    """Whether every parser reads this path alike; it is empty, or begins with a slash."""
    return _PATH(path) is not None and not any(segment in (".", "..") or "%" in segment for segment in path.split("/"))


def _host(host: str, *, bracketed: bool) -> str:
    if bracketed:
        try:
            return str(IPv6Address(host))
        except ValueError:
            raise ValueError("the host in brackets is not an IPv6 address") from None
    if _HOST(host) is None or ".." in host:
        raise ValueError("the host of a URL is a name or an address; write other scripts in punycode (xn--...)")
    return host


def _check_url(text: str) -> str:
    read_url(text)
    return text


def _check_origin(text: str) -> str:
    if read_url(text).path:
        raise ValueError("expected the address alone, such as http://127.0.0.1:8080, without a path")
    return text.rstrip("/")


UrlText = Annotated[str, AfterValidator(_check_url)]
"""An http or https URL, perhaps with a path."""

OriginText = Annotated[str, AfterValidator(_check_origin)]
"""An http or https URL without a path."""
