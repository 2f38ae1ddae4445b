"""`doorward run` with real programs and an unmodified SDK, and how it ends; knows no internals of the command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.installation import SECRET, Installation, wait_for

UPSTREAM = """
import http.server, json, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer " + sys.argv[2]:
            return self.say(401, "application/json", b"{}")
        if not body.get("stream"):
            message = {"role": "assistant", "content": "hello"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            return self.say(200, "application/json", json.dumps(whole).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in ("one", "two", "three"):
            choice = {"index": 0, "finish_reason": None, "delta": {"content": word}}
            event = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.chunk(b"data: " + json.dumps(event).encode() + b"\\n\\n")
            time.sleep(0.4)
        self.chunk(b"data: [DONE]\\n\\n")
        self.chunk(b"")
    def chunk(self, piece):
        self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
        self.wfile.flush()
    def say(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

AGENT = """
import json, os, sys, time
import openai

client = openai.OpenAI(max_retries=0)  # base URL and key come from the environment, as everywhere
began, calls, streams, gaps = time.monotonic(), 0, 0, []
ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
while time.monotonic() - began < float(sys.argv[1]):
    assert client.chat.completions.create(**ask).choices[0].message.content == "hello"
    calls += 1
    came = []
    for event in client.chat.completions.create(stream=True, **ask):
        came.append((event.choices[0].delta.content, time.monotonic()))
    assert [word for word, _ in came] == ["one", "two", "three"]
    gaps.append(came[2][1] - came[0][1])
    streams += 1
seen = {name: value for name, value in os.environ.items() if name.startswith(("OPENAI", "DOORWARD"))}
print(json.dumps({"calls": calls, "streams": streams, "gap": min(gaps), "seen": seen, "all": dict(os.environ)}))
"""

LIFE = 2
"""Seconds that a token lives here."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An OpenAI-like API behind a Doorward whose tokens live for two seconds and whose tasks fall silent after two."""
    installation = Installation(tmp_path_factory.mktemp("run"))
    installation.initialise()
    installation.upstream = subprocess.Popen([sys.executable, "-c", UPSTREAM, str(installation.upstream_port), SECRET])
    wait_for(installation.upstream_port, installation.upstream)
    file = installation.folder / "doorward.yaml"
    text = file.read_text().replace("{header: X-Api-Key}", "{bearer: {}}")
    text = text.replace("\nadmin:", f"  tokens: {{ttl: {LIFE}s, heartbeat: 2s}}\n\nadmin:", 1)
    env = "env: {base_url: OPENAI_BASE_URL, key: OPENAI_API_KEY, path: /v1}"
    text = text.replace("    credential: billing-key\n", f"    credential: billing-key\n    {env}\n", 1)
    file.write_text(text)
    installation.serve()
    yield installation
    installation.stop()


def started(served: Installation, *words: str, intents: tuple[str, ...] = ("billing.write",)) -> subprocess.Popen:
    options = [word for intent in intents for word in ("--intent", intent)]
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", *options, "--", *words],
        cwd=served.folder,
        env={name: value for name, value in served.environment.items() if name != "BILLING_KEY"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tasks(served: Installation) -> list[dict]:
    return json.loads(served.doorward("task", "list", "--json").stdout)["tasks"]


def ended(served: Installation) -> dict:
    """The latest task, once it has ended."""
    for _ in range(200):
        task = tasks(served)[0]
        if task["state"] != "open":
            return task
        time.sleep(0.05)
    raise AssertionError("the task never ended")


def python(text: str) -> tuple[str, str, str]:
    return sys.executable, "-c", text


def test_an_unmodified_sdk_works_for_longer_than_three_lives_of_a_token(served: Installation) -> None:
    """The openai client, with nothing but its two environment variables, asks and streams until the command ends by itself.

    Events of a stream come one by one. Neither the upstream's key nor a task token is in the environment of the command.
    """
    running = started(served, *python(AGENT), str(LIFE * 3 + 2), intents=("billing.write", "billing.read"))
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1, "with two intents on one upstream nothing can be declared for the SDK"
    assert "Error code: 403" in err
    running = started(served, *python(AGENT), str(LIFE * 3 + 2))
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    told = json.loads(out)
    assert told["streams"] >= 3
    assert told["gap"] > 0.5
    assert "dwt_" not in out
    assert SECRET not in out
    assert sorted(told["seen"].keys() - {"DOORWARD_CORPORA", "DOORWARD_TESTED"}) == [
        "DOORWARD_KEY",
        "DOORWARD_TASK",
        "DOORWARD_URL",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ]
    latest = tasks(served)[0]
    assert (latest["state"], latest["task"]) == ("completed", told["seen"]["DOORWARD_TASK"])
    records = served.records()
    renewed = [record for record in records if record["type"] == "token" and record["event"] == "renewed"]
    assert len({record["token"] for record in renewed if record["task"] == latest["task"]}) >= 3
    asked = [record for record in records if record["type"] == "request" and record.get("task") == latest["task"]]
    assert len(asked) == told["calls"] + told["streams"]
    assert {record["decision"] for record in asked} == {"allow"}


@pytest.mark.parametrize(
    ("text", "status", "state"),
    [("", 0, "completed"), ("raise SystemExit(7)", 7, "failed"), ("import os; os.kill(os.getpid(), 9)", 137, "failed")],
    ids=["exit 0", "exit 7", "SIGKILL of the command"],
)
def test_the_task_ends_with_the_command(served: Installation, text: str, status: int, state: str) -> None:
    """Completed on exit 0 and failed on anything else; the exit status is passed on."""
    running = started(served, *python(text))
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (status, "")
    assert tasks(served)[0]["state"] == state


WAITS = "import os, sys, time; print(os.environ['DOORWARD_TASK'], os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_task(served: Installation, number: signal.Signals) -> None:
    """What `doorward run` is told, its command is told; then the task has failed."""
    running = started(served, *python(WAITS))
    assert running.stdout is not None
    task, child = running.stdout.readline().split()
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert not alive(int(child))
    latest = tasks(served)[0]
    assert (latest["task"], latest["state"]) == (task, "failed")


def test_a_command_that_does_not_heed_its_signal_is_killed(served: Installation) -> None:
    """After ten seconds."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS
    running = started(served, *python(deaf))
    assert running.stdout is not None
    _, child = running.stdout.readline().split()
    began = time.monotonic()
    running.terminate()
    running.communicate(timeout=30)
    assert running.returncode == 137
    assert time.monotonic() - began > 9
    assert not alive(int(child))
    assert ended(served)["state"] == "failed"


def test_when_doorward_run_is_killed_silence_ends_the_task(served: Installation) -> None:
    """After SIGKILL nobody can tell; the heartbeats stop, the listener is gone, and what is left has no access."""
    running = started(served, *python(WAITS + "; os._exit(0)"))
    assert running.stdout is not None
    task, child = running.stdout.readline().split()
    assert tasks(served)[0]["state"] == "open"
    running.kill()
    running.wait()
    try:
        over = ended(served)
    finally:
        os.kill(int(child), signal.SIGKILL)
        running.communicate()
    assert (over["task"], over["state"], over["cause"]) == (task, "revoked", "heartbeat_lost")


def test_heartbeats_keep_a_quiet_command_alive(served: Installation) -> None:
    """A command that asks nothing for several times the allowed silence is no dead one."""
    running = started(served, *python("import time; time.sleep(5)"))
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, "")
    assert tasks(served)[0]["state"] == "completed"


def test_a_task_that_was_revoked_did_not_end_well(served: Installation) -> None:
    """The command goes on, without access; that its end could not be told is said in one sentence."""
    running = started(served, *python("import sys; print(1, flush=True); sys.stdin.readline()"))
    assert running.stdout is not None
    running.stdout.readline()
    served.doorward("task", "revoke", tasks(served)[0]["task"])
    _, err = running.communicate("go on\n", timeout=30)
    assert running.returncode == 1
    assert "revoked" in err
    assert err.count("\n") == 1


PLACES = """
import base64, json, os, urllib.error, urllib.request
url, key = os.environ["OPENAI_BASE_URL"] + "/chat/completions", os.environ["OPENAI_API_KEY"]
basic = base64.b64encode(f"user:{key}".encode()).decode()
body = b"{}"
def status(headers, query=""):
    try:
        return urllib.request.urlopen(urllib.request.Request(url + query, body, headers)).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps([
    status({"Authorization": f"Bearer {key}"}), status({"X-Api-Key": key}), status({"Api-Key": key}),
    status({"X-Goog-Api-Key": key}), status({"Authorization": f"Basic {basic}"}), status({}, f"?a=b&key={key}"),
    status({}), status({"X-Api-Key": key + "x"}), status({"X-Api-Key": key, "Api-Key": key}), status({"X-Api-Key": "dwt_x"}),
]))
"""


def test_the_key_is_taken_wherever_sdks_put_it(served: Installation) -> None:
    """In each place of an API key, in one at a time; without the key, or with another one, nothing passes."""
    running = started(served, *python(PLACES))
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert json.loads(out) == [200] * 6 + [401] * 4


def test_no_configuration_is_needed_beside_an_authority_elsewhere(served: Installation, tmp_path: Path) -> None:
    """With two environment variables; the command finds address and key in DOORWARD_URL and DOORWARD_KEY."""
    text = """
import os, urllib.request
url = os.environ["DOORWARD_URL"] + "/billing/v1/chat/completions"
print(urllib.request.urlopen(urllib.request.Request(url, b"{}", {"X-Api-Key": os.environ["DOORWARD_KEY"]})).status)
"""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    named = {
        "DOORWARD_AUTHORITY": f"unix:{served.folder}/var/authority.sock",
        "DOORWARD_GATEWAY": f"http://127.0.0.1:{served.port}",
    }
    words = [sys.executable, "-m", "gateway", "run", "--intent", "billing.write", "--", *python(text)]
    done = subprocess.run(
        words, cwd=elsewhere, env={**served.environment, **named}, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "--", "true"), "say what it is for and what to run"),
        (("run", "--intent", "billing.read"), "say what it is for and what to run"),
        (("run", "--intent", "billing.burn", "--", "true"), "grants no intent billing.burn"),
        (("run", "--intent", "billing.read", "--", "./no-such-program"), "cannot run ./no-such-program: no such file"),
        (("run", "--intent", "billing.read", "--param", "x", "--", "true"), "NAME=VALUE"),
        (("run", "-c", "none.yaml", "--intent", "billing.read", "--", "true"), "none.yaml"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(served: Installation, words: tuple[str, ...], sentence: str) -> None:
    """With status 1, and a task that was opened for it has failed."""
    done = served.doorward(*words, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not any(task["state"] == "open" for task in tasks(served))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
