"""Says which addresses are one source, wherever something is counted by source; knows nothing of what is counted."""

from functools import lru_cache
from ipaddress import ip_network
from typing import Final

REMEMBERED: Final = 4096
"""Of how many addresses the network is remembered, which takes longer to work out than all else that is asked of a source."""
_SITE: Final = 64
"""Bits of an IPv6 address that name a network: the rest of it anybody there may choose."""


@lru_cache(REMEMBERED)
def site_of(address: str) -> str:
    """The address itself, or the network of an IPv6 one; what is no address is its own source."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((address, _SITE), strict=False))
    except ValueError:
        return address
