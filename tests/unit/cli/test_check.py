"""`doorward check` and the frame around every command: one line for one mistake, and never a traceback."""

import io
import json
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import main as frame
from gateway.cli.main import COMMANDS, main


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A file with two mistakes."""
    file = tmp_path / "wrong.yaml"
    file.write_text("version: 2\ntenant: acme\nupstrems: {}\nidentities: {}\ncredentials: {}\nintents: {}\ngrants: []\n")
    return file


def test_every_flaw_is_one_line(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with file, line and column, sorted."""
    assert main(["check", str(wrong)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.removeprefix(str(wrong)).split(" ")[0] for line in err.splitlines()] == [
        ":1:10:", ":3:1:", ":4:1:", ":5:1:", ":6:1:", ":7:9:",
    ]  # fmt: skip
    assert main(["check", "-c", str(wrong)]) == 1


def test_flaws_as_json(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of file, line, column and message."""
    assert main(["check", "--json", str(wrong)]) == 1
    flaws = json.loads(capsys.readouterr().out)
    assert flaws[0] == {"file": str(wrong), "line": 1, "column": 10, "message": "expected 1"}
    assert flaws[1]["message"] == "unknown key 'upstrems'; did you mean 'upstreams'?"


def test_a_missing_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, or as one JSON object."""
    file = tmp_path / "none.yaml"
    assert main(["check", str(file)]) == 1
    assert (
        capsys.readouterr().err
        == f"doorward: there is no file {file}; `doorward init` writes a configuration, -c names another\n"
    )
    assert main(["check", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"].startswith("there is no file")


def test_two_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It does not guess which one was meant."""
    assert main(["check", "a.yaml", "-c", "b.yaml"]) == 1
    assert capsys.readouterr().err == "doorward: two files are named; check one at a time\n"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Help lists every command; no command at all is a misuse."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"doorward {__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert main([]) == 2


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """Or all of them."""
    assert main(["chekc"]) == 2
    assert capsys.readouterr().err == "doorward: unknown command 'chekc'; did you mean 'check'?\n"
    assert main(["zzz"]) == 2
    assert "known: init, " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "audit", "audit show", "audit replay", "task list"])
def test_wrong_options_exit_with_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As usual for commands, and with the usage of the very command, also of one within a command."""
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--no-such"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"usage: doorward {command} [-h]")


class Stub:
    """A command that does what a test says."""

    SUMMARY = "for tests"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def configure(self, parser: object) -> None:
        pass

    def run(self, _arguments: object) -> int:
        raise self._error


def test_a_missing_requirement_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The light installation has no server; a mistake of our own is not hidden behind that sentence."""

    def lacking(_name: str) -> None:
        raise ModuleNotFoundError(name="yaml")

    monkeypatch.setattr(frame.importlib, "import_module", lacking)
    assert main(["check"]) == 1
    assert capsys.readouterr().err == "doorward: this command needs yaml; install doorward[server]\n"
    assert main(["--help"]) == 0

    def ours(_name: str) -> None:
        raise ImportError(name="gateway.settings.load")

    monkeypatch.setattr(frame.importlib, "import_module", ours)
    with pytest.raises(ImportError):
        main(["check"])


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word."""
    monkeypatch.setattr(frame.importlib, "import_module", lambda _name: Stub(KeyboardInterrupt()))
    assert main(["check"]) == 130


def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`doorward schema | head -1` ends quietly."""
    monkeypatch.setattr(frame.importlib, "import_module", lambda _name: Stub(BrokenPipeError()))
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.FileIO(out.fileno(), "w", closefd=False)))
        assert main(["check"]) == 141
