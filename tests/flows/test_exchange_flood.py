"""A stranger floods the authority with assertions that are not accepted, and every valid exchange is served all the same."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.house import Build, House

from gateway.authority.keys import SigningKey

ISSUER = "https://issuer.test"
HEAD = "POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n"
STRANGER = "127.0.0.2"
VALID, LANES = 300, 20
FLOODING = 40


class Caller:
    """One kept connection to the authority, from an address of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, source: str) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def exchange(self, token: str) -> tuple[int, dict]:
        body = urlencode({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": "items.read", "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        })  # fmt: skip
        self.writer.write((HEAD.format(len(body)) + body).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head[9:12]), json.loads(await self.reader.readexactly(length))


def tokens(door: House, key: SigningKey) -> tuple[str, list[str]]:
    """One identity token that is accepted, and some that are not, each for a reason of its own."""
    now = int(door.clock.now())
    claims = {"iss": ISSUER, "aud": "doorward", "sub": "a", "name": "agent", "iat": now, "exp": now + 600}

    def signed(by: SigningKey = key, **changes: object) -> str:
        return jwt.encode({**claims, **changes}, by.private, "ES256", headers={"kid": key.kid})

    other = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    bad = [
        "a.b.c",
        signed(iss="https://elsewhere.test"),
        signed(aud="elsewhere"),
        signed(exp=now - 60),
        signed(other),
        signed(name="../root"),
        signed() + "A",
    ]
    return signed(), bad


async def test_a_flood_of_bad_assertions_leaves_valid_exchanges_served(house: Build, tmp_path: Path) -> None:
    """Every valid one gets its token, no bad one does, and the authority still knows both when it is over."""
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "jwks.json").write_text(json.dumps(dict(key.jwks())))
    oidc = {"issuer": ISSUER, "audience": "doorward", "jwks": {"file": "jwks.json"}}
    rule = {"oidc": {**oidc, "agent": '"spiffe://flows.test/sa/" + segment(claims.name)'}, "mints": "spiffe://flows.test/sa/*"}
    door = await house(
        authority="listen: [127.0.0.1:0, unix:authority.sock]\n  issuer: http://authority.test",
        identities=f"many: {json.dumps(rule)}",
        declare="required\n  - name: many agents\n    agents: [spiffe://flows.test/sa/*]\n    intents: [items.read]",
    )
    (port,) = door.doorward.authority_ports
    good, bad = tokens(door, key)
    left = iter(range(VALID))
    over = asyncio.Event()
    answered: Counter[int] = Counter()
    refused: Counter[str] = Counter()

    async def agent() -> None:
        caller = await Caller.connect(port, "127.0.0.1")
        for _ in left:
            status, members = await caller.exchange(good)
            answered[status] += "access_token" in members
        caller.writer.close()

    async def stranger(number: int) -> None:
        caller = await Caller.connect(port, STRANGER)
        while not over.is_set():
            status, members = await caller.exchange(bad[number % len(bad)])
            refused[f"{status} {members['error']}"] += 1
            number += 1
        caller.writer.close()

    floods = [asyncio.create_task(stranger(number)) for number in range(FLOODING)]
    await asyncio.gather(*(agent() for _ in range(LANES)))
    over.set()
    await asyncio.gather(*floods)
    assert answered == {200: VALID}
    assert set(refused) <= {"400 invalid_request", "429 too_many_failures"}
    assert sum(refused.values()) >= FLOODING
