"""What is right in itself and still cannot be used: each flaw has its place, and what will soon stop working is said."""

import os
import pwd
from datetime import datetime, timezone
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import load_text

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp()
DAY = 86_400
USER = pwd.getpwuid(os.getuid()).pw_name
BASE = f"""version: 1
tenant: acme
gateway: {{listen: [127.0.0.1:8080]}}
admin: {{operators: [{USER}]}}
identities:
  host:
    unix: {{users: {{{USER}: spiffe://acme.example/host/me}}}}
    same_user: true
upstreams:
  billing:
    url: https://api.billing.example/v2/
    credential: key
    token_in: [x-api-key]
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: payments, reason: legacy, expires: 2027-01-31, review_every: 30d, reviewed: 2026-11-20}}
intents:
  invoices.read: {{upstream: billing, operations: [GET /v1/invoices]}}
grants:
  - {{name: reads, agents: [spiffe://acme.example/host/me], intents: [invoices.read]}}
"""


def compiled(text: str = BASE, folder: Path = Path("folder"), now: float = NOW) -> Compiled:
    return compile_configuration(load_text(text, folder / "doorward.yaml", {}), now)


def flaws(text: str, folder: Path = Path("folder")) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        compiled(text, folder)
    return [f"{flaw.line}:{flaw.column}: {flaw.message}" for flaw in caught.value.flaws]


def test_an_upstream_is_made_ready() -> None:
    """Origin, paths, places of tokens, and every header that is emptied before a request goes out."""
    upstream = compiled().upstreams["billing"]
    assert (upstream.origin, upstream.prefix, upstream.base_path) == (("https", "api.billing.example", 443), "/billing", "/v2")
    assert upstream.token_places == ("x-api-key",)
    assert {"authorization", "dpop", "agent-intent", "traceparent", "x-api-key"} <= upstream.emptied


def test_the_digest_is_of_values_and_not_of_layout() -> None:
    """A comment changes nothing; a value does."""
    before = compiled().digest
    assert compiled("# a comment\n" + BASE).digest == before
    assert compiled(BASE.replace("legacy", "modern")).digest != before


@pytest.mark.parametrize(
    ("right", "wrong", "place", "sentence"),
    [
        (BASE[BASE.index("    exception:") : BASE.index("intents:")], "", "15:3", "is static, so it needs an exception"),
        ("expires: 2027-01-31", "expires: 2027-12-31", "18:59", "more than 180 days ahead"),
        ("reviewed: 2026-11-20", "reviewed: 2026-11-25", "18:100", "this day is in the future"),
        ("    same_user: true\n", "", "6:3", "is Doorward's own or an operator"),
        (f"operators: [{USER}]", "operators: [no-such-user]", "4:21", "this machine has no user no-such-user"),
        ("{header: X-Api-Key}", "{header: Agent_Intent}", "17:5", "it holds no secret"),
        ("token_in: [x-api-key]", "token_in: [agent-intent]", "13:16", "another meaning"),
    ],
)
def test_what_cannot_be_used_here_and_now_is_a_flaw(right: str, wrong: str, place: str, sentence: str) -> None:
    """Each with its line and column, and what to do."""
    assert right in BASE
    (told,) = flaws(BASE.replace(right, wrong, 1))
    assert told.startswith(f"{place}: ")
    assert sentence in told


@pytest.mark.parametrize(
    "clash",
    [
        "authority: {store: {sqlite: var/audit.jsonl}}",
        "authority: {store: {sqlite: var/x/../audit.key}}",
        "authority: {store: {sqlite: var/audit.jsonl.journal}}",
        "authority: {store: {sqlite: secret}}",
        "audit: {checkpoint: {key: {file: secret}}}",
        "admin: {socket: 'unix:var/doorward.db'}",
    ],
)
def test_no_two_files_are_one(clash: str, tmp_path: Path) -> None:
    """A store in the audit log's file would spoil both."""
    base = "\n".join(line for line in BASE.splitlines() if not line.startswith(clash.partition(":")[0] + ":"))
    assert any("would be one file" in flaw for flaw in flaws(f"{base}\n{clash}\n", tmp_path))


@pytest.mark.parametrize(
    ("days", "said"),
    [(0, None), (28, "its review is overdue"), (60, "its exception has ended, so its requests are refused"), (90, "has ended")],
)
def test_what_ends_soon_is_said(days: int, said: str | None) -> None:
    """Before a credential stops working its owner is named, and after that too."""
    warnings = compiled(now=NOW + days * DAY).warnings
    assert (said is None and warnings == ()) or (said is not None and said in warnings[0] and "payments" in warnings[0])


def test_an_end_within_two_weeks_is_counted_in_days() -> None:
    """The last days of an exception are announced one by one."""
    text = BASE.replace("review_every: 30d", "review_every: 90d")
    (warning,) = compiled(text, now=datetime(2027, 1, 25, 12, tzinfo=timezone.utc).timestamp()).warnings
    assert "its exception ends within 7 days" in warning


@pytest.mark.parametrize("operation", ["GET /%61dmin", "GET /a;b", "GET /%2e%2e/x", "GET /a//b", "GET /%ff", "GET /a%2fb"])
def test_an_operation_that_no_request_can_be_is_a_flaw(operation: str) -> None:
    """In a denial it would forbid nothing, and nobody would notice."""
    (told,) = flaws(BASE.replace("[GET /v1/invoices]", f'["{operation}"]'))
    assert "no request with this path is let in" in told or "neither a literal segment" in told


@pytest.mark.parametrize("section", ["grants", "denials"])
def test_a_condition_names_captures_that_its_operations_have(section: str) -> None:
    """One that none of them has could only fail; one that another intent of the entry has is right."""
    text = BASE.replace(
        "operations: [GET /v1/invoices]}", 'operations: [GET /v1/invoices, "GET /v1/customers/{customer}/invoices"]}'
    )
    entry = "\n  - {name: more, agents: [spiffe://acme.example/host/me], intents: ['*'], when: 'path.%s == \"1\"'}\n"
    start = text.rstrip() + ("\ndenials:" if section == "denials" else "")
    compiled(start + entry % "customer")
    (flaw,) = flaws(start + entry % "custmer")
    assert flaw.endswith("unknown capture 'custmer'; did you mean 'customer'? (line 1, column 6 of the expression)")
    assert flaw.startswith("24:" if section == "denials" else "23:")


@pytest.mark.parametrize(
    ("speaks_mcp", "operation", "told"),
    [
        (False, "tool add_issue", "20:51: 'billing' does not speak MCP; say `protocol: mcp` there, or name a path"),
        (True, "GET /v1", "20:51: 'billing' speaks MCP, so name a tool, a prompt or a resource: `tool add_issue`"),
        (
            True, "{operation: tool x, body: {a: 1}}",
            "20:51: an operation of MCP has no query and no body; compare `tool.arguments` in a `when`",
        ),
    ],
)  # fmt: skip
def test_operations_are_of_the_protocol_that_the_upstream_speaks(*, speaks_mcp: bool, operation: str, told: str) -> None:
    """A tool on a plain API, or a path on a server of MCP, could never be asked for."""
    text = BASE.replace("GET /v1/invoices", operation)
    if speaks_mcp:
        text = text.replace("    token_in: [x-api-key]", "    protocol: mcp")
    assert flaws(text) == [told]


def test_a_server_of_mcp_is_made_ready() -> None:
    """What names sessions and what would encode answers is withheld; headers that repeat the body are read and go on."""
    text = BASE.replace("GET /v1/invoices", "tool look").replace(
        "    token_in: [x-api-key]", "    protocol: mcp\n    scrub: none"
    )
    made = compiled(text)
    upstream = made.upstreams["billing"]
    assert {"mcp-session-id", "last-event-id", "accept-encoding", "range"} <= upstream.emptied
    assert upstream.emptied.isdisjoint(("mcp-method", "mcp-name", "mcp-protocol-version"))
    assert all(made.admission.vocabulary.is_relied_on(name) for name in ("mcp-method", "mcp-name", "mcp-session-id"))
    assert not compiled().admission.vocabulary.is_relied_on("mcp-method")
