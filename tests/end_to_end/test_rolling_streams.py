"""Workers replaced and stopped while streams are open and requests keep coming: every stream comes whole, nothing is lost."""

import http.client
import signal
import threading
from collections import Counter

from fakes.installation import Installation
from test_many_workers import Load, children, until, workers_of

EVENTS = 12
"""What one stream of the upstream brings, a quarter of a second apart."""


class Streams:
    """Clients that each read one stream to its end."""

    def __init__(self, installation: Installation, token: str, count: int) -> None:
        self.ended: Counter = Counter()
        self.begun = threading.Semaphore(0)
        self._port = installation.port
        self._headers = {"Authorization": f"Bearer {token}", "Agent-Intent": "billing.read"}
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        for _ in range(count):
            assert self.begun.acquire(timeout=30)

    def wait(self) -> Counter:
        for thread in self._threads:
            thread.join(60)
        return self.ended

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", "/billing/stream", headers=self._headers)
            answer = connection.getresponse()
            first = answer.readline()
            self.begun.release()
            rest = answer.read().splitlines()
            self.ended[answer.status, len([first, *rest])] += 1
        except (OSError, http.client.HTTPException) as error:
            self.begun.release()
            self.ended[repr(error)] += 1
        finally:
            connection.close()


def test_streams_outlive_the_replacement_of_their_workers(installation: Installation) -> None:
    """SIGUSR2 with eight streams open and four clients asking: a worker leaves when its streams have ended by themselves."""
    workers_of(installation, 2)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    token, before = installation.token(), children(installation)
    load = Load(installation, token)
    streams = Streams(installation, token, 8)
    assert installation.served is not None
    installation.served.send_signal(signal.SIGUSR2)
    assert streams.wait() == {(200, EVENTS): 8}
    until(lambda: len(children(installation)) == 2 and not set(before) & set(children(installation)))
    answers = load.stop()
    assert set(answers) <= {200, "again"}, answers
    assert answers[200] > 20
    assert installation.end() == 0
    installation.doorward("audit", "verify")


def test_streams_outlive_the_order_to_stop(installation: Installation) -> None:
    """SIGTERM with streams open: all come whole, what was asked before is answered, and the process ends with 0."""
    workers_of(installation, 2)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    streams = Streams(installation, installation.token(), 6)
    assert installation.end() == 0
    assert streams.wait() == {(200, EVENTS): 6}
    installation.doorward("audit", "verify")
