"""How commands reach a running Doorward, over TCP or a Unix socket; knows no command and no meaning of an answer."""

import argparse
import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.call import Place, call
from gateway.errors import DoorwardError

if TYPE_CHECKING:
    from gateway.authority.addresses import Address
    from gateway.settings.load import Loaded

VARIABLE: Final = "DOORWARD_AUTHORITY"
"""Names the authority as `unix:PATH` or as a URL; then no configuration is needed, and none of what reads one is loaded."""

_UNIX: Final = "unix:"
_TOKEN_BYTES: Final = 16 * 1024
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 what listens everywhere is reached on this host


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
    place = _named(named) if named else _configured(_load(config))
    if peer and place.unix is None:
        raise DoorwardError(
            "over TCP the authority cannot tell who you are; give --identity-token FILE, or use its Unix socket"
        )
    return place


def admin_place(config: Path) -> Place:
    """The admin socket of the configuration. Raises `DoorwardError`."""
    from gateway.authority.addresses import parse_address  # noqa: PLC0415 as below

    loaded = _load(config)
    return Place("http://doorward", str(loaded.resolve(parse_address(loaded.document.admin.socket).path)))


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
    place: Place,
    method: str,
    path: str,
    *,
    form: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
    bearer: str | None = None,
) -> Mapping[str, Any]:
    """Send one request and return the members of its answer. Raises `DoorwardError` with what the other side says."""
    return await asyncio.to_thread(partial(call, place, method, path, form=form, body=body, bearer=bearer))


def _load(config: Path) -> "Loaded":
    from gateway.settings.load import load  # noqa: PLC0415 who names the authority otherwise needs no configuration

    return load(config)


def _configured(loaded: "Loaded") -> Place:
    from gateway.authority.addresses import parse_address  # noqa: PLC0415 the same

    remote = loaded.document.authority.remote
    if remote is not None and remote.startswith("https://"):
        return Place(remote, None)
    addresses = [parse_address(text) for text in ([remote] if remote else loaded.document.authority.listen)]
    chosen = next((address for address in addresses if address.path), addresses[0])
    if chosen.path:
        return Place("http://doorward", str(loaded.resolve(chosen.path)))
    if loaded.document.authority.tls is None:
        return Place(_url(chosen), None)
    return Place(loaded.document.authority.issuer, None)  # its certificate is for the name in its own address


def _named(text: str) -> Place:
    if text.startswith(("http://", "https://")):
        return Place(text.rstrip("/"), None)
    if not text.startswith(_UNIX) or text == _UNIX:
        raise DoorwardError(f"{VARIABLE} has to be unix:PATH, http://... or https://...")
    return Place("http://doorward", text.removeprefix(_UNIX))


def _url(address: "Address") -> str:
    host = _EVERYWHERE.get(address.host, address.host)
    return f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}"
