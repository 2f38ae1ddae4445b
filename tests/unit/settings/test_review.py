"""What `doorward check` says of overlaps and of entries that nothing reaches."""

from pathlib import Path

import pytest

from gateway.intent.rules import Template
from gateway.settings.load import load_text
from gateway.settings.review import _overlap, findings

BASE = """version: 1
tenant: t
identities: {{cluster: {{oidc: {{issuer: "https://i.example", audience: d, agent: claims.sub}}, mints: spiffe://t.test/*}}}}
upstreams: {{api: {{url: "https://api.example", credential: key}}}}
credentials: {{key: {{secret: {{env: KEY}}, inject: {{header: X-Api-Key}}}}}}
intents:
{intents}
grants:
{grants}
{denials}
"""
READ = "  a.read: {upstream: api, operations: [GET /x]}"
GRANT = "  - {name: first, agents: [spiffe://t.test/a], intents: [a.read]}"


def told(intents: str = READ, grants: str = GRANT, denials: str = "") -> list[str]:
    text = BASE.format(intents=intents, grants=grants, denials=denials)
    return [f"{flaw.line}: {flaw.message}" for flaw in findings(load_text(text, Path("d.yaml"), {}))]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("GET /x", "GET /x", True),
        ("GET /x", "GET /y", False),
        ("GET /x", "GET /{a}", True),
        ("GET /x/{a}", "GET /{b}/y", True),
        ("GET /x", "GET /x/", False),
        ("GET /{a}/", "GET /x/{b}", False),
        ("GET /x", "GET /x/{r...}", False),
        ("GET /x/y/z", "GET /x/{r...}", True),
        ("GET /{r...}", "GET /a/{q...}", True),
        ("GET /{a:int}", "GET /x", False),
        ("GET /{a:int}", "GET /7", True),
    ],
)
def test_templates_overlap_if_some_path_fits_both(one: str, other: str, expected: bool) -> None:
    """In either order."""
    assert _overlap(Template.parse(one), Template.parse(other)) is expected
    assert _overlap(Template.parse(other), Template.parse(one)) is expected


def test_nothing_is_said_of_what_needs_no_second_look() -> None:
    """Different methods, paths and upstreams, and grants that add something."""
    assert told() == []
    assert told(intents=READ + '\n  a.write: {upstream: api, operations: [POST /x, "GET /x/{id}"]}',
                grants=GRANT + "\n  - {name: second, agents: [spiffe://t.test/*], intents: [a.*]}") == []  # fmt: skip


def test_intents_that_cover_the_same_are_told() -> None:
    """Unless they demand different values of one name."""
    wide = '\n  b.read: {upstream: api, operations: ["GET /{r...}"]}'
    grants = "  - {name: first, agents: [spiffe://t.test/a], intents: ['*']}"
    assert told(intents=READ + wide, grants=grants) == [
        "8: 'GET /x' of a.read covers some of the same requests, so a denial of one is one of both"
    ]
    demanding = (
        "  a.read: {upstream: api, operations: [{operation: GET /x, query: {s: a}}]}\n"
        "  b.read: {upstream: api, operations: [{operation: GET /x, query: {s: [b, c]}}]}"
    )
    assert told(intents=demanding, grants=grants) == []
    assert told(intents="  a.read: {upstream: api, operations: [GET /x, GET /x]}") == [
        "7: this operation stands twice in its intent"
    ]


def test_entries_that_nothing_reaches_are_told() -> None:
    """A grant after one that decides all of it, a grant of which all is forbidden, and an intent that nobody can hold."""
    second = GRANT + "\n  - {name: second, agents: [spiffe://t.test/a], intents: ['*.read'], when: path.x == '1'}"
    with_x = '  a.read: {upstream: api, operations: ["GET /{x}"]}'
    assert told(intents=with_x, grants=second) == [
        "10: this grant is never asked: 'first' before it decides all of its requests"
    ]
    assert told(denials="denials: [{name: never, intents: ['*']}]") == [
        "9: everything that this grant allows is forbidden, by 'never'"
    ]
    assert told(intents=READ + "\n  b.read: {upstream: api, operations: [GET /y]}") == ["8: no grant lets anybody hold b.read"]
