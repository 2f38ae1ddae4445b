"""Where a server listens, as text and as a value; opens no socket and resolves no name."""

from ipaddress import ip_address
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator

_UNIX: Final = "unix:"
_PORT_MAX: Final = 65535


class Address(NamedTuple):
    """`host` and `port`, or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""


def parse_address(text: str) -> Address:
    """Read `host:port`, `[IPv6]:port` or `unix:path`. Raises `ValueError` with a sentence for an operator."""
    if text.startswith(_UNIX):
        if text == _UNIX:
            raise ValueError("after unix: comes the path of a socket, as in unix:var/authority.sock")
        return Address(path=text[len(_UNIX) :])
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise ValueError("expected an address and a port such as 127.0.0.1:8081, or unix: and a path")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError("an IPv6 address stands in brackets, as in [::1]:8081")
    return Address(host=host[1:-1] if bracketed else host, port=int(port))


def is_local(address: Address) -> bool:
    """Whether only this machine can connect: a Unix socket, or a loopback address."""
    if address.path or address.host == "localhost":
        return True
    try:
        return ip_address(address.host).is_loopback
    except ValueError:
        return False


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def check_socket(text: str) -> str:
    """The text, if it names a Unix socket. Raises `ValueError`."""
    if not parse_address(text).path:
        raise ValueError("expected a Unix socket such as unix:var/admin.sock, where callers are known by their user")
    return text


AddressText = Annotated[str, AfterValidator(_check_address)]
"""`host:port`, `[IPv6]:port` or `unix:path`."""

SocketText = Annotated[str, AfterValidator(check_socket)]
"""`unix:path`."""
