"""What a configuration says of TLS, checked against the files and the addresses it is for; opens no connection."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from gateway.authority.addresses import parse_address
from gateway.authority.rules import AuthorityRule
from gateway.errors import Flaw
from gateway.http.tls_context import Part, UnusableFileError, calling, ends, serving
from gateway.http.tls_rule import ListenerTlsRule
from gateway.model import NO_FILES, TlsFiles
from gateway.settings.issuer_rule import IssuerRule
from gateway.settings.load import Loaded

SOON: Final = timedelta(days=14).total_seconds()
"""How long before the end of a certificate of ours the gateway begins to warn."""
_A_DAY: Final = timedelta(days=1).total_seconds()

_LISTENER: Final[Mapping[Part, str]] = {"certificate": "certificate", "key": "key", "ca": "client_ca"}
_UPSTREAM: Final[Mapping[Part, str]] = {"certificate": "client_certificate", "key": "client_key", "ca": "ca"}
_Where = tuple[str, ...]


class _Side(NamedTuple):
    """A listener that has an address for others: with what it listens, and where it says how it is reached."""

    where: _Where
    listen: tuple[str, ...]
    tls: ListenerTlsRule | None
    url: str
    url_key: str


def listener_files(loaded: Loaded, rule: ListenerTlsRule) -> TlsFiles:
    """The files of a listener."""
    return _files(loaded.resolve, rule.certificate, rule.key, rule.client_ca)


def upstream_files(loaded: Loaded, name: str) -> TlsFiles:
    """The files of an upstream; without any it is verified with the system's certificates."""
    rule = loaded.document.upstreams[name].tls
    return _files(loaded.resolver("upstreams", name), rule.client_certificate, rule.client_key, rule.ca)


def remote_files(loaded: Loaded, rule: AuthorityRule | IssuerRule) -> TlsFiles:
    """The files with which an authority elsewhere is followed."""
    return _files(loaded.resolve, rule.certificate, rule.key, rule.ca)


def followed_files(loaded: Loaded) -> Iterator[tuple[_Where, TlsFiles]]:
    """The same for each authority that is followed with files of ours, with the place that names them."""
    rules: list[tuple[_Where, AuthorityRule | IssuerRule]] = [(("authority",), loaded.document.authority)]
    rules += [(("issuers", name), rule) for name, rule in loaded.document.issuers.items()]
    for where, rule in rules:
        if (files := remote_files(loaded, rule)) != NO_FILES:
            yield where, files


def tls_files(loaded: Loaded) -> Iterator[tuple[_Where, TlsFiles]]:
    """All files of TLS, with the places that name them."""
    for side in _sides(loaded):
        if side.tls is not None:
            yield (*side.where, "tls"), listener_files(loaded, side.tls)
    yield from followed_files(loaded)
    for name in loaded.document.upstreams:
        yield ("upstreams", name, "tls"), upstream_files(loaded, name)


def tls_flaws(loaded: Loaded, now: float) -> Iterator[Flaw]:
    """Files that cannot be used now, and addresses that say something else. `now` is in Unix seconds."""
    for side in _sides(loaded):
        yield from _side_flaws(loaded, side, now)
    for where, files in followed_files(loaded):
        try:
            calling(files, now)
        except UnusableFileError as error:
            yield loaded.flaw((*where, error.part), str(error))
    for name, rule in loaded.document.upstreams.items():
        files, where = upstream_files(loaded, name), ("upstreams", name, "tls")
        if rule.address().origin.scheme == "https":
            # The system's certificates are no file of ours; what they cannot verify is refused when it is dialled.
            if files != NO_FILES:
                try:
                    calling(files, now)
                except UnusableFileError as error:
                    yield loaded.flaw((*where, _UPSTREAM[error.part]), str(error))
        elif files != NO_FILES:
            yield loaded.flaw(where, "nothing of this is used, for the upstream's url begins with http://")


def tls_warnings(loaded: Loaded, now: float) -> Iterator[str]:
    """What will stop working, and what works only with something else in front."""
    for side in _sides(loaded):
        section = ".".join(side.where)
        if side.tls is None and side.url.startswith("https://"):
            place = loaded.flaw((*side.where, side.url_key), "")
            yield (
                f"line {place.line}, column {place.column}: {section}.{side.url_key} begins with https://, but there is no "
                f"{section}.tls; something in front has to speak TLS"
            )
    for where, files in tls_files(loaded):
        if files.certificate is not None and (left := ends(files.certificate) - now) < SOON:
            yield f"{'.'.join(where)}: its certificate ends within {int(left / _A_DAY) + 1} days"


def _side_flaws(loaded: Loaded, side: _Side, now: float) -> Iterator[Flaw]:
    if side.tls is None:
        return
    where = (*side.where, "tls")
    try:
        serving(listener_files(loaded, side.tls), now)
    except UnusableFileError as error:
        yield loaded.flaw((*where, _LISTENER[error.part]), str(error))
    if all(parse_address(text).path for text in side.listen):
        yield loaded.flaw(where, "nothing of this is used: `listen` names only Unix sockets, and those speak no TLS")
    elif not side.url.startswith("https://"):
        section = ".".join(side.where)
        told = f"with {section}.tls this address begins with https://"
        yield loaded.flaw((*side.where, side.url_key), told)


def _sides(loaded: Loaded) -> Iterator[_Side]:
    gateway, authority = loaded.document.gateway, loaded.document.authority
    yield _Side(("gateway",), gateway.listen, gateway.tls, gateway.url, "url")
    if authority.remote is None:
        yield _Side(("authority",), authority.listen, authority.tls, authority.issuer, "issuer")


def _files(resolve: Callable[[str], Path], certificate: str | None, key: str | None, ca: str | None) -> TlsFiles:
    certificate, key, ca = (None if text is None else str(resolve(text)) for text in (certificate, key, ca))
    return TlsFiles(certificate, key, ca)
