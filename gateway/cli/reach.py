"""How commands reach a running Doorward, over TCP or a Unix socket; knows no command and no meaning of an answer."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.authority.addresses import Address, parse_address
from gateway.errors import DoorwardError
from gateway.fetch import Fetch, FetchError
from gateway.settings.load import load

VARIABLE: Final = "DOORWARD_AUTHORITY"
"""Names the authority as `unix:PATH` or as a URL; then no configuration is needed."""

_OK: Final = range(200, 300)
_TOKEN_BYTES: Final = 16 * 1024
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 what listens everywhere is reached on this host


class Place(NamedTuple):
    """Where to send requests: the URL in front of every path, and the Unix socket if it is one."""

    url: str
    unix: str | None


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that names the configuration."""
    parser.add_argument(
        "-c", "--config", type=Path, default=Path("doorward.yaml"), help="the configuration (default: %(default)s)"
    )


def authority_place(config: Path, *, peer: bool) -> Place:
    """The authority, by the environment or else by the configuration. `peer`: only a Unix socket will do.

    Raises `DoorwardError`.
    """
    named = os.environ.get(VARIABLE)
    if named:
        place = _named(named)
    else:
        loaded = load(config)
        addresses = [parse_address(text) for text in loaded.document.authority.listen]
        chosen = next((address for address in addresses if address.path), addresses[0])
        if chosen.path or loaded.document.authority.tls is None:
            place = _at(chosen._replace(path=str(loaded.resolve(chosen.path)) if chosen.path else ""))
        else:  # its certificate is for the name in its own address
            place = Place(loaded.document.authority.issuer, None)
    if peer and place.unix is None:
        raise DoorwardError(
            "over TCP the authority cannot tell who you are; give --identity-token FILE, or use its Unix socket"
        )
    return place


def admin_place(config: Path) -> Place:
    """The admin socket of the configuration. Raises `DoorwardError`."""
    loaded = load(config)
    return _at(Address(path=str(loaded.resolve(parse_address(loaded.document.admin.socket).path))))


def read_token(file: Path) -> str:
    """The token in a file, without the white space around it. Raises `DoorwardError` that shows nothing of it."""
    try:
        with file.open("rb") as opened:
            token = opened.read(_TOKEN_BYTES).strip().decode("ascii")
    except OSError as error:
        raise DoorwardError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise DoorwardError(f"{file} does not hold one token")
    return token


async def ask(
    place: Place, method: str, path: str, *, form: Mapping[str, str] | None = None, bearer: str | None = None
) -> Mapping[str, Any]:
    """Send one request and return the members of its answer. Raises `DoorwardError` with what the other side says."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    async with Fetch() as fetch:
        try:
            got = await fetch.request(method, place.url + path, form=form, headers=headers, unix=place.unix)
        except FetchError as error:
            raise DoorwardError(f"{error}; is doorward serve running there, and may your user reach it?") from None
    members = got.json()
    if not isinstance(members, dict):
        raise DoorwardError("the answer is not one of Doorward")
    if got.status not in _OK:
        raise DoorwardError(str(members.get("error_description", f"the answer has status {got.status}")))
    return members


def _named(text: str) -> Place:
    if text.startswith(("http://", "https://")):
        return Place(text.rstrip("/"), None)
    try:
        address = parse_address(text)
    except ValueError:
        address = Address()
    if not address.path:
        raise DoorwardError(f"{VARIABLE} has to be unix:PATH, http://... or https://...")
    return _at(address)


def _at(address: Address) -> Place:
    if address.path:
        return Place("http://doorward", address.path)
    host = _EVERYWHERE.get(address.host, address.host)
    return Place(f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}", None)
