"""Tests with real processes: killed in mid-load, on a disk that fills up, and two at one log."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.audit.segments import all_lines
from gateway.audit.verify import Follower

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import decide
from gateway.audit.checkpoint import load_or_create
from gateway.audit.ledger import Ledger
from gateway.audit.sinks.file import Config, FileSink
from gateway.clock import Clock
from gateway.errors import DoorwardError, Refusal
from gateway.model import Outcome

async def main(log, mode):
    clock = Clock()
    signer = load_or_create(log.with_name("audit.key"), "acme/audit")
    config = Config(path=str(log)).model_copy(update={"rotate": 300_000, "keep": 1000})
    ledger = Ledger(clock, signer, FileSink(config, clock, log, key=signer.verifier), every=0.05)
    await ledger.start()
    if mode == "load":
        while True:
            for _ in range(20):
                record = decide(ledger.open("127.0.0.1"))
                os.write(1, f"{record.request_id}\\n".encode())  # stands for forwarding the request
                if record.request_id[0] not in "01":
                    record.close(Outcome("complete", 200))
            await clock.sleep(0)
    elif mode == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        refused = served = 0
        while refused < 50:
            record = ledger.open("127.0.0.1")
            try:
                record.reserve()
            except Refusal as refusal:
                record.refused(refusal)
                refused += 1
            else:
                record._book.release(record._held)
                decide(record).close(Outcome("complete", 200))
                served += 1
            await clock.sleep(0.0005)
        print("refused", refused, "served", served, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while not ledger.available:
            await clock.sleep(0.01)
        await clock.sleep(1)
        await ledger.stop()
    else:
        await clock.sleep(60)

try:
    asyncio.run(main(Path(sys.argv[2]), sys.argv[3]))
except DoorwardError as error:
    sys.exit(str(error))
"""


def writer(log, mode):
    """A process that writes the log."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(log), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONASYNCIODEBUG": "0"},
    )


def verified(log):
    """The whole log, followed."""
    follower = Follower()
    for located in all_lines(log):
        follower.feed(located.line, f"{located.file.name}:{located.number}")
    follower.finish()
    return follower


@pytest.mark.parametrize("delay", [0.3, 0.41, 0.57])
async def test_kill_9_in_mid_load_loses_no_forwarded_request(log, new_ledger, parts, delay):
    """Every request that was forwarded before the kill is in the log after the restart, closed, in one intact chain."""
    process = writer(log, "load")
    reading = asyncio.create_task(asyncio.to_thread(process.stdout.read))
    while not log.exists() or log.stat().st_size == 0:
        assert process.poll() is None, process.stderr.read()
        await asyncio.sleep(0.02)
    await asyncio.sleep(delay)
    process.kill()
    forwarded = (await reading).decode().splitlines()
    process.wait()
    process.stderr.close()
    process.stdout.close()
    ledger = new_ledger(rotate_bytes=300_000, keep=1000)
    await ledger.start()
    await ledger.stop()
    written = parts.records(log)
    requests = [each["request_id"] for each in written if each["type"] == "request"]
    responses = [each["request_id"] for each in written if each["type"] == "response"]
    assert len(forwarded) > 100
    assert set(forwarded[:-1]) <= set(requests)  # the last line of the pipe can be torn
    assert len(requests) == len(set(requests))
    assert sorted(requests) == sorted(responses)
    follower = verified(log)
    assert follower.findings == []
    assert not follower.strays.count
    assert not follower.unclosed.count
    assert any(each.get("ending") == "unknown" for each in written)


def test_a_file_that_may_not_grow_refuses_and_recovers(log, parts):
    """At a real limit of the file size requests are refused; when it is lifted everything is written, and the gap counted."""
    process = writer(log, "limit")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"refused 50" in out
    served = int(out.partition(b" served ")[2].split()[0])
    written = parts.records(log)
    assert sum(each["type"] == "request" for each in written) == served
    assert sum(each["type"] == "response" for each in written) == served
    assert [each["unrecorded"] for each in written if each["type"] == "gap"] == [50]
    assert verified(log).findings == []


def test_a_second_process_is_turned_away(log):
    """The lock holds between processes, and the message says what to do."""
    first = writer(log, "hold")
    try:
        while not log.exists() or log.stat().st_size == 0:
            assert first.poll() is None, first.stderr.read()
        second = writer(log, "hold")
        _, errors = second.communicate(timeout=30)
        assert second.returncode == 1
        assert b"another process writes this audit log" in errors
    finally:
        first.kill()
        first.communicate()
