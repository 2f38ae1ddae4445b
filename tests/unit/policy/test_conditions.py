"""Conditions: which facts they read, how mistakes are told, and what is volatile."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.expressions import ExpressionError
from gateway.http.query import read_pairs
from gateway.policy.asked import VARIABLES, VOLATILE
from gateway.policy.conditions import CONDITIONS_KEPT, request_condition, start_condition
from gateway.policy.members import Member, PairsRead, claims_apart, claims_named, members_named, pairs_read


@pytest.mark.parametrize(
    ("text", "line", "column", "told"),
    [
        ("path.customer == nobody", 1, 18, "undeclared reference to 'nobody'"),
        ('request.methd == "GET"', 1, 8, "undeclared reference to 'request.methd'"),
        ('request.method == "GET" &&\n  task.label == "x"', 2, 7, "undeclared reference to 'task.label'"),
        ("task.params.customer == 3", 1, 22, "found no matching overload for '_==_' applied to '(string, int)'"),
        ("request.method", 1, 1, "the expression gives string, but bool is needed"),
        ("now <", 1, 6, "Syntax error: mismatched input the end"),
        ("true", 1, 1, "the expression reads nothing, so it says the same of everything"),
        ('path.x.matches("[")', 1, 1, "missing ]: ["),
        ('path.x + "\0" == ""', 1, 1, "the expression holds the character U+0000"),
        ('now.getHours("Nowhere/Town") < 6', 1, 1, "Invalid timezone"),
        ('dyn(request.method) == 1 || dyn(1).x == "a"', 1, 1, ""),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, line: int, column: int, told: str) -> None:
    """Unknown names, wrong types and bad patterns, before anything starts."""
    with pytest.raises(ExpressionError) as caught:
        request_condition(text)
    assert told in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("path.x == task.params.x", {"path", "task.params"}),
        ('path.x == "1"', {"path"}),
        ("path.x != task.params.x", {"path", "task.params"}),
        ('now.getHours("UTC") < 6', {"now"}),
        ('request.source == "127.0.0.1"', {"request.source"}),
        ("request.size < 1000", {"request.size"}),
        ("size(request.query) == 0", {"request.query"}),
        ('request.path != "now"', {"request.path"}),
        ('task.age < duration("5m") && path.x == "1"', {"task.age", "path"}),
        ('request.headers["x-a"][0] == "now"', {"request.headers"}),
        ("task.requests < 100", {"task.requests"}),
        ("timestamp(path.day) < now", {"path", "now"}),
        ('intent.reason != "" && agent.trust_domain == "x.test"', {"intent.reason", "agent.trust_domain"}),
    ],
)
def test_what_is_read_is_known(text: str, reads: set[str]) -> None:
    """Whether a decision may be kept follows from it."""
    condition = request_condition(text)
    assert condition.reads == reads
    assert condition.lasting == reads.isdisjoint({"now", "task.age", "task.requests", "request.size", "request.source"})


def test_only_what_can_change_is_volatile() -> None:
    """Each of them is a variable."""
    assert set(VARIABLES) > VOLATILE


def test_a_start_knows_no_request() -> None:
    """There is none yet when a task is opened."""
    assert start_condition("task.params.customer in subject.claims.customers").reads == {"task.params", "subject.claims"}
    assert start_condition('task.params.customer == "42"').reads == {"task.params"}
    for text in ('path.x == "1"', 'request.method == "GET"', 'now < timestamp("2030-01-01T00:00:00Z")'):
        with pytest.raises(ExpressionError, match="undeclared reference"):
            start_condition(text)


def test_members_are_found_wherever_they_are_named() -> None:
    """And not in texts, comments, or as members of something else."""
    text = 'path.a == task.params.b && path["c"] == "path.d" // path.e\n && x.path.f != task . params . g && size(path) > 0'
    assert list(members_named(text)) == [
        Member("path", "a", 1, 6),
        Member("task.params", "b", 1, 23),
        Member("path", "c", 1, 33),
        Member("task.params", "g", 2, 33),
    ]


def test_conditions_are_compiled_once_and_kept_within_a_bound() -> None:
    """Entries with one text share what was made of it."""
    assert request_condition('path.x == "1"') is request_condition('path.x == "1"')
    assert request_condition.cache_parameters()["maxsize"] == CONDITIONS_KEPT


@pytest.mark.parametrize("claims", ["agent.claims", "subject.claims"])
def test_claims_are_named_one_by_one(claims: str) -> None:
    """For the token carries those that some condition names, and no others."""
    text = f'{claims}.shift == "a" && has({claims}["acme.example/teams"]) && x.{claims}.y == 1'
    assert claims_named(claims, text) == {"shift", "acme.example/teams"}
    assert claims_named("agent.claims" if claims == "subject.claims" else "subject.claims", text) == frozenset()
    condition = request_condition(f'{claims}.shift == "a"')
    assert (condition.reads, condition.lasting) == ({claims}, True)
    for whole in (
        f"size({claims}) > 0",
        f'"x" in {claims}',
        f'{claims}.all(name, name == "x")',
        f"{claims}[agent.id] == 1",
        f'{claims}.shift == "a" || size({claims}) > 0',
        f"has(({claims}.shift))",
        f'({claims.partition(".")[0]}).claims.shift == "a"',
        f'{claims}.`shift` == "a"',
    ):
        with pytest.raises(ExpressionError, match=f"name each claim that is read, as in {claims}.department"):
            request_condition(whole)


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ('has(agent.claims.x) && agent.claims.x == "1"', 'agent.had["x"] && agent.there["x"] == "1"'),
        ('!has( subject . claims . x ) || path.x == "has"', '!subject.had["x"] || path.x == "has"'),
        ("has(subject.claims.x.y)", 'has(subject.there["x"].y)'),
        ("subject.claims['a.b'].exists(c, c == path.x)", "subject.there['a.b'].exists(c, c == path.x)"),
        ('path.x == "subject.claims.x" // subject.claims.x', 'path.x == "subject.claims.x" // subject.claims.x'),
    ],
)
def test_each_claim_is_asked_for_apart(text: str, apart: str) -> None:
    """So that one of which nothing is known is an error wherever the expression comes to it, `has` or not."""
    assert claims_apart(text) == apart
    request_condition(text.partition(" //")[0])


def test_nobody_writes_what_stands_for_claims() -> None:
    """The names that are put in are no names of an operator."""
    for text in ('agent.had["x"]', 'subject.there["x"] == "1"'):
        with pytest.raises(ExpressionError, match="undeclared reference"):
            request_condition(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('request.query.scope == ["a"]', {"scope"}),
        ('request . query["a-b"] == ["a"] && has(request.query.scope)', {"a-b", "scope"}),
        ('"a-b" in request.query && path.query == "1"', {"a-b"}),
        ('path.x == "1" && ("scope" in request.query || "a" in request.query.query)', {"scope", "query"}),
        ('"a" in request.query["scope"] // request.query', {"scope"}),
        ('request.query.scope.exists(each, each == "request.query")', {"scope"}),
        ("has(request.query.`sort-by`) && request.query.`a.b` == ['a']", {"sort-by", "a.b"}),
        ('"caf\\u00e9\\x41\\101" in request.query && \'a"\' in request.query', {"caf\u00e9AA", 'a"'}),
    ],
)
def test_the_names_that_are_read_in_a_query_are_known(text: str, names: set[str]) -> None:
    """Wherever each is written as it is."""
    assert pairs_read("request.query", text) == PairsRead(frozenset(names), others=False)
    request_condition(text.partition(" //")[0])


@pytest.mark.parametrize(
    "text",
    [
        "size(request.query) == 0 && path.scope == ''",
        '"sc" + "ope" in request.query || path.scope == ""',
        'request.query.exists(name, name == "scope")',
        'request.query[path.x] == ["a"] && request.query.scope == ["a"]',
        "request.query[r'scope'] == ['a']",
        "(request.query).scope == ['a']",
        "(request).query.scope == ['a']",
        ".request.query.scope == ['a']",
        "request.`query`.scope == ['a']",
        "path.scope == 'a'",
    ],
)
def test_what_else_is_read_in_a_query_may_be_anything(text: str) -> None:
    """Whatever is written in the condition could be a name then."""
    names, others = pairs_read("request.query", text)
    assert others
    assert "scope" in names


class Facts:
    """A request of which only the query or the form is known."""

    captures: Mapping[str, str] = MappingProxyType({})
    params: Mapping[str, str] = MappingProxyType({})

    def __init__(self, pairs: str) -> None:
        self._pairs = read_pairs(pairs)

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        return dict.fromkeys(names, self._pairs)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("!has(request.query.`sort-by`)", "Sort-By=x"),
        ("!has(request.query.`sort-by`) && size(request.query) < 5", "Sort-By=x"),
        ('!("caf\\u00e9" in request.query)', "CAF%C3%89=x"),
        ('request.query.filter(name, name == "caf\\351") == []', "CAF%C3%89=x"),
        ("!('a\"' in request.query)", "A%22=1"),
    ],
)
def test_however_a_name_is_written_another_spelling_of_it_is_seen(text: str, pairs: str) -> None:
    """With backticks, escapes, and quotation marks that belong to it."""
    with pytest.raises(Refusal, match="request_malformed"):
        request_condition(text).holds(Facts(pairs))


@pytest.mark.parametrize("pairs", ["scope=a&Scope=b", "Scope=b", "scope[]=b", "scope=a&[scope]=b", "scope=a&[scope=b"])
@pytest.mark.parametrize(
    "text",
    [
        'request.query.scope == ["a"]',
        'has(request.query.scope) && "b" in request.query.scope',
        '"scope" in request.query',
        'request.query.exists(name, name == "scope")',
        'has(request.form.scope) && "b" in request.form.scope',
    ],
)
def test_a_name_that_is_read_stands_there_in_no_other_spelling(text: str, pairs: str) -> None:
    """Beside the name or instead of it: the upstream could go by that."""
    with pytest.raises(Refusal, match="request_malformed"):
        request_condition(text).holds(Facts(pairs))


def test_names_that_are_not_read_may_be_alike() -> None:
    """Unless nobody can tell which are read."""
    pairs = "scope=a&filter[a]=1&filter[b]=2"
    assert request_condition('request.query.scope == ["a"]').holds(Facts(pairs))
    assert request_condition('"scope" in request.query && !has(request.query.limit)').holds(Facts(pairs))
    with pytest.raises(Refusal, match="request_malformed"):
        request_condition("size(request.query) == 3").holds(Facts(pairs))
    assert request_condition("size(request.query) == 2").holds(Facts("Size=a&filter[a]=1"))
