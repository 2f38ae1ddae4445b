"""Two authorities and a gateway that takes tokens of both, in processes of their own: each is on its own."""

import os
import re
import signal
import subprocess
from pathlib import Path

from fakes.installation import Installation
from fakes.workers import children, until, workers_of

STALE = "2s"
WORKERS = 2


def beside(installation: Installation, folder: Path) -> Installation:
    """Another installation before the same upstream."""
    folder.mkdir()
    made = Installation(folder)
    made.upstream_port = installation.upstream_port
    made.initialise()
    return made


def place(made: Installation) -> str:
    return f"remote: 'unix:{made.folder / 'var/authority.sock'}', issuer: 'http://127.0.0.1:{made.authority_port}'"


def takes(made: Installation, partner: Installation, own: Installation | None = None) -> None:
    """Let it take tokens of the partner too; `own` is its authority, if that is elsewhere."""
    file = made.folder / "doorward.yaml"
    text = file.read_text()
    (tenant,) = re.findall(r"^tenant: (\S+)", text, flags=re.MULTILINE)
    if own is not None:
        text, count = re.subn(r"\nauthority:.*?(?=\nadmin:)", f"\nauthority: {{{place(own)}}}\n", text, flags=re.DOTALL)
        assert count == 1
    text += f"\nissuers:\n  partner: {{{place(partner)}, tenants: [{tenant}]}}\nfeed: {{max_staleness: {STALE}}}\n"
    file.write_text(text)


def said(made: Installation, token: str) -> int | str:
    """What a request is answered; nothing where a worker was killed under it."""
    try:
        answer = made.call("/billing/x", token)
    except subprocess.CalledProcessError:
        return ""
    return 200 if answer.status == 200 else answer.json["code"]


def test_two_authorities_and_one_gateway(installation: Installation, tmp_path: Path) -> None:
    """Tokens of both are served; what one revokes, or that it is killed, is about its own, and it comes back as it was."""
    own, partner = installation, beside(installation, tmp_path / "partner")
    gateway = beside(installation, tmp_path / "side")
    takes(gateway, partner, own)
    for each in (own, partner, gateway):
        each.serve()
    try:
        first, second = own.issue("billing.read"), partner.issue("billing.read")
        assert (first["task"] == second["task"], said(own, second["access_token"])) == (False, "token_invalid")
        until(lambda: [said(gateway, each["access_token"]) for each in (first, second)] == [200, 200])

        partner.doorward("task", "revoke", second["task"])
        until(lambda: said(gateway, second["access_token"]) == "token_revoked")
        assert said(gateway, first["access_token"]) == 200

        third = partner.issue("billing.read")
        until(lambda: said(gateway, third["access_token"]) == 200)
        assert partner.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: said(gateway, third["access_token"]) == "revocations_stale")
        assert said(gateway, first["access_token"]) == 200

        partner.serve()
        until(lambda: said(gateway, third["access_token"]) == 200)
        assert said(gateway, second["access_token"]) == "token_revoked"
        assert own.end() == 0
        until(lambda: said(gateway, first["access_token"]) == "revocations_stale")
        assert said(gateway, third["access_token"]) == 200
        assert gateway.end() == 0
        served = {each["issuer"] for each in gateway.records() if each["type"] == "request" and each["decision"] == "allow"}
        assert served == {f"http://127.0.0.1:{each.authority_port}" for each in (own, partner)}
    finally:
        for each in (gateway, partner):
            each.stop()


def test_every_worker_follows_the_partner(installation: Installation, tmp_path: Path) -> None:
    """Each has a line of its own; one that is started anew knows what was revoked before."""
    partner = beside(installation, tmp_path / "partner")
    takes(installation, partner)
    workers_of(installation, WORKERS)
    partner.serve()
    installation.serve()
    try:
        tokens = [partner.issue("billing.read") for _ in range(2)]
        live, gone = (each["access_token"] for each in tokens)
        for token in (installation.token(), live, gone):
            until(lambda token=token: {said(installation, token) for _ in range(8)} == {200})
        partner.doorward("task", "revoke", tokens[1]["task"])
        until(lambda: {said(installation, gone) for _ in range(8)} == {"token_revoked"})
        before = set(children(installation))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(set(children(installation)) - before) == WORKERS)
        until(lambda: {said(installation, live) for _ in range(8)} == {200})
        assert {said(installation, gone) for _ in range(8)} == {"token_revoked"}
    finally:
        partner.stop()
