"""The authority's part of the configuration, as an operator writes it."""

import pytest
from pydantic import ValidationError

from gateway.authority.addresses import Address, parse_address
from gateway.authority.rules import AdminRule, AuthorityRule


def test_everything_has_a_default():
    """An empty section works."""
    rule = AuthorityRule.model_validate({})
    assert (rule.store.name, rule.store.config.path) == ("sqlite", "var/doorward.db")
    assert (rule.tokens.ttl, rule.tokens.max_ttl, rule.tokens.max_task, rule.tokens.prefix) == (300, 900, 28800, "dwt_")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8081", Address("127.0.0.1", 8081)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("unix:var/authority.sock", Address(path="var/authority.sock")),
    ],
)
def test_addresses(text: str, address: Address):
    """Host and port, IPv6 in brackets, or a path."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8081", ":8081", "::1:8081", "a:b", "a:65536", "a:-1", "unix:", "a:²"])
def test_what_is_no_address(text: str):
    """A sentence with an example says what is expected."""
    with pytest.raises(ValueError, match=r"such as|as in"):
        parse_address(text)


@pytest.mark.parametrize(
    "section",
    [
        {"listen": []},
        {"listen": ["nowhere"]},
        {"issuer": "authority"},
        {"issuer": "https://authority.example/"},
        {"issuer": "https://authority.example?x=1"},
        {"issuer": "https://user@authority.example"},
        {"store": {"sqlite": ""}},
        {"store": {}},
        {"tokens": {"ttl": "1h"}},
        {"tokens": {"ttl": "100ms"}},
        {"tokens": {"max_task": "5m"}},
        {"tokens": {"prefix": "DWT"}},
        {"heartbeat": "2m"},
    ],
)
def test_what_is_refused(section: dict[str, object]):
    """Half a configuration, or a key that does not work yet, is an error."""
    with pytest.raises(ValidationError):
        AuthorityRule.model_validate(section)


def test_the_admin_socket_is_a_unix_socket():
    """Operators are known by their user, so there is no TCP for them."""
    assert AdminRule.model_validate({"socket": "unix:a.sock", "operators": ["alice"]}).operators == ("alice",)
    with pytest.raises(ValidationError, match="Unix socket"):
        AdminRule.model_validate({"socket": "127.0.0.1:1"})
