"""Puts the secret into a header of its own; knows nothing of who sent the request.

inject: {header: X-Api-Key}
"""

import re
from typing import Annotated, Final, final

from pydantic import AfterValidator, model_validator

from gateway.credentials.injector import UnfitSecretError
from gateway.credentials.secret import Secret
from gateway.http.fields import FRAMING_ROLES, HOP_BY_HOP, canonical
from gateway.kind import Config as KindConfig
from gateway.kind import shorthand

_NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-][!#$%&'*+.^_`|~0-9A-Za-z-]*").fullmatch
_VALUE = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?").fullmatch
_TAKEN: Final = HOP_BY_HOP | frozenset(FRAMING_ROLES) | {"host", "via", "traceparent", "x-request-id", "expect"}


def _check_name(text: str) -> str:
    if _NAME(text) is None:
        raise ValueError("a header name is one token, such as X-Api-Key")
    if canonical(text) in _TAKEN:
        raise ValueError(f"{text} belongs to HTTP or to the gateway and can hold no secret")
    return text


class Config(KindConfig):
    """Written as the name of the header alone, or as `{name: X-Api-Key}`."""

    _expand = model_validator(mode="before")(shorthand("name"))

    name: Annotated[str, AfterValidator(_check_name)]
    """The header that the upstream expects its key in."""


@final
class HeaderInjector:
    """One line, with nothing but the secret as its value."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self.places: Final = frozenset((canonical(name),))

    def lines(self, secret: Secret) -> bytes:
        """The header line."""
        return header_line(self._name, b"", secret)

    def to_scrub(self, secret: Secret) -> tuple[Secret, ...]:
        """The secret, which is sent as it is."""
        return (secret,)

    def loggable(self) -> str:
        """The name of the header."""
        return f"header {self._name}"


def header_line(name: str, scheme: bytes, secret: Secret) -> bytes:
    """One finished line. Raises `UnfitSecretError` for a secret that would break out of it (RFC 9110 §5.5)."""
    value = secret.reveal()
    if _VALUE(value) is None:
        raise UnfitSecretError("the secret holds control characters or outer spaces, so no header can hold it")
    return b"%b: %b%b\r\n" % (name.encode("ascii"), scheme, value)


def build(config: Config) -> HeaderInjector:
    """The injector for one header."""
    return HeaderInjector(config.name)
