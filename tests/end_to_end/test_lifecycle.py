"""Starting, draining, dying and starting again, with a real process."""

import signal
import subprocess
import threading
import time

from fakes.installation import SECRET, Curled, Installation


def in_background(installation: Installation, token: str) -> tuple[threading.Thread, list[Curled]]:
    answers: list[Curled] = []
    thread = threading.Thread(target=lambda: answers.append(installation.call("/billing/slow", token)))
    thread.start()
    time.sleep(0.4)
    return thread, answers


def test_sigterm_finishes_what_is_under_way(installation: Installation) -> None:
    """The request in flight gets its whole answer, the process exits 0, the log is sealed."""
    installation.serve()
    token = installation.token()
    thread, answers = in_background(installation, token)
    assert installation.end(signal.SIGTERM) == 0
    thread.join()
    assert answers[0].status == 200
    records = installation.records()
    assert [record["type"] for record in records[-2:]] == ["stop", "checkpoint"]
    assert records[-3]["ending"] == "complete"
    installation.doorward("audit", "verify")


def test_after_kill_9_nothing_revoked_comes_back_and_the_chain_goes_on(installation: Installation) -> None:
    """Revocations and records survive the death of the process; what was open is closed as unknown."""
    installation.serve()
    revoked = installation.issue("billing.read")
    alive = installation.issue("billing.read")
    assert installation.call("/billing/x", revoked["access_token"]).status == 200
    installation.doorward("task", "revoke", revoked["task"])
    before = installation.call("/billing/before", alive["access_token"])
    assert before.status == 200
    command = ["-H", f"Authorization: Bearer {alive['access_token']}", "-H", "Agent-Intent: billing.read"]
    slow = subprocess.Popen(
        ["curl", "-s", f"http://127.0.0.1:{installation.port}/billing/slow", *command], stdout=subprocess.DEVNULL
    )
    time.sleep(0.4)
    installation.end(signal.SIGKILL)
    slow.wait()
    installation.serve()
    answer = installation.call("/billing/x", revoked["access_token"])
    assert (answer.status, answer.json["code"]) == (401, "token_revoked")
    assert installation.call("/billing/after", alive["access_token"]).status == 200
    assert installation.end() == 0
    installation.doorward("audit", "verify")
    records = installation.records()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    unknown = [record for record in records if record.get("ending") == "unknown"]
    slow_request = [record for record in records if record.get("path") == "/slow"]
    assert [record["request_id"] for record in unknown] == [record["request_id"] for record in slow_request]


def test_no_secret_and_no_token_leaves_by_any_exit(installation: Installation) -> None:
    """The canary: after traffic of all kinds, neither stands in a log, a file, an output, a metric or a child's environment."""
    health = installation.measured()
    installation.serve()
    issued = installation.issue("billing.read", "billing.write")
    token = issued["access_token"]
    installation.call("/billing/ok", token)
    installation.call(f"/billing/{token}?{token}={token}", token, f'billing.read;reason="{token}"')
    installation.call("/billing/x", token, token)
    installation.curl("/billing/x", "-H", f"Authorization: Basic {token}")
    installation.curl(f"/{token}/x")
    installation.curl("/billing/x", "-X", token[:15])
    installation.end_upstream()
    assert installation.call("/billing/gone", token).json["code"] == "upstream_failed"
    installation.doorward("task", "complete", issued["task"])
    installation.doorward("audit", "show")
    installation.doorward("check")
    installation.port = health
    for path in ("metrics", "readyz", "healthz", token):
        installation.curl(f"/{path}")
    assert "doorward_scrubbed_total" in "".join(installation.outputs)
    assert installation.end() == 0
    signature = token.rpartition(".")[2]
    places = {str(path): path.read_bytes() for path in installation.folder.rglob("*") if path.is_file()}
    places["what the commands and curl printed"] = "\n".join(installation.outputs).encode()
    for place, content in places.items():
        for canary in (SECRET, signature, token[4:60]):
            assert canary.encode() not in content, place
    assert SECRET not in "\n".join(installation.echoes), "the upstream repeats what it was sent"
    assert {record["scrubbed"] for record in installation.records() if record["type"] == "response"} == {0, 1}


def test_a_second_one_does_not_start_on_the_same_log(installation: Installation) -> None:
    """Two processes never write one chain; the second says what to do."""
    installation.serve()
    installation.environment.pop("PYTHONASYNCIODEBUG", None)  # it would tell of slow steps of a busy machine
    second = installation.doorward("serve", check=False)
    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_bad_configuration_is_one_clear_line(installation: Installation) -> None:
    """`serve` refuses with file, line, column and the nearest name, and leaves nothing behind."""
    file = installation.folder / "doorward.yaml"
    file.write_text(file.read_text().replace("credential: billing-key", "credental: billing-key"))
    done = installation.doorward("serve", check=False)
    assert done.returncode == 1
    assert "doorward.yaml:" in done.stderr
    assert "did you mean 'credential'?" in done.stderr
    assert not (installation.folder / "var").exists()


def test_a_secret_that_is_missing_is_said_at_start(installation: Installation) -> None:
    """Whoever forgot to export the key reads so before the first request is refused."""
    del installation.environment["BILLING_KEY"]
    installation.serve()
    answer = installation.call("/billing/x", installation.token())
    assert (answer.status, answer.json["code"]) == (503, "credential_unavailable")
    said = (installation.folder / "serve.log").read_text()
    assert "BILLING_KEY is not set" in said
    assert "requests that need it are refused" in said
