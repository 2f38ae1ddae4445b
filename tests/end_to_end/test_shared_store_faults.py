"""Two authorities on one real Redis that is killed, frozen, emptied and set back: nothing revoked is ever accepted again."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from fakes.installation import Installation
from fakes.redis_server import RedisProcess
from fakes.revoking import Revoking
from fakes.shared_store import STALE, Shared
from test_many_workers import until

from gateway.cli.main import main

CUT = 18
"""How curl ends when an answer breaks off."""


def kill(redis: RedisProcess, _kept: Path) -> None:
    """The power goes, and comes back."""
    redis.kill()
    redis.start()


def empty(redis: RedisProcess, _kept: Path) -> None:
    """Somebody empties it, while it goes on."""
    assert redis.ask("FLUSHALL") == "+OK"


def replace_by_an_empty_one(redis: RedisProcess, _kept: Path) -> None:
    """It dies, and its disk with it."""
    redis.kill()
    shutil.rmtree(redis.folder)
    redis.folder.mkdir()
    redis.start()


def set_back(redis: RedisProcess, kept: Path) -> None:
    """It is restored from a copy of before."""
    redis.set_back(kept)


def freeze(redis: RedisProcess, _kept: Path) -> None:
    """It answers nothing for longer than gateways may be stale."""
    redis.stop()
    time.sleep(STALE + 2)
    redis.go_on()


FAULTS = (kill, empty, replace_by_an_empty_one, set_back, freeze)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_of_the_server_revives_nothing(
    shared: Shared, tmp_path: Path, fault: Callable[[RedisProcess, Path], None]
) -> None:
    """Whatever it forgets: tokens whose end was acknowledged by one authority are refused by both gateways, and stay so."""
    shared.serve()
    first, second = Revoking(shared.first, 2), Revoking(shared.second, 2)
    async with first.going_on(), second.going_on():
        await asyncio.gather(first.until(2), second.until(2))
        kept = tmp_path / "kept"
        shared.redis.keep(kept)
        await asyncio.gather(first.until(2), second.until(2))
        await asyncio.to_thread(fault, shared.redis, kept)
        await asyncio.gather(first.until(2), second.until(2))
    await asyncio.sleep(STALE)  # by now every gateway has to know what either authority has acknowledged, or refuse
    for load in (first, second):
        for made in (shared.first, shared.second):
            assert await load.ask_with_the_dead(made.port) == {401}
        assert load.revived == []
    assert [shared.first.end(), shared.second.end()] == [0, 0]
    logs = [made.folder / "var/audit.jsonl" for made in (shared.first, shared.second)]
    noted = tmp_path / "acknowledged"
    noted.write_text("".join(load.note(tmp_path / "one").read_text() for load in (first, second)))
    words = [word for log in logs for word in ("--log", str(log))]
    assert main(["audit", "replay", "--within", f"{STALE:g}", "--acknowledged", str(noted), *words]) == 0


def told(made: Installation, token: str) -> str:
    """What a request is answered; nothing if it was under way when the gateway turned stale, which cuts what is open."""
    try:
        return made.call("/billing/x", token).body
    except subprocess.CalledProcessError as error:
        if error.returncode != CUT:
            raise
        return ""


async def test_a_frozen_authority_makes_its_sidecar_refuse_and_the_other_go_on(shared: Shared, tmp_path: Path) -> None:
    """SIGSTOP: a sidecar that hears nothing refuses; when its authority goes on it knows what the other one has revoked."""
    shared.serve()
    side = Installation(tmp_path / "side")
    side.folder.mkdir()
    side.upstream_port = shared.first.upstream_port
    side.initialise()
    socket = shared.first.folder / "var/authority.sock"
    issuer = f"http://127.0.0.1:{shared.first.authority_port}"
    shared.edit(
        side,
        lambda text: re.sub(
            r"\nauthority:.*?(?=\nadmin:)",
            f"\nauthority: {{remote: 'unix:{socket}', issuer: '{issuer}'}}\nfeed: {{max_staleness: {STALE:g}s}}\n",
            text,
            flags=re.DOTALL,
        ),
    )
    side.serve()
    try:
        gone, lives = shared.first.issue("billing.read"), shared.first.issue("billing.read")
        for issued in (gone, lives):
            await asyncio.to_thread(until, lambda issued=issued: side.call("/billing/x", issued["access_token"]).status == 200)
        served = shared.first.served
        assert served is not None
        os.kill(served.pid, signal.SIGSTOP)
        shared.second.doorward("task", "revoke", gone["task"])
        assert shared.second.call("/billing/x", gone["access_token"]).json["code"] == "token_revoked"
        await asyncio.to_thread(until, lambda: "revocations_stale" in told(side, lives["access_token"]))
        assert side.call("/billing/x", gone["access_token"]).status in (401, 503)
        os.kill(served.pid, signal.SIGCONT)
        seen = set()
        for _ in range(200):
            seen.add(side.call("/billing/x", gone["access_token"]).status)
            if side.call("/billing/x", lives["access_token"]).status == 200:
                break
        assert seen <= {401, 503}
        assert side.call("/billing/x", gone["access_token"]).json["code"] == "token_revoked"
        assert side.call("/billing/x", lives["access_token"]).status == 200
    finally:
        side.stop()


async def test_no_token_is_refused_while_the_keys_of_both_are_exchanged(shared: Shared) -> None:
    """Each gateway knows the keys of the other's authority before it meets a token of theirs, the first ones and the next."""
    for made in (shared.first, shared.second):
        shared.edit(made, lambda text: text.replace("\nadmin:", "\n  signing: {lead: 1s}\n\nadmin:", 1))
    shared.serve()
    kids = set()
    for _ in range(2):
        for by in (shared.first, shared.second):
            issued = by.issue("billing.read")
            kids.add(jwt.get_unverified_header(issued["access_token"].removeprefix("dwt_"))["kid"])
            for at in (shared.first, shared.second):
                assert at.call("/billing/x", issued["access_token"]).status == 200
        if len(kids) == 2:
            for made in (shared.first, shared.second):
                before = json.loads(made.doorward("keys", "list", "--json").stdout)["keys"]
                following = json.loads(made.doorward("keys", "rotate", "--json").stdout)["key"]
                assert following not in {key["key"] for key in before}
                until(lambda made=made, key=following: f"{key}  ES256  signs" in made.doorward("keys", "list").stdout)
    assert len(kids) == 4
