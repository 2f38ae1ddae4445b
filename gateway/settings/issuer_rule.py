"""A further authority whose task tokens a gateway takes, as written in the configuration; follows nobody.

issuers:
  partner:
    remote: https://authority.partner.example
    certificate: gateway.pem
    key: gateway.key
    tenants: [acme]
    agents: [spiffe://partner.example/*]
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.authority.rules import Algorithms, Prefix, check_files, check_issuer, check_pattern, check_remote, own_issuer
from gateway.http.tls_rule import FileText
from gateway.kind import Config
from gateway.model import AgentPattern
from gateway.settings.names import Name


class IssuerRule(Config):
    """A further authority elsewhere, whose task tokens the gateway takes too. It follows a feed of its own from it."""

    remote: Annotated[str, AfterValidator(check_remote)]
    """Where it is, as `https://host:port` or `unix:path`."""
    ca: FileText | None = None
    """A file of PEM certificates that its certificate is verified with, instead of the system's."""
    certificate: FileText | None = None
    """This gateway's own certificate, as PEM, which stands in `authority.gateways` there."""
    key: FileText | None = None
    """The private key of that certificate, as PEM without a password."""
    issuer: Annotated[str, AfterValidator(check_issuer)] = Field(default_factory=own_issuer)
    """The `iss` of its task tokens; that of `remote` if it is an address. No two authorities have the same."""
    tenants: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The tenants that it speaks for here. Its tokens of any other are refused."""
    agents: Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], Field(min_length=1)] | None = None
    """The agents that it speaks for here: SPIFFE IDs, exact or with a trailing `/*`. All of its tenants when left out."""
    algorithms: Algorithms = ("ES256",)
    """What its task tokens may be signed with. One that claims another algorithm is refused."""
    prefix: Prefix = "dwt_"
    """What its task tokens begin with."""

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        check_files(self.remote, [name for name in ("ca", "certificate", "key") if getattr(self, name) is not None])
        if self.remote.startswith("unix:") and "issuer" not in self.model_fields_set:
            raise ValueError("say with `issuer` what the authority behind the socket calls itself")
        return self

    @property
    def patterns(self) -> tuple[AgentPattern, ...]:
        """The agents that it speaks for; none if it may name any."""
        return tuple(map(AgentPattern.parse, self.agents or ()))
