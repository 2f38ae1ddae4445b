"""The README and the pages for newcomers, taken at their word: commands are run, configurations loaded, links followed."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.installation import free_port

from gateway.cli.main import COMMANDS
from gateway.settings.compile import compile_configuration
from gateway.settings.load import load_text
from gateway.settings.starter import Start, configuration

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/tutorials/*.md")), *sorted(ROOT.glob("docs/how-to/*.md"))]
USER = pwd.getpwuid(os.getuid()).pw_name
WRITTEN = date(2026, 11, 20)
"""The day on which the examples in the pages are true."""

BLOCK = re.compile(r"(?:^<!-- (?P<mark>[a-z ]+) -->\n)?^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")


@dataclass(frozen=True)
class Block:
    """One piece of code of a page. `run` goes to a shell; the sections of `replace` take the place of the configuration's."""

    mark: str | None
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(found["mark"], found["language"], found["text"]) for found in BLOCK.finditer(page.read_text())]


def replaced(configuration: str, fragment: str) -> str:
    """The configuration with the top-level sections of the fragment, under the name of the user who runs the test."""
    fragment = fragment.replace("host/alice", f"host/{USER}")
    if fragment.startswith("version:"):
        return fragment
    return "".join({**sections(configuration), **sections(fragment)}.values())


def sections(text: str) -> dict[str, str]:
    return {part.partition(":")[0]: part for part in re.split(r"^(?=[a-z]+:)", text, flags=re.MULTILINE)}


class Shell:
    """One bash that is typed into, as the reader's terminal; ports that may be in use here are exchanged for free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {number: str(free_port()) for number in ("8080", "8081", "9100")}
        self.said = ""
        (folder / ".venv").symlink_to(sys.prefix)
        environment = {name: value for name, value in os.environ.items() if name != "DOORWARD_AUTHORITY"}
        self.bash = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ported(self, text: str) -> str:
        for number, port in self.ports.items():
            text = text.replace(f":{number}", f":{port}").replace(f" {number} ", f" {port} ")
        return text

    def type(self, text: str) -> None:
        """Type a block and wait until it is done and until what it has started listens."""
        text = self.ported(text)
        exchange = "; ".join(f"s/127.0.0.1:{number}/127.0.0.1:{self.ports[number]}/" for number in ("8080", "8081"))
        text = re.sub(r"^(doorward init .*)$", rf"\1\nsed -i '{exchange}' doorward.yaml", text, flags=re.MULTILINE)
        if "demo_upstream" in text:
            text += self._until_it_listens("9100")
        if "doorward serve &" in text:
            text += self._until_it_listens("8080")
        self.bash.stdin.write(f"{text}\necho '<done>'\n")
        self.bash.stdin.flush()
        for line in self.bash.stdout:
            self.said += line
            if line.endswith("<done>\n"):
                return
        raise AssertionError(f"the shell gave up at:\n{text}\nafter:\n{self.said}")

    def close(self) -> None:
        """End everything that was started."""
        with suppress(ProcessLookupError):
            os.killpg(self.bash.pid, signal.SIGKILL)
        self.bash.wait()
        self.bash.stdin.close()
        self.bash.stdout.close()

    def _until_it_listens(self, number: str) -> str:
        return f"until (exec 3<>/dev/tcp/127.0.0.1/{self.ports[number]}) 2>/dev/null; do sleep 0.05; kill -0 $!; done\n"

    def follow(self, page: Path, folder: str) -> None:
        """Do what the page says, in its order."""
        for block in blocks(page):
            if block.mark == "run":
                self.type(block.text)
            elif block.mark == "replace":
                file = self.folder / folder / "doorward.yaml"
                file.write_text(replaced(file.read_text(), self.ported(block.text)))

    @property
    def problems(self) -> list[str]:
        """The codes of the refusals that were answered, in order."""
        return re.findall(r'"code": ?"([a-z_]+)"', self.said)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for program in ("bash", "curl"):
        if shutil.which(program) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"install {program}")
            pytest.skip(f"install {program}")
    opened = Shell(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def test_the_readme_does_what_it_says_by_hand(shell: Shell) -> None:
    """Its commands run word for word, and so do those that verify the log that they leave."""
    shell.follow(ROOT / "README.md", "var/first")
    assert shell.problems == ["token_missing", "intent_mismatch"]
    assert '"X-Api-Key": "(this API\'s key, 32 characters)"' in shell.said
    assert "intact: " in shell.said
    key = (shell.folder / "var/first/billing.key").read_text().strip()
    assert key not in shell.said
    shell.follow(ROOT / "docs/how-to/verify-the-audit-log.md", "var/first")
    assert "by the checkpoint that was kept elsewhere" in shell.said


def test_the_tutorial_goes_as_it_says(shell: Shell) -> None:
    """From nothing to narrower intents and a denial, and to the end of the task."""
    shell.follow(ROOT / "docs/tutorials/first-request.md", "var/tutorial")
    assert '"error": "key_missing"' in shell.said
    assert "no token\n" in shell.said
    assert shell.problems == ["intent_mismatch", "intent_mismatch", "denied", "token_revoked"]
    assert "intact: " in shell.said


def test_an_agent_that_knows_nothing_is_run(shell: Shell) -> None:
    """The guide's agent gets an answer by its two variables, and its task has ended with it."""
    shell.follow(ROOT / "docs/how-to/run-an-agent.md", "var/run")
    assert '"X-Api-Key": "(this API\'s key, 32 characters)"' in shell.said
    assert re.search(r"^[0-9a-f]{32}  completed ", shell.said, re.MULTILINE)


def test_the_guide_to_the_client_does_what_it_says(shell: Shell) -> None:
    """Its programs run with the libraries that they name; one request is refused, and both tasks are completed."""
    shell.follow(ROOT / "docs/how-to/use-the-client.md", "var/client")
    assert re.findall(r"^(200|intent_mismatch)", shell.said, re.MULTILINE) == ["200", "200", "intent_mismatch", "200"]
    assert len(re.findall(r"^[0-9a-f]{32}  completed ", shell.said, re.MULTILINE)) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_configuration_in_a_page_can_be_used(page: Path, tmp_path: Path) -> None:
    """Fragments take the place of sections of what `doorward init` writes, one after the other."""
    text = configuration(
        Start(
            name="billing", url="http://127.0.0.1:9100", secret="{file: billing.key}", inject="{header: X-Api-Key}",
            networks=("127.0.0.1/32",), network_note="", user=USER, agents=(f"spiffe://default.local/host/{USER}",),
            today=WRITTEN, expires=date(2027, 1, 31),
        ),
        "default",
    )  # fmt: skip
    now = datetime(WRITTEN.year, WRITTEN.month, WRITTEN.day, 12, tzinfo=timezone.utc).timestamp()
    certificates = Certificates(tmp_path, "agents")
    for name in ("gateway", "authority", "sidecar"):
        certificates.replace(name, certificates.issue(f"{name}.acme.example", now=datetime.fromtimestamp(now, timezone.utc)))
    (tmp_path / "mesh.pem").write_bytes((tmp_path / "agents.pem").read_bytes())
    for block in (block for block in blocks(page) if block.language == "yaml"):
        if block.mark == "identities" and page.name == "prove-an-identity.md":
            continue  # files and addresses of foreign platforms: tried in unit/identity/test_platforms.py
        whole = block.text.startswith("version:")
        assert whole or block.mark == "replace", f"put <!-- replace --> in front of sections of a configuration:\n{block.text}"
        text = replaced(text, block.text)
        compile_configuration(load_text(text, tmp_path / "doorward.yaml", {}), now)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the repository."""
    lost = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_only_commands_that_exist_are_named(page: Path) -> None:
    """Whatever is written as a command of Doorward or as a target of make is one."""
    text = page.read_text()
    assert set(re.findall(r"\bdoorward ([a-z]+)\b", "\n".join(code(text)))) <= set(COMMANDS)
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", "\n".join(code(text)))) <= set(targets)


def code(text: str) -> list[str]:
    """What stands as code in a page: blocks of shell commands, and words between backticks."""
    shell_blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [*shell_blocks, *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)]


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: a title, an unreleased section first, and known kinds of change only."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "[Unreleased]"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


def test_the_demo_says_in_json_what_the_readme_promises(tmp_path: Path) -> None:
    """The scene of the README's quick start is the scene of the demo."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    seen = [step["seen"] for step in json.loads(done.stdout)["steps"]]
    promised = ["401 key_missing", "401 token_missing", "403 intent_mismatch", "401 token_revoked"]
    assert [line for line in seen if line in promised] == promised
