"""Every refusal that a caller can provoke: status, code and remedy, and that the upstream hears nothing of it."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.clock import TurnedClock
from fakes.house import AGENT, SECRET, Build, House, RawClient, ScriptedUpstream, get

from gateway.authority.keys import SigningKey
from gateway.errors import PROBLEMS


def signing_key(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, str]:
    """The authority's own key, to make tokens that differ from its own in one point."""
    kept = json.loads((folder / "keys" / "signing.json").read_text())
    made = SigningKey.from_pem(kept["current"]["private"].encode())
    assert isinstance(made.private, ec.EllipticCurvePrivateKey)
    return made.private, made.kid


def unsigned(token: str) -> tuple[dict, dict]:
    header, claims, _ = token.removeprefix("dwt_").split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims))


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hmac_token(header: dict, claims: dict, secret: bytes) -> str:
    """A JWT signed with HMAC over any bytes: libraries refuse to make this one."""
    body = f"{b64(json.dumps({**header, 'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"dwt_{body}.{b64(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


async def refusal(door: House, request: bytes) -> tuple[int, str, dict, RawClient]:
    client = await door.connect()
    await client.send(request)
    answer = await client.answer()
    problem = answer.problem
    assert answer.fields["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status == PROBLEMS[problem["code"]].status
    assert all((problem["title"], problem["detail"], problem["remedy"]))
    assert problem["type"].endswith("#" + problem["code"])
    assert SECRET not in answer.body.decode()
    assert "dwt_ey" not in answer.body.decode()
    return answer.status, problem["code"], answer.fields, client


async def test_each_kind_of_bad_token_is_401(house: Build) -> None:
    """Wrong key, algorithm, type, issuer, audience, form or claim: none of them is taken for a token of ours."""
    door = await house()
    good = await door.token()
    key, kid = signing_key(door.folder)
    header, claims = unsigned(good)
    foreign = ec.generate_private_key(ec.SECP256R1())
    body = good.removeprefix("dwt_").rsplit(".", 1)[0]

    def made(
        by: ec.EllipticCurvePrivateKey = key, *, headers: dict | None = None, without: tuple[str, ...] = (), **changes: object
    ) -> str:
        changed = {name: value for name, value in {**claims, **changes}.items() if name not in without}
        return "dwt_" + jwt.encode(changed, by, "ES256", headers={**header, **(headers or {})})

    none = b64(json.dumps({"alg": "none", "typ": "at+jwt", "kid": kid}).encode())
    tokens = {
        "another key": made(foreign),
        "another key under its own kid": made(foreign, headers={"kid": "x"}),
        "foreign issuer": made(iss="https://evil.example"),
        "another audience": made(aud="other"),
        "no audience": made(without=("aud",)),
        "audience is a number": made(aud=3),
        "not a task token": made(headers={"typ": "JWT"}),
        "an identity token": made(headers={"typ": "dpop+jwt"}),
        "alg none": f"dwt_{none}.{body.split('.')[1]}.",
        "alg none, with a signature": f"dwt_{none}.{body.split('.')[1]}.AAAA",
        "alg nOnE": f"dwt_{b64(json.dumps({**header, 'alg': 'nOnE'}).encode())}.{body.split('.')[1]}.AAAA",
        "HS256 with the public key": hmac_token(header, claims, public_pem(key)),
        "unknown critical extension": made(headers={"crit": ["x"], "x": 1}),
        "brings its own key": made(headers={"jku": "https://evil.example/jwks"}),
        "kid is a path": made(headers={"kid": "../../etc/passwd"}),
        "not valid yet": made(nbf=int(time.time()) + 3600),
        "expiry is a string": made(exp="never"),
        "expiry is a boolean": made(exp=True),
        "no expiry": made(without=("exp",)),
        "no agent": made(without=("act",)),
        "agent is no object": made(act="x"),
        "no task": made(without=("txn",)),
        "another epoch": made(epoch="before the flood"),
        "bound to a key": made(cnf={"jkt": "x"}),
        "signature cut": good[:-4],
        "one bit of the signature": good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:],
        "without its prefix": good.removeprefix("dwt_"),
        "not a token": "dwt_hello",
        "too long": "dwt_" + "a" * 9000,
    }
    for kind, token in tokens.items():
        status, code, fields, _ = await refusal(door, get("/api/items", token))
        assert (status, code) == (401, "token_invalid"), kind
        assert fields["www-authenticate"].startswith('DPoP realm="doorward", algs=')
    assert door.upstream.seen == []
    client = await door.connect()
    await client.send(get("/api/items", made(aud=["x", "doorward"])))
    assert (await client.answer()).status == 200


async def test_a_missing_token_is_challenged_without_an_error(house: Build) -> None:
    """RFC 6750 §3.1: no error code when no credentials came."""
    door = await house()
    status, code, fields, _ = await refusal(door, get("/api/items", None))
    assert (status, code) == (401, "token_missing")
    assert "error" not in fields["www-authenticate"]


async def test_a_token_dies_at_its_expiry(house: Build) -> None:
    """Expiry is checked on every request, for remembered tokens too, and without leeway."""
    clock = TurnedClock()
    door = await house(clock=clock)
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).status == 200
    clock.ahead = 301
    await door.fresh()
    assert (await refusal(door, get("/api/items", token)))[:2] == (401, "token_expired")


async def test_a_token_dies_with_its_task(house: Build) -> None:
    """Completed, failed or revoked: the very next request is refused."""
    door = await house()
    for path, socket in (("complete", "authority.sock"), ("fail", "authority.sock"), ("revoke", "admin.sock")):
        issued = await door.issue("items.read")
        client = await door.connect()
        await client.send(get("/api/items", issued["access_token"]))
        assert (await client.answer()).status == 200
        assert await door.tell(f"/tasks/{issued['task']}/{path}", socket) == 200
        assert (await refusal(door, get("/api/items", issued["access_token"])))[:2] == (401, "token_revoked")


async def test_a_token_of_another_tenant_is_refused(house: Build) -> None:
    """Even with a good signature: the tenant comes from the configuration."""
    door = await house()
    key, _ = signing_key(door.folder)
    header, claims = unsigned(await door.token())
    foreign = "dwt_" + jwt.encode({**claims, "tenant": "other"}, key, "ES256", headers=header)
    assert (await refusal(door, get("/api/items", foreign)))[:2] == (403, "tenant_mismatch")


async def test_each_mismatch_of_intent_has_its_code(house: Build) -> None:
    """What the caller declares, what the token carries, what the operation is and what policy says must agree."""
    door = await house()
    reading = await door.token("items.read")
    cases = [
        (get("/api/items", reading, None), "intent_missing"),
        (get("/api/items", reading, "items.write"), "intent_not_granted"),
        (get("/api/items", reading, "no.such"), "intent_not_granted"),
        (get("/api/items", reading, "items.read", method="POST"), "intent_mismatch"),
        (get("/api/other", reading), "intent_mismatch"),
        (get("/api/items/", reading), "intent_mismatch"),
        (get("/api/items", reading, "items.read, items.write"), "intent_malformed"),
        (get("/api/items", reading, "items.read", "Agent-Intent: items.read"), "intent_malformed"),
        (get("/other/items", reading), "upstream_unknown"),
        (get("/apix/items", reading), "upstream_unknown"),
        (get("/", reading), "upstream_unknown"),
    ]
    for request, code in cases:
        assert (await refusal(door, request))[1] == code, request
    assert door.upstream.seen == []


async def test_a_denial_beats_every_grant(house: Build) -> None:
    """A denied intent is neither issued nor served, whatever is declared."""
    door = await house(denied="items.write")
    key, _ = signing_key(door.folder)
    header, claims = unsigned(await door.token("items.read"))
    laundered = "dwt_" + jwt.encode({**claims, "scope": "items.read items.write"}, key, "ES256", headers=header)
    assert (await refusal(door, get("/api/items", laundered, "items.write", method="POST")))[1] == "denied"


async def test_an_undeclared_intent_can_be_implied(house: Build) -> None:
    """With `declare: implied` the one fitting intent of the token is taken, and the record says nothing was declared."""
    door = await house(declare="implied")
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), None))
    assert (await client.answer()).status == 200
    await door.stop()
    ((request,), _) = door.exchanges()
    assert request["intent"] == {"declared": None, "observed": ["items.read"], "reason": None, "tool": None}


async def test_heads_and_bodies_have_limits(house: Build) -> None:
    """Too large, too many, too long: each has its status, and the connection ends where bytes are left over."""
    door = await house(gateway_limits="{head: 2KiB, headers: 20, body: 1KiB}")
    token = await door.token()
    assert (await refusal(door, get("/api/items", token, "items.read", "X: " + "a" * 3000)))[:2] == (431, "head_too_large")
    assert (await refusal(door, get("/api/items", token, "items.read", *["X: a"] * 30)))[:2] == (431, "head_too_large")
    announced = get("/api/items", token, "items.write", "Content-Length: 1025", method="POST")
    _, code, fields, client = await refusal(door, announced)
    assert (code, fields["connection"]) == ("body_too_large", "close")
    assert await client.ended()
    chunked = get("/api/items", token, "items.write", "Transfer-Encoding: chunked", method="POST")
    assert (await refusal(door, chunked + b"500\r\n" + b"a" * 0x500 + b"\r\n"))[1] == "body_too_large"
    assert (await refusal(door, chunked + b"zz\r\n"))[1] == "request_malformed"
    assert (await refusal(door, get("/api/items", token, method="TRACE")))[:2] == (405, "method_refused")


async def test_a_bare_line_feed_is_refused_at_once(house: Build) -> None:
    """A head that no strict reader would ever see the end of is not waited for."""
    door = await house()
    assert (await refusal(door, b"GET /api/items HTTP/1.1\nHost: x\n\n"))[1] == "request_malformed"


async def test_an_upstream_bears_only_so_much_at_once(house: Build) -> None:
    """`limits.concurrent` answers 429 with Retry-After, and gives the place back."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        await release.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    door = await house(script, upstream="limits: {concurrent: 1}")
    token = await door.token()
    first = await door.connect()
    await first.send(get("/api/items", token))
    while not door.upstream.seen:
        await asyncio.sleep(0.01)
    _, code, fields, client = await refusal(door, get("/api/items", token))
    assert (code, fields["retry-after"]) == ("limit_exceeded", "1")
    release.set()
    assert (await first.answer()).status == 204
    await client.send(get("/api/items", token))
    assert (await client.answer()).status == 204


async def test_an_ended_exception_stops_its_credential(house: Build) -> None:
    """Past the last day of the exception, and past the grace after a missed review, requests are refused."""
    clock = TurnedClock()
    door = await house(clock=clock)
    clock.ahead = 45 * 86400.0
    await door.fresh()
    token = await door.token()
    assert (await refusal(door, get("/api/items", token)))[:2] == (503, "credential_expired")
    assert door.upstream.seen == []


async def test_a_credential_that_cannot_be_had_is_never_left_out(house: Build, tmp_path: Path) -> None:
    """An empty or unfit secret refuses the request instead of forwarding it bare."""
    (tmp_path / "secret").write_text("two\nlines\n")
    door = await house()
    assert (await refusal(door, get("/api/items", await door.token())))[:2] == (503, "credential_unavailable")
    assert door.upstream.seen == []


async def test_a_changed_secret_file_is_picked_up(house: Build) -> None:
    """A mounted secret that is exchanged reaches the next requests without a restart, as another version."""
    clock = TurnedClock()
    door = await house(clock=clock)
    client = await door.connect()
    token = await door.token()
    await client.send(get("/api/items", token))
    await client.answer()
    (door.folder / "secret").write_text("another-secret-0123456789")
    clock.ahead = 2
    await client.send(get("/api/items", token))
    await client.answer()
    assert [seen.fields["x-api-key"] for seen in door.upstream.seen] == [[SECRET], ["another-secret-0123456789"]]
    await door.stop()
    _, responses = door.exchanges()
    assert len({record["credential"]["version"] for record in responses}) == 2


async def test_without_heartbeats_nothing_is_accepted(house: Build) -> None:
    """A gateway that cannot tell what was revoked refuses, and recovers with the next heartbeat."""
    clock = TurnedClock()
    door = await house(clock=clock)
    token = await door.token()
    feed, standing = door.doorward.authority.feed, door.doorward.standing
    feed.unsubscribe(standing)
    clock.ahead = 11
    assert (await refusal(door, get("/api/items", token)))[:2] == (503, "revocations_stale")
    await feed.subscribe(standing)
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).status == 200


async def test_what_is_refused_is_recorded_with_what_is_known(house: Build) -> None:
    """A refusal after authentication names agent, task and intent; before it, only the request."""
    door = await house()
    await refusal(door, get("/api/items", None, 'items.read;reason="x"'))
    issued = await door.issue("items.read")
    await refusal(door, get("/api/items/9", issued["access_token"], method="DELETE"))
    await door.stop()
    requests, responses = door.exchanges()
    unknown, known = requests
    assert (unknown["code"], unknown["agent"], unknown["task"]) == ("token_missing", None, None)
    assert (known["code"], known["agent"], known["task"]) == ("denied", AGENT, issued["task"])
    assert known["intent"] == {"declared": "items.read", "observed": ["items.burn"], "reason": None, "tool": None}
    assert [record["ending"] for record in responses] == ["refused", "refused"]


@pytest.mark.parametrize("target", ["/api/../admin", "/api/%2e%2e/admin", "/api//items", "/api/items%2f1", "/api\\items"])
async def test_a_path_of_two_meanings_never_reaches_policy(house: Build, target: str) -> None:
    """Path confusion ends at the door."""
    door = await house()
    assert (await refusal(door, get(target, await door.token())))[1] == "request_malformed"
    assert door.upstream.seen == []
