"""TLS of a listener as operators write it; opens no file and knows no listener."""

from typing import Annotated

from pydantic import Field

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
    """A file of PEM certificates. With it every client has to show a certificate that one of them has signed (mTLS)."""
