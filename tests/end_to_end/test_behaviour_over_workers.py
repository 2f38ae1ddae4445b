"""Labels and drift over several real processes: what one worker has seen of a task holds in the other, too."""

import asyncio

from fakes.installation import Installation
from fakes.workers import children, until, workers_of

DENIAL = """
denials:
  - name: nothing is written by who has read what strangers wrote
    intents: [billing.write]
    when: |
      'untrusted' in task.labels
"""
DRIFT = "\ndrift: {refusals: 5, within: 1m, bar: 15m}\n"
MANY = 40
"""Connections at once, of which each worker accepts some."""


def two_workers(installation: Installation, adds: str, more: str) -> None:
    """Serve with two workers, what reading leaves on the task, and more rules."""
    file = installation.folder / "doorward.yaml"
    text, at = file.read_text(), "  billing.read:\n    upstream: billing\n"
    assert text.count(at) == 1
    file.write_text(text.replace(at, f"{at}    adds: [{adds}]\n") + more)
    workers_of(installation, 2)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    assert len(children(installation)) == 2


async def ask(port: int, token: str, method: str, intent: str) -> tuple[int, str]:
    """The status and the body of one request, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} /billing/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\nAgent-Intent: {intent}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split(" ")[1]), body


async def ask_at_once(port: int, token: str, method: str, intent: str) -> list[tuple[int, str]]:
    """The same many times, all at once, so that no worker is idle for long enough to accept all of them."""
    return await asyncio.gather(*(ask(port, token, method, intent) for _ in range(MANY)))


async def ask_both(made: Installation, token: str, method: str, intent: str, recorded: str) -> list[tuple[int, str]]:
    """The same until both workers have recorded one of these: which of them accepts a connection is not ours to say."""
    found = []
    async with asyncio.timeout(30):
        while not found or logs_with(made, recorded) < 2:
            found += await ask_at_once(made.port, token, method, intent)
    return found


def logs_with(installation: Installation, text: str) -> int:
    """How many processes have recorded this."""
    return sum(text in file.read_text() for file in (installation.folder / "var").glob("audit*.jsonl"))


async def test_a_label_from_one_worker_denies_in_the_other(installation: Installation) -> None:
    """The task writes through both until one of them has passed on a read; from then on through none."""
    await asyncio.to_thread(two_workers, installation, "untrusted", DENIAL)
    token = await asyncio.to_thread(installation.token, "billing.read", "billing.write")
    before = await ask_both(installation, token, "POST", "billing.write", '"decision":"allow"')
    assert {status for status, _ in before} == {200}
    assert (await ask(installation.port, token, "GET", "billing.read"))[0] == 200
    after = await ask_both(installation, token, "POST", "billing.write", '"code":"denied"')
    assert {status for status, _ in after} == {403}
    assert all('"denied"' in body for _, body in after)
    assert installation.end() == 0


async def test_drift_ends_the_task_in_every_worker(installation: Installation) -> None:
    """Refusals of both count together; then no worker takes the token, and the agent gets no other."""
    await asyncio.to_thread(two_workers, installation, "", DRIFT)
    token = await asyncio.to_thread(installation.token)
    assert {status for status, _ in await ask_at_once(installation.port, token, "GET", "billing.read")} == {200}
    refused = [status for status, _ in await ask_at_once(installation.port, token, "POST", "billing.read")]
    assert set(refused) <= {403, 401}
    assert refused.count(403) >= 5
    async with asyncio.timeout(30):
        while {status for status, _ in await ask_at_once(installation.port, token, "GET", "billing.read")} != {401}:
            await asyncio.sleep(0.01)
    ended = await ask_both(installation, token, "GET", "billing.read", '"code":"token_revoked"')
    assert {status for status, _ in ended} == {401}
    assert (await asyncio.to_thread(installation.doorward, "token", "--intent", "billing.read", check=False)).returncode != 0
    assert installation.end() == 0
