"""Bodies that rules read: here before the decision, and forwarded as they came."""

import asyncio
import contextlib

import pytest
from fakes.clock import SetClock
from fakes.house import Build, House, get

from gateway.intent.look import AWAITED, AWAITED_OF_ALL

PAYMENTS = {
    "declare": "required\n    when: |\n      intent.name != 'items.write' || request.json.amount <= 100",
    "gateway_limits": "{inspect: 100KiB, idle_timeout: 1s}",
}


def post(token: str, *lines: str, body: bytes = b"", length: int | None = None) -> bytes:
    head = get("/api/items", token, "items.write", "Content-Type: application/json", *lines, method="POST")
    if any(line.startswith("Transfer-Encoding") for line in lines):
        return head + body
    return head[:-2] + f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def denied(intent: str, when: str) -> str:
    """One more denial in the configuration."""
    return f"items.burn]\n  - name: not so\n    when: {when}\n    intents: [{intent}"


async def asked(it: House, request: bytes) -> int:
    client = await it.connect()
    await client.send(request)
    answer = await client.answer()
    await client.close()
    return answer.status


async def test_a_condition_reads_the_body_and_the_upstream_gets_it_as_it_came(house: Build) -> None:
    """Spaces and order of members are those of the caller, and a body that does not meet the condition goes nowhere."""
    it = await house(**PAYMENTS)
    token = await it.token()
    good = b'{ "note":"x" ,\n "amount" : 100 }'
    assert await asked(it, post(token, body=good)) == 200
    assert await asked(it, post(token, body=b'{"amount": 101}')) == 403
    assert await asked(it, post(token, body=b'{"amount": "1"}')) == 403
    assert await asked(it, post(token, body=b'{"amount": 1, "amount": 1000}')) == 400
    assert await asked(it, post(token)) == 403
    assert [exchange.body for exchange in it.upstream.seen] == [good]


async def test_a_chunked_body_is_read_and_relayed_in_its_chunks(house: Build) -> None:
    """The framing is no part of what is read, and goes on as it came."""
    it = await house(**PAYMENTS)
    token = await it.token()
    body = b'2\r\n{"\r\n7;x=y\r\namount"\r\n3\r\n:1}\r\n0\r\n\r\n'
    assert await asked(it, post(token, "Transfer-Encoding: chunked", body=body)) == 200
    (seen,) = it.upstream.seen
    assert (seen.fields["transfer-encoding"], seen.body) == (["chunked"], b'{"amount":1}')


async def test_a_body_that_comes_in_pieces_is_waited_for(house: Build) -> None:
    """And who asks first whether to send it is invited, once."""
    it = await house(**PAYMENTS)
    client = await it.connect()
    body = b'{"amount": 7}'
    await client.send(post(await it.token(), "Expect: 100-continue", length=len(body)))
    assert (await client.answer()).status == 100
    for byte in body:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, body)


async def test_a_body_that_a_rule_reads_has_a_limit_of_its_own(house: Build) -> None:
    """More than is looked at is refused, whether announced, or found on the way, or hidden in a framing; less is relayed."""
    it = await house(**PAYMENTS)
    token = await it.token()
    large = b'{"amount": 1, "x": "' + b"x" * (90 * 1024) + b'"}'
    assert await asked(it, post(token, body=large)) == 200
    assert it.upstream.seen[0].body == large
    assert await asked(it, post(token, body=b"x", length=101 * 1024)) == 413
    whole = large + b" " * (20 * 1024)
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (whole[:60000], whole[60000:])) + b"0\r\n\r\n"
    assert await asked(it, post(token, "Transfer-Encoding: chunked", body=chunked)) == 413
    framing = b"00000000001\r\nx\r\n" * 20_000
    assert await asked(it, post(token, "Transfer-Encoding: chunked", body=framing)) == 413


async def test_a_body_that_a_rule_reads_has_to_come_in_time(house: Build) -> None:
    """A drip of bytes gains no time, and a caller that leaves meanwhile leaves its two records."""
    it = await house(**PAYMENTS)
    token = await it.token()
    client = await it.connect()
    await client.send(post(token, length=100))

    async def drip() -> None:
        while True:
            await client.send(b" ")
            await asyncio.sleep(0.2)

    dripping = asyncio.create_task(drip())
    assert (await client.answer()).status == 400
    dripping.cancel()
    gone = await it.connect()
    await gone.send(post(token, length=100))
    await gone.close()
    await it.stop()
    requests, responses = it.exchanges()
    assert len(requests) == len(responses) == 2
    assert {response["ending"] for response in responses} == {"refused", "client_gone"}


async def test_bodies_that_never_come_take_nothing_from_others(house: Build) -> None:
    """One agent's requests wait for their bodies in a bounded number; as they end others have their turn."""
    it = await house(**{**PAYMENTS, "gateway_limits": "{idle_timeout: 60s}"})
    token = await it.token()
    slow = [await it.connect() for _ in range(AWAITED)]
    for client in slow:
        await client.send(post(token, length=100))
    body = b'{"amount": 7}'
    while (await one_more(it, token)) != 503:
        await asyncio.sleep(0.01)
    assert await asked(it, post(token, body=body)) == 200, "what is here whole does not wait"
    await slow.pop().close()
    while (await one_more(it, token)) == 503:
        await asyncio.sleep(0.01)
    for client in slow:
        await client.close()
    await it.stop()
    requests, responses = it.exchanges()
    assert len(requests) == len(responses) > AWAITED


async def test_bodies_are_awaited_for_only_so_many_agents(house: Build) -> None:
    """All agents together are bounded as well, and what is over makes room."""
    it = await house(**PAYMENTS)
    token = await it.token()
    awaited = it.doorward.listener.awaited
    awaited["spiffe://acme.example/others"] = AWAITED_OF_ALL
    assert await one_more(it, token) == 503
    awaited["spiffe://acme.example/others"] -= 1
    assert await one_more(it, token) == 100
    while awaited.total() >= AWAITED_OF_ALL:
        await asyncio.sleep(0.01)
    assert len(awaited) == 1, "an agent that waits for nothing is forgotten"


async def one_more(it: House, token: str) -> int:
    """Ask with a body that comes late; 100 while it is waited for."""
    client = await it.connect()
    await client.send(post(token, "Expect: 100-continue", length=100))
    answer = await client.answer()
    if answer.status == 100:
        await client.send(b" ")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                answer = await client.answer()
    await client.close()
    return answer.status


async def test_what_no_rule_reads_is_not_held(house: Build) -> None:
    """An operation of another intent on the same upstream takes any body."""
    it = await house(denied=denied("items.read", "request.json.amount > 5"))
    assert await asked(it, post(await it.token(), body=b"\xff no json")) == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-7"])
async def test_a_denial_that_reads_json_is_not_dodged_by_another_type(house: Build, kind: str) -> None:
    """What cannot be read as the rule reads it is refused."""
    it = await house(denied=denied("items.write", "has(request.json.admin)"))
    token = await it.token()
    body = b'{"admin": true}'
    assert await asked(it, post(token, body=body)) == 403
    assert await asked(it, post(token, body=body).replace(b"application/json", kind.encode())) == 400
    assert await asked(it, post(token, body=b'{"x": true}')) == 200


async def test_a_token_that_is_over_before_its_body_is_here_opens_nothing(house: Build) -> None:
    """What was waited for changes nothing: revoked or expired meanwhile, the request is refused, whoever renews the task."""
    clock = SetClock()
    it = await house(clock=clock, gateway_limits="{inspect: 100KiB}", declare=PAYMENTS["declare"])
    issued = await it.issue("items.read", "items.write")
    assert (
        await asked(it, post(issued["access_token"], body=b'{"amount": 1}')) == 200
    )  # which leaves a connection to the upstream
    for expire in (True, False):
        token = (await it.issue(task=issued["task"]))["access_token"]
        client = await it.connect()
        body = b'{"amount": 7}'
        await client.send(post(token, "Expect: 100-continue", length=len(body)))
        assert (await client.answer()).status == 100
        if expire:
            clock.ahead += 200
            await it.issue(task=issued["task"])
            clock.ahead += 101
        else:
            assert await it.tell(f"/tasks/{issued['task']}/complete") == 200
        await client.send(body)
        assert (await client.answer()).status == 401
    assert len(it.upstream.seen) == 1
