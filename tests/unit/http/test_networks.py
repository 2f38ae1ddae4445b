"""Which addresses an upstream may have: what is `public`, and what has to be named."""

from ipaddress import ip_address

import pytest

from gateway.http.networks import is_permitted

PUBLIC = [
    "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "168.63.129.15", "172.32.0.0", "192.0.1.0", "192.88.98.255",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450::1", "3fff:1000::1",
    "::ffff:93.184.216.34", "64:ff9b::5db8:d822", "2002:5db8:d822::1",
]  # fmt: skip
SPECIAL = [
    ("0.0.0.0", "this host"),
    ("0.1.2.3", "this network, RFC 791"),
    ("10.0.0.1", "private"),
    ("100.64.0.1", "shared by the customers of a carrier, RFC 6598"),
    ("100.100.100.200", "metadata of Alibaba Cloud, in the same"),
    ("127.0.0.1", "loopback"),
    ("168.63.129.16", "the platform of Azure"),
    ("169.254.169.254", "link-local: metadata of most clouds"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "protocol assignments, RFC 6890"),
    ("192.0.0.192", "metadata of Oracle Cloud, in the same"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "the relays of 6to4, RFC 7526"),
    ("192.168.0.1", "private"),
    ("198.18.0.1", "benchmarks, RFC 2544"),
    ("198.19.255.255", "benchmarks"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved, RFC 1112"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "compatible"),
    ("::ffff:127.0.0.1", "mapped"),
    ("::ffff:168.63.129.16", "mapped"),
    ("::ffff:169.254.169.254", "mapped"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b::a9fe:a9fe", "NAT64"),
    ("64:ff9b:1::5db8:d822", "NAT64 of a network's own, RFC 8215"),
    ("100::1", "discard, RFC 6666"),
    ("100:0:0:1::1", "dummy, RFC 9780"),
    ("2001::1", "Teredo, RFC 4380"),
    ("2001:2::1", "benchmarks, RFC 5180"),
    ("2001:10::1", "ORCHID, RFC 4843"),
    ("2001:20::1", "ORCHIDv2, RFC 7343"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:a83f:8110::1", "6to4"),
    ("3fff::1", "documentation, RFC 9637"),
    ("3fff:fff::1", "documentation, RFC 9637"),
    ("4000::1", "given out to nobody"),
    ("5f00::1", "segment routing, RFC 9602"),
    ("fc00::1", "unique local"),
    ("fd00::1", "unique local"),
    ("fd00:ec2::254", "unique local: metadata of AWS"),
    ("fe80::1", "link-local"),
    ("fe80::1%1", "link-local, with its scope"),
    ("fec0::1", "site-local, RFC 3879"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast of global scope"),
]


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_on_the_internet_is_public(text: str) -> None:
    """Also right beside what is not, and as an IPv4 address within one of IPv6."""
    assert is_permitted(ip_address(text), ("public",))


@pytest.mark.parametrize(("text", "why"), SPECIAL)
def test_what_is_special_has_to_be_named(text: str, why: str) -> None:
    """By the registries of IANA, whatever the version of Python knows of them; and where clouds tell their machines secrets."""
    assert not is_permitted(ip_address(text), ("public",)), why


@pytest.mark.parametrize(
    ("text", "networks", "permitted"),
    [
        ("10.1.2.3", ("10.1.0.0/16",), True),
        ("10.2.2.3", ("10.1.0.0/16",), False),
        ("10.2.2.3", ("10.1.0.0/16", "10.2.0.0/16"), True),
        ("::ffff:10.1.2.3", ("10.1.0.0/16",), True),
        ("::10.1.2.3", ("10.1.0.0/16",), True),
        ("64:ff9b::a01:203", ("10.1.0.0/16",), True),
        ("2002:a01:203::1", ("10.1.0.0/16",), True),
        ("93.184.216.34", ("10.1.0.0/16",), False),
        ("168.63.129.16", ("public", "168.63.129.16/32"), True),
        ("fd00::1", ("public", "fd00::/8"), True),
        ("fe80::1%1", ("fe80::/10",), True),
        ("64:ff9b:1::1", ("64:ff9b:1::/48",), True),
        ("::1", ("::1/128",), True),
        ("::1", ("127.0.0.0/8", "0.0.0.0/8"), False),
        ("::", ("127.0.0.0/8", "0.0.0.0/8"), False),
        ("::127.0.0.1", ("::1/128",), False),
    ],
)
def test_what_is_named_is_permitted_and_nothing_else(text: str, networks: tuple[str, ...], permitted: bool) -> None:
    """An IPv4 address within one of IPv6 counts as what it leads to; `::1` looks like one, and is none."""
    assert is_permitted(ip_address(text), networks) is permitted
