"""Certificates made on the spot, and the TLS contexts of clients and upstreams that use them; knows no Doorward."""

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import trustme

EVER = timedelta(days=365)


class Certificates:
    """An authority and what it has signed. Files are `NAME.pem` and `NAME.key` in one folder, and `ca.pem`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.authority.cert_pem.write_to_path(str(folder / f"{name}.pem"))

    def issue(self, *names: str, ends_in: timedelta = EVER, now: datetime | None = None) -> trustme.LeafCert:
        now = now or datetime.now(timezone.utc)
        begins = min(now, now + ends_in) - timedelta(days=1)
        return self.authority.issue_cert(
            *names, not_before=begins, not_after=now + ends_in, key_type=trustme.KeyType.ECDSA, common_name="a test"
        )

    def write(self, name: str, *names: str, ends_in: timedelta = EVER) -> trustme.LeafCert:
        """The files of a certificate for some names; what was there is replaced."""
        made = self.issue(*names, ends_in=ends_in)
        self.replace(name, made)
        return made

    def replace(self, name: str, made: trustme.LeafCert) -> None:
        """Exchange the files as a renewing program does: each at once, the certificate before the key."""
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        for suffix, content in ((".pem", chain), (".key", made.private_key_pem.bytes())):
            fresh = self.folder / f"{name}.fresh"
            fresh.write_bytes(content)
            fresh.rename(self.folder / f"{name}{suffix}")

    def client(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """For a client that trusts this authority, and shows a certificate if it has one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        context.set_alpn_protocols(["http/1.1"])
        if leaf is not None:
            leaf.configure_cert(context)
        return context

    def upstream(self, leaf: trustme.LeafCert, *, asks: bool = False) -> ssl.SSLContext:
        """For an upstream; one that `asks` wants a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context
