"""The kinds of identity provider."""

from collections.abc import Mapping
from typing import Final

from gateway.identity.provider import Provider
from gateway.identity.providers import oidc, unix
from gateway.kind import Kind

PROVIDERS: Final[Mapping[str, Kind[Provider]]] = {
    "oidc": Kind(
        oidc.Config, oidc.build, posture="Trusts the issuer's keys, and its claims as far as the expressions use them."
    ),
    "unix": Kind(unix.Config, unix.build, posture="Trusts this machine's kernel and everyone who can become the listed users."),
}
