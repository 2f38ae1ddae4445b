"""Limits over several real processes: what all of them let through together is what was allowed, and not one more or less."""

import asyncio
import os
import signal
from collections import Counter

from fakes.installation import Installation
from test_many_workers import children, until, workers_of

CONNECTIONS, REQUESTS, LIMIT = 64, 10_000, 1_000


def limited(installation: Installation, limits: str, workers: int) -> None:
    """Give the one grant a limit, before it serves."""
    file = installation.folder / "doorward.yaml"
    text, at = file.read_text(), "    intents: [billing.read, billing.write]\n"
    assert text.count(at) == 1
    file.write_text(text.replace(at, f"{at}    limits: {limits}\n"))
    workers_of(installation, workers)


async def send(port: int, token: str, times: int) -> Counter:
    """So many requests, one after the other, on one connection that is kept; what they were answered."""
    request = (
        f"GET /billing/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nAgent-Intent: billing.read\r\n\r\n".encode()
    )
    found: Counter = Counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        found[int(head.split(b" ")[1])] += 1
    writer.close()
    await writer.wait_closed()
    return found


async def all_of(port: int, token: str, requests: int) -> Counter:
    shares = [requests // CONNECTIONS + (number < requests % CONNECTIONS) for number in range(CONNECTIONS)]
    return sum(await asyncio.gather(*(send(port, token, share) for share in shares)), Counter())


async def test_four_workers_let_exactly_the_limit_through(installation: Installation) -> None:
    """10,000 requests on 64 connections against a limit of 1,000: 1,000 pass and 9,000 are refused, as the logs say too."""
    limited(installation, f"{{requests: {LIMIT}, per: task}}", 4)
    installation.serve()
    await asyncio.to_thread(until, lambda: "requests" in (installation.folder / "serve.log").read_text())
    assert len(children(installation)) == 4
    token = await asyncio.to_thread(installation.token)
    assert await all_of(installation.port, token, REQUESTS) == {200: LIMIT, 429: REQUESTS - LIMIT}
    other = await asyncio.to_thread(installation.token)
    assert await all_of(installation.port, other, 100) == {200: 100}, "another task has a count of its own"
    assert installation.end() == 0
    logs = [file.read_text() for file in (installation.folder / "var").glob("audit*.jsonl")]
    assert sum(text.count('"decision":"allow"') for text in logs) == LIMIT + 100
    assert sum(text.count('"code":"limit_exceeded","grant"') for text in logs) == REQUESTS - LIMIT
    assert sum('"decision":"allow"' in text for text in logs) > 1, "more than one worker has served"


async def test_workers_that_die_never_give_more(installation: Installation) -> None:
    """What a killed worker had been lent counts as spent: fewer may pass, and never more."""
    limited(installation, "{requests: 300, per: task}", 2)
    installation.serve()
    await asyncio.to_thread(until, lambda: "requests" in (installation.folder / "serve.log").read_text())
    token = await asyncio.to_thread(installation.token)
    passed = (await all_of(installation.port, token, 128))[200]
    before = children(installation)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: len(children(installation)) == 2 and not set(before) & set(children(installation)))
    found = await all_of(installation.port, token, 640)
    assert set(found) == {200, 429}
    assert passed == 128
    assert passed + found[200] <= 300
    assert installation.end() == 0
