"""What operations demand besides their path: types of captures, query and body."""

import pytest
from pydantic import ValidationError

from gateway.errors import Refusal
from gateway.http.content import Content
from gateway.intent.index import OperationIndex
from gateway.intent.rules import IntentRule


def index(**operations: list) -> OperationIndex:
    return OperationIndex({name: IntentRule(upstream="u", operations=texts) for name, texts in operations.items()})


def names(found: OperationIndex, target: str, content: Content | None = None, method: str = "GET") -> list[str]:
    path, _, query = target.partition("?")
    return [each.intent for each in found.covering(method, tuple(path[1:].split("/")), query, content)]


def json_body(text: str) -> Content:
    return Content(text.encode(), b"application/json", coded=False)


def form_body(text: str) -> Content:
    return Content(text.encode(), b"application/x-www-form-urlencoded", coded=False)


@pytest.mark.parametrize(
    ("kind", "taken", "left"),
    [
        ("int", ["0", "42", "-7"], ["007", "1.0", "+1", "٤٢", "1e3", "", "1234567890123456789"]),
        ("uuid", ["0b5a2c1e-6a0f-4d6e-9f0a-1c2d3e4f5a6b"], ["0B5A2C1E-6A0F-4D6E-9F0A-1C2D3E4F5A6B", "0b5a2c1e"]),
        ("date", ["2026-11-24"], ["2026-13-01", "2026-1-1"]),
        ("hex", ["00ff"], ["0xff", "FF"]),
        ("word", ["a_B-9"], ["a.b", "ü", "a b"]),
    ],
)
def test_a_capture_with_a_type_takes_nothing_else(kind: str, taken: list[str], left: list[str]) -> None:
    """One spelling for each value: what is compared is what the upstream reads."""
    found = index(typed=[f"GET /x/{{id:{kind}}}"], plain=["GET /x/{id}"])
    for text in taken:
        assert names(found, f"/x/{text}") == ["typed", "plain"]
    for text in left:
        assert names(found, f"/x/{text}") == (["plain"] if text else [])


def test_an_unknown_type_is_a_mistake() -> None:
    """The known ones are named."""
    with pytest.raises(ValidationError, match="known: date, hex, int, uuid, word"):
        IntentRule(upstream="u", operations=["GET /x/{id:number}"])


def test_a_query_has_to_say_what_is_demanded() -> None:
    """One of the values, once; other names do not matter."""
    found = index(pdf=[{"operation": "GET /r", "query": {"format": ["pdf", "ps"], "page": 1}}], any=["GET /r"])
    assert names(found, "/r?format=pdf&page=1&x=2") == ["pdf", "any"]
    assert names(found, "/r?format=%70df&page=1") == ["pdf", "any"]
    for query in ("", "?format=pdf", "?format=csv&page=1", "?format&page=1"):
        assert names(found, "/r" + query) == ["any"]


@pytest.mark.parametrize(
    "query",
    [
        "format=csv&format=pdf", "format=csv&Format=pdf", "format[]=pdf", "format=csv;format=pdf", "format=%ff",
        "format=pdf&[format]=csv", "format=pdf&%5bformat%5d=csv", "format=pdf&[format=csv", "format=pdf&]format=csv",
        "format=pdf&format]=csv", "[format]=csv", "format=pdf" + "&" * 100,
    ],
)  # fmt: skip
def test_a_demanded_name_that_stands_twice_is_refused(query: str) -> None:
    """Whichever of them the upstream goes by, it could be the other."""
    with pytest.raises(Refusal, match="request_malformed"):
        names(index(pdf=[{"operation": "GET /r", "query": {"format": "pdf"}}]), f"/r?{query}")


def test_a_bracket_that_nothing_closes_is_an_underscore_to_some() -> None:
    """PHP takes `account[id` for `account_id`, while a list called `account` is none."""
    found = index(own=[{"operation": "GET /r", "query": {"account_id": 42}}], any=["GET /r"])
    for query in ("account_id=42&account[id=43", "account[id=42", "account_id=42&[account.id]=43"):
        with pytest.raises(Refusal, match="request_malformed"):
            names(found, f"/r?{query}")
    assert names(found, "/r?account_id=42&account[id]=43&account[name]=x") == ["own", "any"]


def test_a_body_has_to_say_what_is_demanded() -> None:
    """A member of exactly the value and type, however deep; of a form the text."""
    found = index(eur=[{"operation": "POST /p", "body": {"money.currency": ["EUR", "CHF"], "final": True}}], any=["POST /p"])
    assert found.reads_body(found.covering("POST", ("p",)))
    assert names(found, "/p", None, "POST") == ["eur", "any"]
    assert names(found, "/p", json_body('{"money": {"currency": "EUR"}, "final": true}'), "POST") == ["eur", "any"]
    for text in (
        '{"money": {"currency": "USD"}, "final": true}',
        '{"money": {"currency": "EUR"}, "final": 1}',
        "[]",
        '{"money": "EUR"}',
    ):
        assert names(found, "/p", json_body(text), "POST") == ["any"]
    assert names(found, "/p", form_body("money.currency=CHF&final=true"), "POST") == ["eur", "any"]
    with pytest.raises(Refusal, match="request_malformed"):
        names(found, "/p", form_body("money.currency=CHF&money_currency=USD&final=true"), "POST")


@pytest.mark.parametrize(
    "text", ['{"Kind": "large"}', '{"KIND": "small"}', '{"of": {"Id": 2}, "kind": "small"}', '{"OF": 1, "kind": "small"}']
)
def test_a_member_in_other_letters_is_refused(text: str) -> None:
    """A server that sees no difference of case, as Go's does not, would go by it."""
    found = index(
        large=[{"operation": "POST /p", "body": {"kind": "large"}}], two=[{"operation": "POST /p", "body": {"of.id": 2}}]
    )
    with pytest.raises(Refusal, match="request_malformed"):
        names(found, "/p", json_body(text), "POST")
    assert names(found, "/p", json_body('{"kinds": "large", "of": {"ids": 2}}'), "POST") == []


def test_the_first_template_whose_demands_are_met_gives_the_captures() -> None:
    """Two operations of one intent on one path are told apart by what they demand."""
    found = index(
        a=[{"operation": "GET /{x}", "query": {"by": "id"}}, {"operation": "GET /{y}", "query": {"by": "name"}}],
    )
    (covering,) = found.covering("GET", ("1",), "by=name")
    assert covering.captures == {"y": "1"}


def test_nobody_reads_a_body_that_no_rule_reads() -> None:
    """The common request is not held up."""
    rules = {name: IntentRule(upstream="u", operations=[text]) for name, text in (("a", "POST /p"), ("b", "POST /q"))}
    found = OperationIndex(rules, frozenset("b"))
    assert not found.reads_body(found.covering("POST", ("p",)))
    assert found.reads_body(found.covering("POST", ("q",)))
