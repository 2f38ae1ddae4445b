"""Requests of high risk on real sockets and a real disk: the record is there before the upstream hears of them."""

import asyncio

import pytest
from fakes.house import Build, House, ScriptedUpstream, get

RISKY = {"read": "risk: high"}


@pytest.mark.interpreted("a compiled segment takes no method of a test")
async def test_the_record_is_on_the_disk_before_the_request_is_forwarded(house: Build) -> None:
    """And what is of low risk waits for no disk."""
    synced: list[int] = []
    at_upstream: list[int] = []
    it: House

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            at_upstream.append(len(synced))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    it = await house(script, **RISKY)
    segments = it.doorward.ledger._log._segments
    real = segments.sync

    def sync() -> None:
        real()
        lines = (it.folder / "audit.jsonl").read_bytes().splitlines()
        synced.append(sum(b'"type":"request"' in line for line in lines))

    segments.sync = sync
    token, client = await it.token(), await it.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).status == 200
    assert at_upstream == [1]
    assert synced[0] == 1
    await client.send(get("/api/items", token, "items.write", method="POST"))
    assert (await client.answer()).status == 200


@pytest.mark.interpreted("a compiled segment takes no method of a test")
async def test_requests_of_one_moment_share_the_disk(house: Build) -> None:
    """Twenty at once need far fewer than twenty waits."""
    it = await house(**RISKY)
    segments = it.doorward.ledger._log._segments
    real, calls = segments.sync, []
    segments.sync = lambda: (calls.append(1), real())[1]
    token = await it.token()
    clients = [await it.connect() for _ in range(20)]
    for client in clients:
        await client.send(get("/api/items", token))
    assert [(await client.answer()).status for client in clients] == [200] * 20
    assert 1 <= len(calls) < 20


@pytest.mark.interpreted("a compiled segment takes no method of a test")
async def test_what_cannot_be_brought_to_the_disk_goes_nowhere(house: Build) -> None:
    """The disk fails: the request is refused, and the upstream never hears of it."""
    it = await house(**RISKY)
    segments = it.doorward.ledger._log._segments
    real = segments.sync

    def broken() -> None:
        raise OSError(5, "Input/output error")

    segments.sync = broken
    token, client = await it.token(), await it.connect()
    await client.send(get("/api/items", token))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (503, "audit_unavailable")
    assert it.upstream.seen == []
    segments.sync = real
