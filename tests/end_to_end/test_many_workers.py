"""Several gateway processes and their authority: what dies is replaced, what is revoked is refused by all, nothing is lost."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fakes.installation import Installation
from fakes.workers import children, until, workers_of


@pytest.fixture
def several(installation: Installation) -> Installation:
    """An installation with two workers, serving."""
    workers_of(installation, 2)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())  # all are ready
    assert len(children(installation)) == 2
    return installation


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def codes(installation: Installation, token: str, times: int = 12) -> Counter:
    """What requests on new connections are answered, which any worker may accept."""
    found: Counter = Counter()
    for _ in range(times):
        answer = installation.call("/billing/x", token)
        found[200 if answer.status == 200 else answer.json["code"]] += 1
    return found


class Load:
    """Clients that send one request after the other on kept connections, and count the answers."""

    def __init__(self, installation: Installation, token: str, clients: int = 4) -> None:
        self.answers: Counter = Counter()
        self._port = installation.port
        self._headers = {"Authorization": f"Bearer {token}", "Agent-Intent": "billing.read"}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> Counter:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
        return self.answers

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._ended.is_set():
            try:
                kept = connection.sock is not None
                connection.request("GET", "/billing/x", headers=self._headers)
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] += 1
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A kept connection may be closed while the next request is on its way; a client sends that one again
                # (RFC 9112 §9.3.1), which is told from a request that was taken and then lost: not a byte came back.
                again = kept and isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError))
                self.answers["again" if again else repr(error)] += 1
            time.sleep(0.005)
        connection.close()


def test_connections_are_shared_by_all_workers(several: Installation) -> None:
    """Of clients that stay each worker gets its part, when all come at once, and again when all of those have gone."""
    token = several.issue("billing.read")["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Agent-Intent": "billing.read"}

    def served(worker: int) -> int:
        return (several.folder / f"var/audit-worker-{worker}.jsonl").read_text().count('"type":"request"')

    before = (0, 0)
    for burst in (1, 2):
        kept = [http.client.HTTPConnection("127.0.0.1", several.port, timeout=20) for _ in range(32)]
        for each in kept:
            each.connect()
        for each in kept:
            each.request("GET", "/billing/x", headers=headers)
            assert each.getresponse().read() is not None
        for each in kept:
            each.close()
        until(lambda burst=burst: served(1) + served(2) == 32 * burst)
        now = (served(1), served(2))
        assert min(now[0] - before[0], now[1] - before[1]) >= 8  # a worker that is busy for long is not waited for
        before = now
        time.sleep(0.3)  # they have gone for the workers, too


def test_all_workers_refuse_what_is_revoked(several: Installation) -> None:
    """One port, two processes, one truth; each writes a log of its own, and the commands look at all of them."""
    issued = several.issue("billing.read")
    assert codes(several, issued["access_token"]) == {200: 12}
    several.doorward("task", "revoke", issued["task"])
    time.sleep(0.1)
    assert codes(several, issued["access_token"]) == {"token_revoked": 12}
    assert several.end() == 0
    verified = several.doorward("audit", "verify").stdout
    assert verified.count("intact:") == 3
    assert several.doorward("audit", "show").stdout.count("/x") == 24


def test_a_killed_worker_is_replaced_and_knows_what_was_revoked(several: Installation) -> None:
    """After kill -9 a new one takes its place, caught up before it accepts; its log goes on and verifies."""
    gone, live = several.issue("billing.read"), several.issue("billing.read")
    several.doorward("task", "revoke", gone["task"])
    before = children(several)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert several.call("/billing/x", live["access_token"]).status == 200
    until(lambda: len(children(several)) == 2 and not set(before) & set(children(several)))
    assert codes(several, gone["access_token"]) == {"token_revoked": 12}
    assert codes(several, live["access_token"]) == {200: 12}
    assert several.end() == 0
    several.doorward("audit", "verify")


def test_workers_do_not_outlive_their_parent(several: Installation) -> None:
    """After kill -9 of the authority nobody serves on; a new start knows what was revoked."""
    gone = several.issue("billing.read")
    several.doorward("task", "revoke", gone["task"])
    orphans = children(several)
    several.end(signal.SIGKILL)
    until(lambda: not any(map(alive, orphans)))
    several.serve()
    assert codes(several, gone["access_token"]) == {"token_revoked": 12}
    assert several.end() == 0
    several.doorward("audit", "verify")


def test_a_frozen_worker_accepts_nothing_that_was_revoked_meanwhile(several: Installation) -> None:
    """Stopped and continued: what waits for it is answered as it is now, not as it was."""
    issued = several.issue("billing.read")
    frozen = children(several)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    connection = http.client.HTTPConnection("127.0.0.1", several.port, timeout=30)
    headers = {"Authorization": f"Bearer {issued['access_token']}", "Agent-Intent": "billing.read"}
    connection.request("GET", "/billing/x", headers=headers)
    several.doorward("task", "revoke", issued["task"])
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    first = connection.getresponse().status
    connection.close()
    assert first in (200, 401)
    time.sleep(0.2)
    assert codes(several, issued["access_token"]) == {"token_revoked": 12}


def test_a_worker_that_hangs_is_killed_and_replaced(several: Installation) -> None:
    """It reports nothing for a while, so another takes its place; meanwhile the other one serves."""
    token = several.token()
    hanging, other = children(several)
    os.kill(hanging, signal.SIGSTOP)
    assert codes(several, token, 4) == {200: 4}
    until(lambda: len(children(several)) == 2 and hanging not in children(several))
    assert other in children(several)
    assert codes(several, token, 4) == {200: 4}


def test_a_worker_that_cannot_start_ends_the_start(installation: Installation) -> None:
    """Its log is in the way, for example: `serve` says so, and leaves nothing running."""
    workers_of(installation, 2)
    (installation.folder / "var").mkdir()
    (installation.folder / "var/audit-worker-2.jsonl").mkdir()
    done = installation.doorward("serve", check=False)
    assert done.returncode == 1
    assert "worker 2 did not start" in done.stderr
    assert "audit-worker-2.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_are_replaced_under_load_and_no_request_is_lost(several: Installation) -> None:
    """SIGUSR2 replaces one after the other; SIGTERM then ends all of them with every answer given."""
    load = Load(several, several.token())
    before = children(several)
    time.sleep(0.5)
    assert several.served is not None
    several.served.send_signal(signal.SIGUSR2)
    until(lambda: len(children(several)) == 2 and not set(before) & set(children(several)))
    time.sleep(0.5)
    answers = load.stop()
    assert set(answers) <= {200, "again"}, answers
    assert answers[200] > 20
    thread = threading.Thread(target=lambda: answers.update([several.call("/billing/slow", slow).status]))
    slow = several.token()
    answers.clear()
    thread.start()
    time.sleep(0.4)
    assert several.end() == 0
    thread.join()
    assert answers == {200: 1}
    several.doorward("audit", "verify")
