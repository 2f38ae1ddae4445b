"""Random pipelines of good and hostile messages in random pieces, on real sockets; knows no single attack.

The messages are the named cases of the fuzzer's corpus. Whatever comes of them, the upstream has seen exactly the requests
that were recorded as forwarded, and every message that was answered was recorded.
"""

import asyncio
import random
import re

import h11
import pytest
from fakes.house import Build, House, ScriptedUpstream
from fuzz.connections import STAYS_HERE, TAKES_TRAILERS
from fuzz.witnesses import requests_by_h11, requests_by_llhttp
from fuzz.written import named_cases

CONNECTIONS = 40
AT_ONCE = 8
LAST = b"GET /api/items/last HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n"
ENDING = (b"HTTP/1.0\r\n", b"Connection: close\r\n")
MESSAGES = [
    case for case in named_cases("connections") if "waits" not in case.verdict and not any(line in case.raw for line in ENDING)
]
"""What waits for more would swallow the last message; what asks for the end may not be followed by anything."""
GOOD = [case for case in MESSAGES if set(case.verdict.split(",")) == {"served"}]


def real(raw: bytes, token: str) -> bytes:
    """The case for a house that issues its own tokens and knows items."""
    raw = re.sub(rb"(GET|PUT) /api/x", rb"\1 /api/items/1", raw)
    raw = raw.replace(b"POST /api/x", b"POST /api/items").replace(b"HEAD /api", b"HEAD /api/items")
    return raw.replace(b"a.use", b"items.read").replace(b"dwt_t", token.encode())


def pipeline(chance: random.Random, token: str) -> list[bytes]:
    """Some messages one after the other, cut anywhere; the last one asks for the end."""
    chosen = [chance.choice(GOOD if chance.random() < 0.6 else MESSAGES) for _ in range(chance.randint(1, 5))]
    raw = b"".join(real(case.raw, token) for case in chosen) + LAST % token.encode()
    ends = sorted({chance.randrange(1, len(raw)) for _ in range(chance.choice((0, 1, 3, 20)))} | {len(raw)})
    return [raw[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


class Keeping:
    """An upstream that keeps the bytes of each connection and answers what h11 reads in them."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []

    async def __call__(self, _: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self.received.append(kept)
        server = h11.Connection(h11.SERVER)
        while data := await reader.read(65536):
            kept += data
            server.receive_data(data)
            while not isinstance(event := server.next_event(), h11.NEED_DATA | h11.PAUSED | h11.ConnectionClosed):
                if isinstance(event, h11.Request):
                    method = event.method
                elif isinstance(event, h11.EndOfMessage):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == b"HEAD" else b"ok"))
                    server.send(h11.Response(status_code=200, headers=[("Content-Length", "2")]))
                    if method != b"HEAD":
                        server.send(h11.Data(b"ok"))
                    server.send(h11.EndOfMessage())
                    server.start_next_cycle()
            await writer.drain()


async def send(house: House, pieces: list[bytes], chance: random.Random) -> bytes:
    """Send the pieces, and read until the gateway ends the connection."""
    client = await house.connect()

    async def write() -> None:
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(chance.choice((0, 0, 0.001)))

    sending = asyncio.create_task(write())
    answers = await asyncio.wait_for(client.reader.read(-1), 30)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await client.close()
    return answers


@pytest.mark.parametrize("seed", range(3))
async def test_the_upstream_sees_what_was_answered_and_recorded(house: Build, seed: int) -> None:
    """As many requests as were forwarded, each once, whole, and without anything that must stay here."""
    chance, upstream = random.Random(seed), Keeping()
    here = await house(upstream, declare="implied", gateway_limits="{head: 4KiB, headers: 24, body: 4KiB}")
    token = await here.token("items.read", "items.write")
    answers: list[bytes] = []
    for _ in range(CONNECTIONS // AT_ONCE):
        pipelines = [pipeline(chance, token) for _ in range(AT_ONCE)]
        answers += await asyncio.gather(*(send(here, pieces, chance) for pieces in pipelines))
    await here.stop()
    requests, responses = here.exchanges()

    seen = []
    for received in map(bytes, upstream.received):
        messages = requests_by_h11(received)
        assert messages.error is None
        assert messages.messages == requests_by_llhttp(received).messages
        seen += messages.whole
        for message in messages.whole:
            lines = [header for header in message.headers if header not in TAKES_TRAILERS]
            names = {name.replace(b"_", b"-") for name, _ in lines}
            assert not names & STAYS_HERE
    forwarded = [record["request_id"] for record in responses if record["ending"] == "complete"]
    assert sorted(dict(message.headers)[b"x-request-id"].decode() for message in seen) == sorted(forwarded)
    assert len(forwarded) > CONNECTIONS

    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", b"".join(answers))
    counted = sum(sum(record["codes"].values()) for record in here.records() if record["type"] == "refusals")
    assert len(statuses) - statuses.count(b"100") == len(requests) + counted, (
        "an answer without a record, or the other way round"
    )
    assert statuses.count(b"200") == len(forwarded)
