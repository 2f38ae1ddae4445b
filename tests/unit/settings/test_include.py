"""Included files: what may stand in them, whose flaws they are, and where their paths begin."""

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import include
from gateway.settings import load as loading
from gateway.settings.compile import compile_configuration
from gateway.settings.load import Loaded, load

MAIN = """version: 1
tenant: acme
{extra}
include: [teams/*.yaml]
identities:
  host: {{unix: {{users: {{root: spiffe://acme.example/agent}}}}, same_user: true}}
grants:
  - {{name: first, agents: [spiffe://acme.example/agent], intents: ["*"]}}
audit: {{sinks: {{local: {{file: {{path: audit.jsonl}}, required: true}}}}}}
"""
TEAM = """upstreams:
  {name}: {{url: "http://127.0.0.1:1", credential: {name}-key, networks: [127.0.0.0/8]}}
credentials:
  {name}-key:
    secret: {{file: secrets/{name}}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: 2026-12-31, review_every: 30d, reviewed: 2026-11-20}}
intents:
  {name}.read: {{upstream: {name}, operations: [GET /]}}
grants:
  - {{name: grant of {name}, agents: [spiffe://acme.example/agent], intents: [{name}.read]}}
denials:
  - {{name: denial of {name}, intents: ["{name}.*"]}}
"""


def write(folder: Path, extra: str = "", **teams: str) -> Path:
    (folder / "teams").mkdir(exist_ok=True)
    for name, text in teams.items():
        (folder / "teams" / f"{name}.yaml").write_text(text)
    file = folder / "doorward.yaml"
    file.write_text(MAIN.format(extra=extra))
    return file


def flaws(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(file, {})
    return [str(flaw).replace(str(file.parent) + "/", "") for flaw in raised.value.flaws]


def loaded(file: Path) -> Loaded:
    return load(file, {})


def test_entries_follow_those_of_the_main_file_in_the_order_of_names(tmp_path: Path) -> None:
    """The first grant in file order decides, so the order of files must be one that everybody can see."""
    file = write(tmp_path, b=TEAM.format(name="b"), a=TEAM.format(name="a"))
    document = loaded(file).document
    assert list(document.upstreams) == ["a", "b"]
    assert [grant.name for grant in document.grants] == ["first", "grant of a", "grant of b"]
    assert [denial.name for denial in document.denials] == ["denial of a", "denial of b"]
    assert list(loaded(file).texts) == [file, tmp_path / "teams" / "a.yaml", tmp_path / "teams" / "b.yaml"]


def test_relative_paths_begin_at_the_file_that_holds_them(tmp_path: Path) -> None:
    """A team's secrets lie beside the team's file."""
    found = loaded(write(tmp_path, a=TEAM.format(name="a")))
    assert found.resolver("credentials", "a-key")("secrets/a") == tmp_path / "teams" / "secrets" / "a"
    assert found.resolve("audit.jsonl") == tmp_path / "audit.jsonl"
    now = 1795478400.0  # 2026-11-24
    compile_configuration(found, now)


def test_two_teams_may_not_read_one_secret_under_two_names(tmp_path: Path) -> None:
    """Files are compared as files, however they are written."""
    same = TEAM.format(name="b").replace("secrets/b", "../teams/../doorward.db").replace("b-key:", "b-key:", 1)
    file = write(tmp_path, "authority: {store: {sqlite: doorward.db}}", a=TEAM.format(name="a"), b=same)
    with pytest.raises(ConfigurationError, match="would be one file"):
        compile_configuration(loaded(file), 1795478400.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gateway: {}\n", "teams/a.yaml:1:1: an included file holds only upstreams, credentials, intents, grants and denials"),
        ("include: [b.yaml]\n", "teams/a.yaml:1:1: an included file holds only"),
        ("- a list\n", "teams/a.yaml:1:1: expected a mapping"),
        ("grants: {a: {}}\n", "teams/a.yaml:1:1: this does not go together with doorward.yaml, line 7"),
        ("denials: [\n", "teams/a.yaml:2:1:"),
        ("upstreams:\n  a: {url: 5, credential: none}\n", "teams/a.yaml:2:12: expected text"),
        ("upstreams:\n  a: {url: http://a.test, credential: none}\n", "the section 'credentials' is missing"),
        ("grants:\n  - {name: x, agents: [spiffe://b.example/x], intents: ['*']}\n", "teams/a.yaml:2:24: no identity mints"),
        ("upstreams:\n  a: {url: http://a.test, credental: none}\n", "teams/a.yaml:2:27: unknown key 'credental'"),
        ("upstreams:\n  a: {url: http://a.test}\n", "teams/a.yaml:2:3: the key 'credential' is missing"),
    ],
)
def test_a_flaw_names_the_file_that_it_is_in(tmp_path: Path, text: str, expected: str) -> None:
    """File, line and column are those of the included file."""
    assert any(flaw.startswith(expected) or expected in flaw for flaw in flaws(write(tmp_path, a=text)))


def test_a_name_stands_in_one_file_only(tmp_path: Path) -> None:
    """Neither file wins; both places are told."""
    told = flaws(write(tmp_path, a=TEAM.format(name="a"), b=TEAM.format(name="a")))
    assert "teams/b.yaml:2:3: this name stands in teams/a.yaml, line 2, already" in told


def test_a_pattern_that_matches_nothing_is_a_flaw(tmp_path: Path) -> None:
    """A folder that is not mounted must not look like one without denials."""
    assert any("doorward.yaml:4:11: no file matches this" in flaw for flaw in flaws(write(tmp_path)))
    (tmp_path / "doorward.yaml").write_text(MAIN.format(extra="").replace("teams/*.yaml", "teams/a.yaml"))
    assert any("there is no such file" in flaw for flaw in flaws(tmp_path / "doorward.yaml"))
    (tmp_path / "doorward.yaml").write_text(MAIN.format(extra="").replace("teams/*.yaml", "'**/*.yaml'"))
    assert any("write ** out" in flaw for flaw in flaws(tmp_path / "doorward.yaml"))


def test_a_file_is_taken_once_and_never_the_main_one(tmp_path: Path) -> None:
    """Patterns may overlap, and hidden files, such as those of mounted volumes, are not matched."""
    file = write(tmp_path, a=TEAM.format(name="a"))
    (tmp_path / "teams" / ".hidden.yaml").write_text("nonsense: [")
    file.write_text(MAIN.format(extra="").replace("[teams/*.yaml]", "[teams/a.yaml, teams/*.yaml, ./*.yaml]"))
    assert list(loaded(file).document.upstreams) == ["a"]


def test_how_much_may_be_included_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, bytes and values, each with a sentence."""
    file = write(tmp_path, a=TEAM.format(name="a"), b=TEAM.format(name="b"))
    with monkeypatch.context() as bound:
        bound.setattr(include, "INCLUDED_FILES", 1)
        assert any("includes at most 1 files" in flaw for flaw in flaws(file))
    with monkeypatch.context() as bound:
        bound.setattr(include, "NODES", 20)
        assert any("hold more than 20 values" in flaw for flaw in flaws(file))
    with monkeypatch.context() as bound:
        bound.setattr(loading, "TOGETHER_BYTES", 500)
        assert any(flaw.startswith("teams/a.yaml:1:1: with this file the configuration is larger") for flaw in flaws(file))
