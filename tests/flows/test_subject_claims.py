"""Claims of the subject in conditions of requests, on real sockets: of whoever the task was opened for, and of nobody else."""

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.house import Build, House, get

from gateway.authority.keys import SigningKey
from gateway.identity.provider import JWT_TYPE

ISSUER = "https://issuer.flows.test"
ANN, CLERK = "spiffe://flows.test/sa/ann", "spiffe://flows.test/sa/clerk"
GRANTS = f"""required
  - name: the items of whom it is for
    agents: [{CLERK}]
    intents: [items.read]
    start: {{by: [{ANN}]}}
    when: path.id in subject.claims.items
  - name: own items
    agents: [{CLERK}]
    intents: [items.write]
    when: path.id in subject.claims.items"""
DENIED = """items.burn]
  - name: nobody works for who has left
    intents: [items.read]
    when: has(subject.claims.state) && subject.claims.state != "employed"
  - name: last
    intents: [items.burn"""


class People:
    """Ann and the clerk, known by an issuer, and a Doorward that asks for what their tokens say of them."""

    def __init__(self, door: House, key: SigningKey) -> None:
        self.door, self.key = door, key

    def identity(self, name: str, claims: dict[str, Any]) -> str:
        now = int(self.door.clock.now())
        common = {"iss": ISSUER, "aud": "doorward", "sub": name, "name": name, "iat": now, "exp": now + 600}
        return jwt.encode({**common, **claims}, self.key.private, "ES256", headers={"kid": self.key.kid})

    async def task(self, intent: str, clerk: dict[str, Any], ann: dict[str, Any] | None = None, **extra: str) -> dict[str, Any]:
        """The clerk's task, on behalf of Ann if her claims are given."""
        own = self.identity("clerk", clerk)
        form = {"subject_token": own, "subject_token_type": JWT_TYPE}
        if ann is not None:
            actor = {"actor_token": own, "actor_token_type": JWT_TYPE}
            form = {"subject_token": self.identity("ann", ann), "subject_token_type": JWT_TYPE, **actor}
        return await self.door.issue(*[intent] if intent else [], **form, **extra)

    async def below(self, above: dict[str, Any], clerk: dict[str, Any]) -> dict[str, Any]:
        """A task of the clerk's below another one."""
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        shown = {"client_assertion_type": kind, "client_assertion": self.identity("clerk", clerk)}
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return await self.door.issue("items.read", subject_token=above["access_token"], subject_token_type=kind, **shown)

    async def asked(self, task: dict[str, Any], request: str, intent: str) -> tuple[int, str | None]:
        client = await self.door.connect()
        method, _, path = request.partition(" ")
        await client.send(get(f"/api{path}", task["access_token"], intent, "Content-Length: 0", method=method))
        answer = await client.answer()
        return answer.status, None if answer.status == 200 else answer.problem["code"]


async def made(house: Build, folder: Path) -> People:
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    (folder / "jwks.json").write_text(json.dumps(dict(key.jwks())))
    agent = '"spiffe://flows.test/sa/" + segment(claims.name)'
    rule = {"oidc": {"issuer": ISSUER, "audience": "doorward", "jwks": {"file": "jwks.json"}, "agent": agent}}
    rule["mints"] = "spiffe://flows.test/sa/*"
    door = await house(identities=f"people: {json.dumps(rule)}", declare=GRANTS, denied=DENIED)
    return People(door, key)


async def test_a_request_is_compared_with_the_claims_of_whom_it_is_for(house: Build, tmp_path: Path) -> None:
    """Those of the subject, never those of the agent that works for it; in a task of its own the agent is the subject."""
    people = await made(house, tmp_path)
    task = await people.task("items.read", {"items": ["7"]}, {"items": ["1", "2"]})
    assert await people.asked(task, "GET /items/1", "items.read") == (200, None)
    assert await people.asked(task, "GET /items/1", "items.read") == (200, None)
    assert await people.asked(task, "GET /items/7", "items.read") == (403, "condition_failed")
    own = await people.task("items.write", {"items": ["7"]})
    assert await people.asked(own, "PUT /items/7", "items.write") == (200, None)
    assert await people.asked(own, "PUT /items/1", "items.write") == (403, "condition_failed")


async def test_what_cannot_be_judged_refuses(house: Build, tmp_path: Path) -> None:
    """A claim that the subject has not got, or of another type; a denial then applies."""
    people = await made(house, tmp_path)
    for ann in ({}, {"items": "1"}, {"items": {}}):
        task = await people.task("items.read", {}, ann)
        assert await people.asked(task, "GET /items/1", "items.read") == (403, "condition_failed")
    for state, code in (("left", "denied"), (1, "denied"), ("employed", None)):
        task = await people.task("items.read", {}, {"items": ["1"], "state": state})
        assert (await people.asked(task, "GET /items/1", "items.read"))[1] == code


async def test_claims_are_those_that_the_task_was_opened_with(house: Build, tmp_path: Path) -> None:
    """A later token of the task carries them still, and a task below it; nobody gains by another proof of identity."""
    people = await made(house, tmp_path)
    task = await people.task("items.read", {}, {"items": ["1"]})
    later = await people.task("", {}, {"items": ["2"]}, task=task["task"])
    below = await people.below(later, {"items": ["2"]})
    assert below["task"] != task["task"]
    for each in (later, below):
        assert await people.asked(each, "GET /items/1", "items.read") == (200, None)
        assert await people.asked(each, "GET /items/2", "items.read") == (403, "condition_failed")


async def test_of_a_claim_that_nobody_asked_for_in_time_a_denial_believes_nothing(house: Build, tmp_path: Path) -> None:
    """A task that was opened before any condition read a claim does not know it; nor do its later tokens and those below."""
    people = await made(house, tmp_path)
    before = await people.task("items.read", {}, {"items": ["1"], "left": True})
    settings = people.door.folder / "doorward.yaml"
    rule = "  - {name: no leavers, intents: [items.*], when: 'request.path == \"/items/1\" && has(subject.claims.left)'}\n"
    settings.write_text(settings.read_text().replace("denials:\n", "denials:\n" + rule))
    assert people.door.doorward.reload is not None
    await people.door.doorward.reload.again(by="test", confirmed=True)
    later = await people.task("", {}, {"items": ["1"]}, task=before["task"])
    below = await people.below(later, {})
    for each in (before, later, below):
        assert await people.asked(each, "GET /items/1", "items.read") == (403, "denied")
        assert await people.asked(each, "GET /items/2", "items.read") == (403, "condition_failed")
    for claims, code in (({"left": True}, "denied"), ({}, None)):
        after = await people.task("items.read", {}, {"items": ["1"], **claims})
        assert (await people.asked(after, "GET /items/1", "items.read"))[1] == code
        assert (await people.asked(await people.below(after, {}), "GET /items/1", "items.read"))[1] == code


async def test_what_policy_does_not_read_goes_nowhere(house: Build, tmp_path: Path) -> None:
    """Neither into the token nor the store; and what it reads is in no record."""
    people = await made(house, tmp_path)
    task = await people.task("items.read", {}, {"items": ["1"], "email": "ann@private.test", "state": "employed"})
    said = jwt.decode(task["access_token"].removeprefix("dwt_"), options={"verify_signature": False})
    assert said["subject_claims"] == {"items": ["1"], "state": "employed"}
    assert await people.asked(task, "GET /items/1", "items.read") == (200, None)
    await people.door.stop()
    kept = b"".join(file.read_bytes() for file in people.door.folder.glob("doorward.db*"))
    assert b"employed" in kept
    assert b"ann@private.test" not in kept
    records = [json.dumps(record) for record in people.door.records() if record["type"] != "config"]
    assert sum('"decision": "allow"' in record for record in records) == 1
    assert not any("employed" in record or "private.test" in record for record in records)
