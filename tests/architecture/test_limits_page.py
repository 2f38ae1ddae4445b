"""The page of limits names every bound of the code with its value, and tests that exist; knows no bound by itself."""

import ast
import re
from collections.abc import Iterator

from house_rules import ROOT, numeric_bounds, product_files

from gateway.http.limits import Limits

PAGE = ROOT / "docs" / "reference" / "limits.md"

# Numbers that bound nothing: forms, permissions, statuses, steps of an algorithm.
NO_BOUNDS = frozenset(
    (
        "audit/checkpoint.py _DIGEST_BYTES",
        "audit/checkpoint.py _KEY_BYTES",
        "audit/checkpoint.py _KEY_ID_BYTES",
        "audit/journal.py _MARKS",
        "audit/ledger.py _NOTE_OVERHEAD",
        "audit/record.py _TRACE_DIGITS",
        "audit/segments.py _DIGITS",
        "audit/traffic.py _CLASSES",
        "audit/sinks/stdout.py _STANDARD_OUTPUT",
        "authority/addresses.py _PORT_MAX",
        "authority/feed.py AHEAD",
        "authority/feed.py TURNS",
        "authority/keys.py _COORDINATE_BYTES",
        "authority/keys.py _EXPONENT",
        "authority/remote.py _DRAWN",
        "authority/wire.py VERSION",
        "cli/audit.py _FOUND",
        "cli/main.py _FAILED",
        "cli/main.py _INTERRUPTED",
        "cli/main.py _MISUSED",
        "cli/main.py _PIPE_CLOSED",
        "cli/run.py _BY_SIGNAL",
        "client/calls.py _UNAVAILABLE",
        "client/loopback.py _KEY_BYTES",
        "client/refusals.py _FAILED",
        "client/refusals.py _UNAVAILABLE",
        "client/task.py _BEAT_AT",
        "client/task.py _RENEW_AT",
        "client/task.py _SHORTEST",
        "clock.py _BLOCK_DIGITS",
        "clock.py _IDENTIFIER_DIGITS",
        "endpoints/keys.py _CONFLICT",
        "endpoints/keys.py _UNAVAILABLE",
        "endpoints/sites.py _FAILED",
        "outgoing.py _CHUNK",
        "outgoing.py _OK",
        "endpoints/tasks.py _CREATED",
        "ground.py _DIGEST_DIGITS",
        "http/challenges.py _UNAUTHORIZED",
        "http/framing.py FIRST_FINAL",
        "http/head.py _REQUEST_LINE_PARTS",
        "http/sender.py CALM",
        "http/tls_line.py _RECORD",
        "http/tls_peer.py _DER",
        "http/turns.py _GONE",
        "http/turns.py _WORD",
        "http/unix_socket.py EVERY_USER",
        "http/unix_socket.py FOLDER",
        "http/unix_socket.py OWNER_ONLY",
        "site.py _SITE",
        "identity/asking.py _OK",
        "identity/claims.py _END_OF_TIME",
        "identity/nonces.py _MARK_BYTES",
        "identity/replays.py KEY_BYTES",
        "identity/replays.py _MARK_BYTES",
        "identity/spiffe_bundle.py _LENGTH_BYTES",
        "identity/spiffe_bundle.py _LONG_FORM",
        "identity/spiffe_bundle.py _SEQUENCE",
        "intent/sealing.py KEY_BYTES",
        "metrics/kernel.py _RESIDENT",
        "metrics/kernel.py _STARTED",
        "policy/start.py _MARK_DIGITS",
        "settings/compile.py _DIGEST_DIGITS",
        "settings/sentences.py _PART",
        "settings/starter.py _NOTES_BEGIN",
        "stores/backends/redis.py _PORT",
        "stores/backends/redis.py _VERSION",
        "stores/epochs.py _DIGITS",
        "stores/schema.py _APPLICATION",
        "stores/schema.py _VERSION",
    )
)
# The scene of `doorward demo` bounds its own children and serves nobody.
_DEMO = "cli/demo"


def bounds() -> dict[str, float]:
    """Every numeric constant of the product that is a bound."""
    found: dict[str, float] = {}
    for path, text in product_files().items():
        found |= numeric_bounds(path, ast.parse(text))
    assert found.keys() >= NO_BOUNDS, "an excused constant is gone: excuse it no longer"
    return {name: value for name, value in found.items() if name not in NO_BOUNDS and not name.startswith(_DEMO)}


def rows(page: str) -> dict[str, str]:
    """The value that the page gives for each constant that it names."""
    return dict(re.findall(r"^\| `([a-z_/0-9]+\.py [A-Z_]+)` \| (\S+) ", page, re.MULTILINE))


def disagreements(page: str, code: dict[str, float]) -> Iterator[str]:
    """What stands on one side only, or differs."""
    named = rows(page)
    yield from (f"{name} is not named" for name in code.keys() - named.keys())
    yield from (f"{name} is not in the code" for name in named.keys() - code.keys())
    yield from (f"{name} is {code[name]:g}" for name in code.keys() & named.keys() if float(named[name]) != code[name])


def test_the_page_names_every_bound_with_its_value():
    """A bound that nobody can look up, or that the page states wrongly, fails here."""
    assert sorted(disagreements(PAGE.read_text(), bounds())) == []


def test_the_page_names_every_limit_of_the_listener():
    """What operators set stands there too."""
    page = PAGE.read_text()
    assert [name for name in Limits.model_fields if f"`gateway.limits.{name}`" not in page] == []


def unheld(page: str) -> list[str]:
    """The bounds of which the page names neither a test nor a reason why there is none."""
    cells = (line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `"))
    return [row[0].strip() for row in cells if not re.search(r"`[\w/]+\.py(::test_\w+)?`|none: \w", row[-1])]


def test_every_bound_is_held_by_a_test():
    """Or the page says why it cannot be; that the tests exist is checked with all documents."""
    assert unheld(PAGE.read_text()) == []
    assert unheld("| `a` | 1 | x | |\n| `b` | 1 | x | `u/test_b.py::test_b` |\n| `c` | 1 | x | none: kernel |") == ["`a`"]


def test_a_forgotten_or_changed_bound_is_found():
    """The comparison can fail in each of its three ways."""
    page = "| `http/pool.py GONE` | 3 seconds | x | |\n| `http/pool.py OLD` | 3 seconds | x | |\n"
    assert sorted(disagreements(page, {"http/pool.py OLD": 4.0, "http/pool.py NEW": 1.0})) == [
        "http/pool.py GONE is not in the code",
        "http/pool.py NEW is not named",
        "http/pool.py OLD is 4",
    ]
    assert numeric_bounds(
        "gateway/x.py", ast.parse("A: Final = 64 * 1024\nB = 1 << 4\nC = 'x'\nD = True\n_E: Final = 0.5")
    ) == {
        "x.py A": 65536,
        "x.py B": 16,
        "x.py _E": 0.5,
    }
