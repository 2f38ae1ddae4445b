"""Says which addresses an upstream may have, by the networks that its configuration names; resolves and connects nothing."""

import ipaddress
from functools import lru_cache
from typing import Final

from gateway.lookups import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GIVEN_OUT: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out for the internet (IANA, Internet Protocol Version 6 Address Space)."""
_SPECIAL: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        # IANA IPv4 Special-Purpose Address Registry: all that is not globally reachable, or is no host of anybody's.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",
        "168.63.129.16/32",  # where every machine in Azure finds its platform, credentials among what that tells
        # IANA IPv6 Special-Purpose Address Registry, of what is given out; 6to4 goes by the IPv4 address in it.
        "2001::/23", "2001:db8::/32", "3fff::/20",
    )
)  # fmt: skip
"""What else is not `public`. Python's `is_global` has less of it, and not the same in each version."""


def is_permitted(address: Address, networks: tuple[str, ...]) -> bool:
    """Whether an upstream may have this address: `public` is what is globally routable, all else must be named as a CIDR."""
    address = _embedded(address)
    return any(_is_public(address) if network == "public" else address in _network(network) for network in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GIVEN_OUT:
        return False
    return not any(address in network for network in _SPECIAL)


def _embedded(address: Address) -> Address:
    """The IPv4 address that a mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) address leads to; any other as it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # `::` and `::1` stand in the network of the compatible ones, and lead to no IPv4 address (RFC 4291 §2.5.2 and §2.5.3).
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@lru_cache(maxsize=1024)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)
