"""The figures of several workers, added up by the process that was started, over deaths and replacements."""

import os
import signal
import urllib.request

import pytest
from fakes.installation import Installation
from fakes.scraped import Scraped, samples
from test_many_workers import children, codes, until, workers_of


def scrape(port: int) -> Scraped:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return samples(answer.read().decode())


@pytest.fixture
def port(installation: Installation) -> int:
    """Two workers that serve, and the port at which they are measured."""
    workers_of(installation, 2)
    port = installation.measured()
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    return port


def served(told: Scraped) -> float:
    (found,) = (
        value
        for key, value in told.items()
        if key[:4] == ("doorward_requests_total", "", "allow", "2xx") and key[-1] == "billing"
    )
    return found


def test_workers_are_added_up_and_none_is_forgotten(installation: Installation, port: int) -> None:
    """What a worker had counted before it was killed, or replaced, stays in the sum: a counter never falls."""
    token = installation.token()
    assert codes(installation, token) == {200: 12}
    told = scrape(port)
    assert served(told) == 12
    assert told["doorward_workers", "ready"] == 2
    assert told["doorward_workers_unheard",] == 0
    assert {key[1] for key in told if key[0] == "doorward_process_cpu_seconds_total"} == {"main", "1", "2"}
    assert told["doorward_gateways_connected",] == 2
    before = children(installation)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(children(installation)) == 2 and not set(before) & set(children(installation)))
    until(lambda: scrape(port)["doorward_workers", "ready"] == 2)
    told = scrape(port)
    assert served(told) == 12
    assert told["doorward_worker_ends_total", "died"] == 2
    assert codes(installation, token) == {200: 12}
    before = children(installation)
    assert installation.served is not None
    installation.served.send_signal(signal.SIGUSR2)
    until(lambda: len(children(installation)) == 2 and not set(before) & set(children(installation)))
    until(lambda: scrape(port)["doorward_workers", "ready"] == 2)
    told = scrape(port)
    assert served(told) == 24, "the last words of a replaced worker are heard"
    assert told["doorward_worker_ends_total", "asked"] == 2
    assert installation.end() == 0


def test_a_frozen_worker_keeps_its_figures_and_is_named(installation: Installation, port: int) -> None:
    """A scrape does not wait for it longer than it may, and does not lose it."""
    token = installation.token()
    assert codes(installation, token) == {200: 12}
    assert served(scrape(port)) == 12
    frozen = children(installation)[0]
    os.kill(frozen, signal.SIGSTOP)
    told = scrape(port)
    os.kill(frozen, signal.SIGCONT)
    assert told["doorward_workers_unheard",] == 1
    assert served(told) == 12
    until(lambda: scrape(port)["doorward_workers_unheard",] == 0)
    assert installation.end() == 0
