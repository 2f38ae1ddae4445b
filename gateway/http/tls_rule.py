"""TLS of a listener as operators write it; opens no file and knows no listener."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.kind import Config

FileText = Annotated[str, Field(min_length=1)]
"""The path of a file; a relative one begins at the configuration's folder."""


class ListenerTlsRule(Config):
    """What a listener shows to those who connect, and what they have to show. Files are read again when they change."""

    certificate: FileText
    """A file of PEM certificates: its own, then the intermediates up to a root that clients know."""
    key: FileText
    """The private key of that certificate, as PEM without a password; it may stand in the same file."""
    client_ca: FileText | None = None
    """A file of PEM certificates. Every client has to show one that a certificate of it has signed (mTLS), over TLS 1.3."""
    client_certificate: Literal["required", "optional"] = "required"
    """With `client_ca`: whether a client may also show none. One that is shown has to verify in either case."""

    @model_validator(mode="after")
    def _check_asked(self) -> Self:
        if "client_certificate" in self.model_fields_set and self.client_ca is None:
            raise ValueError("`client_certificate` is for a listener with `client_ca`; without it nobody is asked for one")
        return self
