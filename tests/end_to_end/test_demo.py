"""`doorward demo` as a newcomer meets it: it plays through, leaves what can be gone on with, and leaves nothing running."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.installation import wait_for

DEMO = [sys.executable, "-m", "gateway", "demo"]
ESCAPE = re.compile("\x1b\\[[0-9]*m")


@pytest.fixture(autouse=True)
def nothing_keeps_running(tmp_path: Path) -> Iterator[None]:
    """After every test no program is left in the folder of the test."""
    yield
    deadline = time.monotonic() + 5
    while (left := running_in(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def running_in(folder: Path) -> list[int]:
    """The programs that run in the folder or below it, by the kernel's own list."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.readlink().is_relative_to(folder):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def play(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Debugging would have the event loop complain of a machine that is slow.
    environment = {**os.environ, "DOORWARD_AUTHORITY": "http://127.0.0.1:1", "PYTHONASYNCIODEBUG": ""}
    return subprocess.run(
        [*DEMO, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_it_plays_the_whole_scene_in_plain_lines(tmp_path: Path) -> None:
    """On a machine with nothing prepared every step is as it should be; no token, no secret and no escape is printed."""
    began = time.monotonic()
    done = play(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 30
    assert done.stderr == ""
    for seen in ("401 key_missing", "401 token_missing", "403 intent_mismatch", "401 token_revoked", "exit 0", "intact: "):
        assert f"seen      {seen}" in done.stdout
    for line in ("Cookie         session=the-agents-own             -", "deny intent_mismatch"):
        assert line in done.stdout
    scene, _, _ = done.stdout.partition("To go on by hand")
    assert max(map(len, scene.splitlines())) <= 100
    secret = (tmp_path / "doorward-demo/billing.key").read_text().strip()
    for canary in ("\x1b", "dwt_", secret):
        assert canary not in done.stdout
    for file in (tmp_path / "doorward-demo").rglob("*"):
        if file.is_file() and file.name != "billing.key":
            assert secret.encode() not in file.read_bytes(), file


def test_the_commands_at_its_end_work_when_copied(tmp_path: Path) -> None:
    """What it prints starts the scene anew; a second demo in the same folder waits for that to end, then replaces it."""
    told = json.loads(play(tmp_path, "--json").stdout)
    assert told["well"]
    assert [step["step"] for step in told["steps"]] == list(range(1, 13))
    first, second = ("\n".join(commands) for commands in told["next"])
    gateway = int(re.search(r"http://127\.0\.0\.1:(\d+)", second)[1])
    serving = subprocess.Popen(
        ["bash", "-c", first], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(gateway, serving)
        by_hand = subprocess.run(["bash", "-ec", second], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        again = play(tmp_path)
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        serving.wait(30)
    assert by_hand.returncode == 0, by_hand.stderr
    assert '"X-Api-Key": "(this API\'s key, 32 characters)"' in by_hand.stdout
    assert by_hand.stdout.count("allow") == 2
    assert again.returncode == 1
    assert again.stderr == "doorward: a Doorward runs in doorward-demo; stop it first, or name another folder with --out\n"
    assert play(tmp_path).returncode == 0


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    """Only what bears the mark of a demo is replaced."""
    (tmp_path / "doorward-demo").mkdir()
    (tmp_path / "doorward-demo/mine").write_text("precious")
    done = play(tmp_path)
    assert done.returncode == 1
    assert "was not made by the demo" in done.stderr
    assert (tmp_path / "doorward-demo/mine").read_text() == "precious"
    (tmp_path / "link").symlink_to(tmp_path / "doorward-demo")
    assert play(tmp_path, "--out", "link").returncode == 1
    assert play(tmp_path, "--out", "doorward-demo/mine").returncode == 1


BROKEN = """
import os, sys
if sys.orig_argv[-1] == "serve":
    os.write(2, b"broken on purpose\\n")
    os._exit(3)
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_the_first_step_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    """A Doorward that ends at its start is told as the step it is, with its own last words."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["--json"] if as_json else []
    done = play(tmp_path, *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    if as_json:
        told = json.loads(done.stdout)
        assert (told["well"], len(told["steps"]), told["steps"][-1]["title"]) == (False, 3, "Doorward in front of it")
        assert told["steps"][-1]["seen"] == "it ended with status 3: broken on purpose"
    else:
        assert "\nstep 3 was not as it should be: Doorward in front of it;" in done.stdout
        assert "NOT AS IT SHOULD BE" in done.stdout
        assert "To go on by hand" not in done.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_an_interrupted_demo_takes_its_programs_with_it(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """Ctrl-C, a kill and a closed terminal end the upstream and Doorward too."""
    demo = subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in demo.stdout:
            if "it listens on" in line:
                break
        assert len(running_in(tmp_path / "doorward-demo")) >= 2
        demo.send_signal(number)
        _, complaint = demo.communicate(timeout=30)
    finally:
        demo.kill()
    assert demo.returncode == status
    assert "Traceback" not in complaint


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(tmp_path: Path, no_color: str) -> None:
    """A terminal gets colours unless NO_COLOR is set; the visible text is at most 100 columns wide either way."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color, "PYTHONASYNCIODEBUG": ""}
    demo = subprocess.Popen(DEMO, cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # a pseudo-terminal whose other end is closed is told so on Linux
    finally:
        os.close(ours)
    assert demo.wait(60) == 0
    text = written.decode()
    assert ("\x1b[" in text) == (no_color == "")
    scene, _, _ = ESCAPE.sub("", text).partition("To go on by hand")
    assert max(map(len, scene.splitlines())) <= 100


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    """`doorward demo | head` stops quietly, and so do its programs."""
    environment = {**os.environ, "PYTHONASYNCIODEBUG": ""}
    demo = subprocess.Popen(DEMO, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    demo.stdout.readline()
    demo.stdout.close()
    try:
        assert demo.wait(60) == 141
    finally:
        demo.kill()
    with demo.stderr:
        assert demo.stderr.read() == ""
