"""The kinds of identity provider."""

from collections.abc import Mapping
from typing import Final

from gateway.identity.provider import Provider
from gateway.identity.providers import doorward, oidc, spiffe_jwt, spiffe_x509, unix
from gateway.kind import Kind

PROVIDERS: Final[Mapping[str, Kind[Provider]]] = {
    "doorward": Kind(
        doorward.Config, doorward.build, posture="Trusts the other Doorward's keys, and its word for whose task a token is."
    ),
    "oidc": Kind(
        oidc.Config, oidc.build, posture="Trusts the issuer's keys, and its claims as far as the expressions use them."
    ),
    "spiffe_jwt": Kind(
        spiffe_jwt.Config, spiffe_jwt.build, posture="Trusts the trust domain's keys, and whoever gives out its bundle."
    ),
    "spiffe_x509": Kind(
        spiffe_x509.Config, spiffe_x509.build, posture="Trusts the trust domain's roots, and whoever gives out its bundle."
    ),
    "unix": Kind(unix.Config, unix.build, posture="Trusts this machine's kernel and everyone who can become the listed users."),
}
