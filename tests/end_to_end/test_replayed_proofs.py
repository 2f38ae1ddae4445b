"""Proofs that are shown twice to a gateway of several processes: whichever has seen one, all refuse it."""

import http.client
import json
import os
import signal
import socket
import threading
from collections import Counter
from urllib.parse import urlencode

import pytest
from fakes.dpop import Prover
from fakes.installation import Installation
from fakes.workers import children, until, workers_of

WORKERS = 3


class LocalConnection(http.client.HTTPConnection):
    """HTTP over the authority's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("doorward")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def bound(installation: Installation, prover: Prover) -> str:
    """A token that is bound to the prover's key."""
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "peer",
            "subject_token_type": "urn:doorward:unix-peer", "scope": "billing.read"}  # fmt: skip
    connection = LocalConnection(str(installation.folder / "var/authority.sock"))
    proof = prover.proof("POST", f"http://127.0.0.1:{installation.authority_port}/token")
    connection.request("POST", "/token", urlencode(form), {"Content-Type": "application/x-www-form-urlencoded", "DPoP": proof})
    answer = connection.getresponse()
    members = json.loads(answer.read())
    connection.close()
    assert (answer.status, members["token_type"]) == (200, "DPoP")
    return members["access_token"]


def show(installation: Installation, token: str, proof: str) -> tuple[int, str | None]:
    """Show a proof on a new connection, which any worker may accept; status and new nonce."""
    connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=20)
    headers = {"Authorization": f"DPoP {token}", "Agent-Intent": "billing.read", "DPoP": proof}
    connection.request("GET", "/billing/x", headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["DPoP-Nonce"]


@pytest.fixture
def several(installation: Installation) -> Installation:
    """An installation with some workers, serving."""
    workers_of(installation, WORKERS)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    return installation


def test_a_proof_is_taken_once_by_all_workers(several: Installation) -> None:
    """In turn, all at once, and after the worker that has seen it was killed: each proof opens the way for one request."""
    prover = Prover()
    token = bound(several, prover)
    url = f"http://127.0.0.1:{several.port}/billing/x"
    status, prover.nonce = show(several, token, prover.proof("GET", url, token))
    assert status == 401

    for _ in range(6):
        proof = prover.proof("GET", url, token)
        assert show(several, token, proof)[0] == 200
        assert Counter(show(several, token, proof)[0] for _ in range(8)) == {401: 8}

    for _ in range(6):
        proof, found, together = prover.proof("GET", url, token), [], threading.Barrier(8)

        def race(shown: str = proof, found: list[int] = found, together: threading.Barrier = together) -> None:
            together.wait()
            found.append(show(several, token, shown)[0])

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found.count(200) <= 1
        assert len(found) == found.count(200) + found.count(401) == 8

    proof = prover.proof("GET", url, token)
    assert show(several, token, proof)[0] == 200
    before = children(several)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(children(several)) == WORKERS and not set(before) & set(children(several)))
    until(lambda: show(several, token, proof)[0] == 401)
    again = prover.proof("GET", url, token)
    assert show(several, token, again)[0] == 200
    assert Counter(show(several, token, proof)[0] for _ in range(8)) == {401: 8}
    assert several.end() == 0
