"""Loading whole configurations: what an operator reads after each mistake, to the letter."""

import json
import time
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings.load import Loaded, load, load_text
from gateway.settings.yaml_file import parse_yaml, read_text

ROOT = Path(__file__).parents[3]

BASE = """\
version: 1
tenant: acme
gateway:
  listen: [127.0.0.1:8080]
identities:
  host:
    unix: {users: {alice: spiffe://acme.example/host/alice}}
upstreams:
  billing:
    url: https://api.billing.example/v1
    credential: billing-key
    networks: [public]
credentials:
  billing-key:
    secret: {env: BILLING_KEY}
    inject: {header: X-Api-Key}
    exception:
      owner: payments
      reason: vendor has no tokens
      expires: 2027-01-31
      review_every: 30d
      reviewed: 2026-11-20
intents:
  invoices.read:
    upstream: billing
    operations: [GET /v1/invoices]
grants:
  - name: alice reads
    agents: [spiffe://acme.example/host/alice]
    intents: [invoices.read]
"""

ENVIRONMENT = {"CANARY": "canary-value", "NUMBER": "7"}


def flaws(text: str) -> list[str]:
    """The flaws of a configuration, without the file's name."""
    try:
        load_text(text, Path("f"), ENVIRONMENT)
    except ConfigurationError as error:
        return [str(flaw)[2:] for flaw in error.flaws]
    return []


def test_the_base_is_right() -> None:
    """Every other test changes one thing of it."""
    assert flaws(BASE) == []


MISTAKES, _ = parse_yaml(
    read_text(Path(__file__).with_name("mistakes.yaml")), str(Path(__file__).with_name("mistakes.yaml")), {}
)


@pytest.mark.parametrize("mistake", MISTAKES.value, ids=lambda mistake: mistake["told"].partition(" ")[0])
def test_one_mistake_is_one_line(mistake: dict[str, str]) -> None:
    """It says exactly where and what to do, and shows no value that could be a secret."""
    assert mistake["right"] in BASE
    told = flaws(BASE.replace(mistake["right"], mistake["wrong"], 1))
    assert told == [mistake["told"]]
    assert "canary" not in str(told)
    assert "hunter2" not in str(told)


def test_all_mistakes_are_told_at_once_in_order() -> None:
    """YAML, types and references in one list, sorted by place."""
    text = BASE.replace("version: 1", "version: ${NONE}").replace("[public]", "[pubic]").replace("[invoices.read]", "[x.read]")
    assert [flaw.split(" ")[0] for flaw in flaws(text)] == ["1:10:", "12:16:", "30:15:"]


def test_a_value_from_the_environment_works_where_numbers_stand() -> None:
    """What is put in stays text, and a number's field reads it."""
    text = BASE.replace("networks: [public]", "limits: {concurrent: '${NUMBER}'}")
    assert load_text(text, Path("f"), ENVIRONMENT).document.upstreams["billing"].limits.concurrent == 7


@pytest.mark.parametrize("value", ["", "12", "[]", "text", "~"])
def test_a_document_is_a_mapping(value: str) -> None:
    """Anything else is a flaw, not a crash."""
    assert len(flaws(f"--- {value}\n")) == 1


def test_what_is_loaded_knows_places_and_paths() -> None:
    """Later checks point into the file by path, and relative files belong to its folder."""
    loaded = load_text(BASE, Path("/etc/doorward/doorward.yaml"), {})
    assert isinstance(loaded, Loaded)
    assert str(loaded.flaw(("upstreams", "billing", "tls", "ca"), "no")) == "/etc/doorward/doorward.yaml:9:3: no"
    assert loaded.resolve("var/x") == Path("/etc/doorward/var/x")
    assert loaded.resolve("/x") == Path("/x")


def test_defaults_of_the_gateway() -> None:
    """The address for agents is the first that it listens on, and an upstream's prefix is its name."""
    document = load_text(BASE, Path("f"), {}).document
    assert document.gateway.url == "http://127.0.0.1:8080"
    upstream = document.upstreams["billing"]
    assert upstream.prefix("billing") == "/billing"
    assert upstream.address().origin == ("https", "api.billing.example", 443)
    assert upstream.address().path == "/v1"


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_load(file: Path) -> None:
    """What operators begin with is right, with nothing set in the environment, and names its schema."""
    assert load(file, {}).document.version == 1
    first = file.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert json.loads((file.parent / first.partition("=")[2]).read_text())["$schema"]


def large(upstreams: int, grants: int, intent: str) -> str:
    """A configuration of many entries."""
    head, _, _ = BASE.partition("intents:\n")
    head = head.replace(
        "  billing:\n",
        "".join(f"  up{n}:\n    url: https://api{n}.example\n    credential: billing-key\n" for n in range(upstreams))
        + "  billing:\n",
    )
    intents = "".join(f"  i{n}.read:\n    upstream: up{n}\n    operations: [GET /v1/x]\n" for n in range(upstreams))
    entries = "".join(
        f"  - name: grant {n}\n    agents: [spiffe://acme.example/host/alice]\n    intents: [i{n % upstreams}.{intent}]\n"
        for n in range(grants))  # fmt: skip
    return f"{head}intents:\n{intents}grants:\n{entries}"


@pytest.mark.parametrize(("intent", "wrong"), [("read", 0), ("raed", 5000)])
def test_large_files_load_in_seconds(intent: str, wrong: int) -> None:
    """5,000 grants and 1,000 upstreams, right or all wrong; the bound is generous for slow machines."""
    text = large(1000, 5000, intent)
    began = time.perf_counter()
    assert len(flaws(text)) == wrong
    assert time.perf_counter() - began < 20
