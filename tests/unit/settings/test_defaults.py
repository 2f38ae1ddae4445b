"""What `defaults` puts into entries, what an entry says itself, and where flaws are found."""

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import defaults as module
from gateway.settings.load import Loaded, load_text

TEXT = """version: 1
tenant: acme
defaults:
{defaults}
identities:
  host: {{unix: {{users: {{root: spiffe://acme.example/agent}}}}, same_user: true}}
upstreams:
  one: {{url: "http://127.0.0.1:1", credential: key}}
  two: {{url: "http://127.0.0.1:2", credential: key, networks: [127.0.0.2/32]}}
credentials:
  key: {{secret: {{file: secret}}, inject: {{header: X-Api-Key}}, exception: {exception}}}
intents:
  one.read: {{upstream: one, operations: [GET /]}}
grants:
  - {{name: first, agents: [spiffe://acme.example/agent], intents: ["*"]}}
  - {{name: second, agents: [spiffe://acme.example/agent], intents: ["*"], proof: optional}}
audit: {{sinks: {{local: {{file: {{path: audit.jsonl}}, required: true}}}}}}
"""
DEFAULTS = """  upstream: {networks: [127.0.0.0/8], pass: [set-cookie]}
  grant: {proof: required, limits: {requests: 7}}
  exception: {owner: a team, reason: an old API, review_every: 30d, expires: 2030-01-01}
"""
REVIEWED = "{reviewed: 2026-11-20}"


def loaded(defaults: str = DEFAULTS, exception: str = REVIEWED) -> Loaded:
    return load_text(TEXT.format(defaults=defaults, exception=exception), Path("doorward.yaml"), {})


def flaws(defaults: str, exception: str = REVIEWED) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        loaded(defaults, exception)
    return [str(flaw) for flaw in raised.value.flaws]


def test_what_an_entry_leaves_out_its_default_says() -> None:
    """An entry's own key stands as a whole, and nothing of the default is mixed into it."""
    document = loaded().document
    assert document.upstreams["one"].networks == ("127.0.0.0/8",)
    assert document.upstreams["two"].networks == ("127.0.0.2/32",)
    assert document.upstreams["two"].passed == ("set-cookie",)
    assert [grant.proof for grant in document.grants] == ["required", "optional"]
    exception = document.credentials["key"].exception
    assert exception is not None
    assert (exception.owner, str(exception.reviewed)) == ("a team", "2026-11-20")


def test_it_is_the_same_as_a_file_that_says_everything_itself() -> None:
    """What is compiled comes from the entries alone, so writing a default out changes nothing."""
    written = loaded(
        defaults="  {}", exception="{owner: a team, reason: old, review_every: 30d, expires: 2030-01-01, " + REVIEWED[1:]
    )
    same = loaded("  exception: {owner: a team, reason: old, review_every: 30d, expires: 2030-01-01}")
    assert same.document.model_copy(update={"defaults": written.document.defaults}) == written.document


def test_no_default_permits_a_static_secret() -> None:
    """A credential says itself that it has an exception; an empty one is the least, and its review is its own."""
    document = loaded(exception="~").document
    assert document.credentials["key"].exception is None
    assert flaws(DEFAULTS, "{}") == ["doorward.yaml:14:62: the key 'reviewed' is missing: the day of the last review"]


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        ("  upstream: {netwroks: [public]}", "unknown key of upstream 'netwroks'; did you mean 'networks'?"),
        ("  grant: {name: all}", "`name` is for each grant to say; take it out of the defaults"),
        ("  upstream: {at: {prefix: /}}", "`at` is for each upstream to say; take it out of the defaults"),
        ("  exception: {reviewed: 2026-11-20}", "`reviewed` is for each exception to say; take it out of the defaults"),
        ("  grants: {}", "unknown key 'grants'; did you mean 'grant'?"),
    ],
)
def test_defaults_of_what_no_entry_has_are_flaws(defaults: str, told: str) -> None:
    """A default that would never be used, or that would say the same of all that are told apart by it."""
    assert any(flaw.endswith(told) for flaw in flaws(defaults))


def test_a_flaw_of_a_default_is_told_once_where_it_stands() -> None:
    """However many entries take it."""
    told = flaws(
        "  grant: {proof: demanded}\n  exception: {owner: a team, reason: old, review_every: 30d, expires: 2030-01-01}"
    )
    assert len(told) == 1
    assert told[0].startswith("doorward.yaml:4:18: ")


def test_how_much_defaults_make_of_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large default in many entries is more than a file may hold."""
    size = loaded().positions.size
    monkeypatch.setattr(module, "NODES", size)
    loaded()
    monkeypatch.setattr(module, "NODES", size - 1)
    assert flaws(DEFAULTS)[0].startswith("doorward.yaml:3:1: with its defaults the configuration holds more than")
