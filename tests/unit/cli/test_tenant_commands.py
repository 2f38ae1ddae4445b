"""Commands that are about one of several tenants, and those that are about all."""

from pathlib import Path

import pytest
from fakes.several import ACME, GLOBEX, write

from gateway.cli.main import main
from gateway.clock import Clock


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The configuration of two tenants."""
    write(tmp_path, 9, Clock())
    return str(tmp_path / "doorward.yaml")


def test_check_counts_what_all_tenants_have(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for the whole installation."""
    assert main(["check", file]) == 0
    assert "2 tenants, 2 upstreams, 2 credentials, 2 intents, 2 grants, 0 denials" in capsys.readouterr().out


def test_check_warns_of_secrets_that_are_not_there(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the place where it is named; where a configuration is checked its secrets may well be absent."""
    assert main(["check", file]) == 0
    assert "warning" not in capsys.readouterr().err
    (tmp_path / "acme-secret").unlink()
    (tmp_path / "globex-secret").write_text("\n")
    assert main(["check", file]) == 0
    out, err = capsys.readouterr()
    told = "the secret file {}/{}-secret cannot be read or is empty; requests that need it are refused"
    assert [line for line in err.splitlines() if "warning" in line] == [
        f"{tmp_path}/{name}.yaml:5:5: warning: credential key: {told.format(tmp_path, name)}" for name in ("acme", "globex")
    ]
    assert out.startswith(f"{file}: ok (")
    assert main(["check", "--json", file]) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("tenant", "agent", "target", "status", "told"),
    [
        ("acme", ACME, "/acme/api/items", 0, "ALLOWED"),
        ("globex", GLOBEX, "/globex/api/items", 0, "ALLOWED"),
        ("acme", ACME, "/globex/api/items", 1, "upstream_unknown"),
        ("globex", ACME, "/globex/api/items", 1, "intent_not_granted"),
    ],
)
def test_explain_decides_as_one_tenant(
    file: str, capsys: pytest.CaptureFixture[str], tenant: str, agent: str, target: str, status: int, told: str
) -> None:
    """Its agents and its upstreams are all there is."""
    words = ["explain", "-c", file, "GET", target, "--agent", agent, "--intent", "items.read", "--tenant", tenant]
    assert main(words) == status
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("named", [[], ["--tenant", "initech"]])
def test_explain_wants_to_know_the_tenant(file: str, capsys: pytest.CaptureFixture[str], named: list[str]) -> None:
    """And says which there are."""
    assert main(["explain", "-c", file, "GET", "/acme/api/items", *named]) != 0
    assert "name one with --tenant: acme, globex" in capsys.readouterr().err


def test_scenarios_are_tried_on_one_tenant(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tenant is named for all of them."""
    scenarios = tmp_path / "scenarios.yaml"
    scenarios.write_text(
        "scenarios:\n"
        f"  - {{name: own, request: GET /globex/api/items, agent: '{GLOBEX}', declare: items.read, expect: allow}}\n"
    )
    assert main(["test", "-c", file, str(scenarios), "--tenant", "globex"]) == 0, capsys.readouterr()
    assert main(["test", "-c", file, str(scenarios), "--tenant", "acme"]) == 1


def test_plan_tells_what_a_change_of_one_tenant_decides_otherwise(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the tenant in front of the entry, and the agents of that tenant alone."""
    changed = tmp_path / "changed"
    changed.mkdir()
    write(changed, 9, Clock())
    (changed / "jwks.json").write_text((tmp_path / "jwks.json").read_text())
    globex = changed / "globex.yaml"
    globex.write_text(globex.read_text().replace("globex.test/*", "globex.test/other"))
    assert main(["plan", str(changed / "doorward.yaml"), "-c", file, "--offline"]) == 0
    told = capsys.readouterr().out
    assert "~ globex: grants.all read.agents" in told
    assert "spiffe://globex.test/* items.read" in told
    assert "acme" not in told
