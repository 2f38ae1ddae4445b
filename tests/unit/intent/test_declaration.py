"""The Agent-Intent header, read as one RFC 9651 item."""

import pytest

from gateway.errors import Refusal
from gateway.intent.declaration import LONGEST, parse
from gateway.model import DeclaredIntent


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (b"invoices.read", DeclaredIntent("invoices.read")),
        (b'invoices.read;reason="close March"', DeclaredIntent("invoices.read", "close March")),
        (b'a;tool="t"; reason="r"', DeclaredIntent("a", "r", "t")),
        (rb'a;reason="say \"hi\" \\ there"', DeclaredIntent("a", 'say "hi" \\ there')),
        (b'a;reason=""', DeclaredIntent("a", "")),
    ],
)
def test_an_item_with_its_parameters_is_read(value: bytes, declared: DeclaredIntent) -> None:
    """A token, and strings for reason and tool."""
    assert parse(value) == declared


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'"quoted"',
        b"a, b",
        b"a b",
        b"9a",
        b'a ;reason="x"',
        b"a;reason=bare",
        b"a;reason",
        b'a;reason="open',
        b'a;reason="a\\b"',
        b'a;reason="\xc3\xa9"',
        b'a;other="x"',
        b'a;reason="x";reason="y"',
        b'a;Reason="x"',
        b"a;",
        b"(a b)",
        b"a" * (LONGEST + 1),
    ],
)
def test_anything_else_is_malformed(value: bytes) -> None:
    """One strict form; unknown or repeated parameters, lists and other types are refused."""
    with pytest.raises(Refusal) as caught:
        parse(value)
    assert caught.value.code == "intent_malformed"
