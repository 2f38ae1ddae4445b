"""`doorward init`: what it writes is accepted, and what it adds changes nothing else."""

import json
import os
import pwd
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.http.networks import is_permitted
from gateway.settings.load import load

USER = pwd.getpwuid(os.getuid()).pw_name
BASIC = ["--upstream", "http://127.0.0.1:9000/v1", "--name", "billing", "--header", "X-Api-Key", "--secret-env", "BILLING_KEY"]
MORE = ["--upstream", "https://127.0.0.2", "--name", "crm", "--bearer", "--secret-file", "crm.key", "--add"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BILLING_KEY", raising=False)

    def command(*words: str) -> tuple[int, str, str]:
        status = main(words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def test_what_it_writes_passes_check(run: Run) -> None:
    """The configuration holds one of everything, for the user who ran the command."""
    status, out, _ = run("init", *BASIC)
    assert status == 0
    assert out.splitlines()[0] == "wrote doorward.yaml and doorward.schema.json"
    assert "first set BILLING_KEY" in out
    token = '-H "Authorization: Bearer $(doorward token --intent billing.read)"'
    call = f'  curl {token} -H "Agent-Intent: billing.read" http://127.0.0.1:8080/billing/'
    assert out.splitlines()[-2:] == ["  doorward serve", call]
    status, out, err = run("check")
    assert (status, out) == (0, "doorward.yaml: ok (1 upstream, 1 credential, 2 intents, 1 grant, 0 denials)\n")
    (warning,) = err.splitlines()
    assert "warning: credential billing-key: the environment variable BILLING_KEY is not set" in warning
    document = load(Path("doorward.yaml")).document
    assert list(document.admin.operators) == [USER]
    assert document.identities["host"].same_user
    assert document.upstreams["billing"].networks == ("127.0.0.1/32",)
    exception = document.credentials["billing-key"].exception
    assert exception is not None
    assert (exception.expires - exception.reviewed).days == 90
    assert document.intents["billing.read"].templates == ["GET /{path...}", "HEAD /{path...}", "OPTIONS /{path...}"]
    assert list(document.grants[0].agents) == [f"spiffe://default.local/host/{USER}"]
    text = Path("doorward.yaml").read_text()
    assert "    # declare: implied" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_schema_stands_beside_it(run: Run) -> None:
    """The first line names a file that exists; one that is there already is kept."""
    Path("doorward.schema.json").write_text("{}")
    assert run("init", *BASIC)[1].startswith("wrote doorward.yaml\n")
    assert Path("doorward.schema.json").read_text() == "{}"
    first = Path("doorward.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=doorward.schema.json"


def test_it_never_overwrites(run: Run) -> None:
    """A file that is there stays as it is."""
    Path("doorward.yaml").write_text("mine")
    status, _, err = run("init", *BASIC)
    assert status == 1
    assert err == "doorward: doorward.yaml exists and is never overwritten; add to it with --add, or name another with --out\n"
    assert Path("doorward.yaml").read_text() == "mine"


def test_adding_keeps_every_byte(run: Run) -> None:
    """Without the new lines the file is what it was, and `check` accepts the whole."""
    run("init", *BASIC)
    file = Path("doorward.yaml")
    before = ("\ufeff" + file.read_text().replace("tenant: default ", "tenant:   default\t").replace("\n", "\r\n")).encode()
    file.write_bytes(before)
    file.chmod(0o640)
    status, out, _ = run("init", *MORE)
    assert status == 0
    assert out.startswith("added 'crm' to doorward.yaml\nfirst put the API's key into crm.key")
    after = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o640
    remaining = iter(after.splitlines(keepends=True))
    assert all(line in remaining for line in before.splitlines(keepends=True))
    assert run("check")[1] == "doorward.yaml: ok (2 upstreams, 2 credentials, 4 intents, 2 grants, 0 denials)\n"
    assert sorted(Path().iterdir()) == [Path("doorward.schema.json"), file]


def test_adding_the_same_name_is_refused(run: Run) -> None:
    """Nothing is written, and the sentence says what to choose."""
    run("init", *BASIC)
    before = Path("doorward.yaml").read_bytes()
    status, _, err = run("init", *BASIC, "--add")
    assert (status, err) == (1, "doorward: doorward.yaml already has 'billing' under 'upstreams'; choose another --name\n")
    assert Path("doorward.yaml").read_bytes() == before


def test_adding_to_what_is_wrong_is_refused(run: Run) -> None:
    """The flaws of the file come first."""
    run("init", *BASIC)
    file = Path("doorward.yaml")
    file.write_text(file.read_text().replace("version: 1", "version: 2"))
    status, _, err = run("init", *MORE)
    assert (status, err) == (1, "doorward.yaml:7:10: expected 1\n")


def test_adding_to_another_layout_is_refused(run: Run) -> None:
    """A section on one line has no place for an entry of its own; nothing is written."""
    run("init", *BASIC)
    file = Path("doorward.yaml")
    text = file.read_text()
    begin, end = text.index("upstreams:"), text.index("credentials:  ")
    flow = text[:begin] + "upstreams: {billing: {url: https://x.example, credential: billing-key}}\n" + text[end:]
    file.write_text(flow)
    status, _, err = run("init", *MORE)
    assert status == 1
    assert "the section 'upstreams' on line" in err
    assert file.read_text() == flow


def test_adding_needs_a_file(run: Run) -> None:
    """The sentence says how to begin."""
    assert run("init", *MORE)[2] == (
        "doorward: there is no file doorward.yaml; `doorward init` writes a configuration, -c names another\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--upstream", "api.example", "--upstream: expected a URL that begins with http:// or https://"),
        (
            "--upstream",
            "https://u:canary@api.example",
            "--upstream: a URL here holds no user and password; put the secret under",
        ),
        ("--name", "Billing", "--name has at most 58 characters"),
        ("--name", "null", "YAML would not read this --name as the name of an upstream"),
        ("--name", "1e3", "YAML would not read this --name as the name of an upstream"),
        ("--name", "x-foo", "YAML would not read this --name as the name of an upstream"),
        ("--secret-env", "sk_live_canary", "--secret-env takes the name of an environment variable, such as BILLING_KEY"),
        ("--header", "X Api", "nothing was written: "),
        ("--out", "no/such/folder.yaml", "cannot write no/such/folder.yaml: No such file or directory"),
    ],
)
def test_mistakes_are_sentences(run: Run, option: str, value: str, sentence: str) -> None:
    """One line, nothing written, and no secret shown that was given by mistake."""
    status, out, err = run("init", *BASIC, option, value)
    assert (status, out) == (1, "")
    assert err.startswith(f"doorward: {sentence}")
    assert "canary" not in err
    assert list(Path().iterdir()) == []


def test_secret_files_are_named_from_the_configuration(run: Run, tmp_path: Path) -> None:
    """A relative path on the command line becomes one that is relative to the file."""
    (tmp_path / "etc").mkdir()
    options = [*BASIC[:-2], "--secret-file", "keys/billing $1", "--out", "etc/d.yaml", "--json"]
    status, out, _ = run("init", *options)
    assert status == 0
    assert json.loads(out)["written"] == ["etc/d.yaml", "etc/doorward.schema.json"]
    assert json.loads(out)["next"][0] == "doorward serve -c etc/d.yaml"
    loaded = load(Path("etc/d.yaml"))
    assert loaded.document.credentials["billing-key"].secret.config.path == "../keys/billing $1"


def test_names_that_do_not_resolve(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says so, and admits public addresses only."""

    def fails(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", fails)
    assert run("init", *BASIC)[0] == 0
    assert "networks: [public]                 # the name did not resolve" in Path("doorward.yaml").read_text()


@pytest.mark.parametrize(
    ("host", "network"), [("168.63.129.16", "168.63.129.16/32"), ("[::1]", "::1/128"), ("1.1.1.1", "public")]
)
def test_what_is_not_public_is_named(run: Run, host: str, network: str) -> None:
    """By what the gateway itself holds for public, so that what is written can be reached."""
    assert run("init", "--upstream", f"http://{host}:9100", *BASIC[2:])[0] == 0
    networks = load(Path("doorward.yaml")).document.upstreams["billing"].networks
    assert networks == (network,)
    assert is_permitted(ip_address(host.strip("[]")), networks)


def test_adding_to_another_users_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the file does not know grants to the agents of its first grant."""
    run("init", *BASIC)
    monkeypatch.setattr("gateway.cli.init._user", lambda: "somebody")
    assert run("init", *MORE)[0] == 0
    grants = load(Path("doorward.yaml")).document.grants
    assert (grants[1].name, list(grants[1].agents)) == ("somebody uses crm", list(grants[0].agents))


def test_an_addition_that_would_not_be_valid(run: Run) -> None:
    """It says why, and nothing is written."""
    run("init", *BASIC)
    before = Path("doorward.yaml").read_bytes()
    status, _, err = run("init", *MORE[:4], "--header", "X Api", *MORE[5:])
    assert (status, err[:60]) == (1, "doorward: nothing was written: with the addition, a header n")
    assert Path("doorward.yaml").read_bytes() == before


def test_a_server_of_mcp_is_written_as_one(run: Run) -> None:
    """One intent for all that it offers, which clients need not declare, and a call that such a server answers."""
    status, out, _ = run("init", *BASIC, "--mcp")
    assert status == 0
    assert "doorward token --intent billing.use" in out
    assert out.rstrip().endswith("http://127.0.0.1:8080/billing")
    assert run("check")[0] == 0
    document = load(Path("doorward.yaml")).document
    assert document.upstreams["billing"].protocol == "mcp"
    assert document.intents["billing.use"].templates == ["tool {any}", "prompt {any}", "resource {any...}"]
    assert document.grants[0].declare == "implied"
    assert max(map(len, Path("doorward.yaml").read_text().splitlines())) <= 130


def test_a_server_of_mcp_is_added_to_a_file(run: Run) -> None:
    """Beside a plain API, of which nothing changes."""
    run("init", *BASIC)
    before = Path("doorward.yaml").read_text()
    assert run("init", *MORE, "--mcp")[0] == 0
    after = Path("doorward.yaml").read_text()
    assert load(Path("doorward.yaml")).document.upstreams["crm"].protocol == "mcp"
    assert set(before.splitlines()) <= set(after.splitlines())
