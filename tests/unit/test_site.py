"""Which addresses are one source."""

import pytest

from gateway.site import REMEMBERED, site_of


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("peer:7", "peer:7"),
        ("", ""),
    ],
)
def test_a_source_is_an_address_or_the_network_of_one(address: str, site: str) -> None:
    """Whoever has an IPv6 network can choose among its addresses, so they are one source; what is no address stays as it is."""
    assert site_of(address) == site


def test_only_so_many_addresses_are_remembered() -> None:
    """And a forgotten one is worked out again, to the same."""
    for number in range(REMEMBERED + 1):
        assert site_of(f"2001:db8::{number:x}") == "2001:db8::/64"
    known = site_of.cache_info()
    assert (known.currsize, known.maxsize) == (REMEMBERED, REMEMBERED)
    assert site_of("2001:db8::0") == "2001:db8::/64"
