"""Opening and renewing tasks: what is asked, stored and recorded before a token is given."""

import asyncio
from pathlib import Path

import jwt
import pytest
from fakes.authority import AGENT, NOW, OTHER, Gateway, Grants, Log, StillClock, build_authority, identity

from gateway.authority.authority import Authority
from gateway.authority.exchange import INTENTS, SCOPE_LENGTH
from gateway.authority.refused import RefusedError
from gateway.errors import Refusal
from gateway.stores.store import StoreUnavailableError, TaskFilter


def claims_of(authority: Authority, token: str) -> dict[str, object]:
    """The claims as a gateway would verify them."""
    return jwt.decode(
        token.removeprefix("dwt_"),
        authority.keys.current.private.public_key(),
        algorithms=["ES256"],
        audience="doorward",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )


async def refusal(work: object) -> str:
    """The code with which the authority refuses."""
    with pytest.raises(RefusedError) as error:
        await work
    return error.value.code


async def test_the_token_holds_what_the_design_says(authority: Authority):
    """Header and claims of a task token (design §6, RFC 9068 §2)."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read", "invoices.write", "invoices.read"])
    assert issued.token.startswith("dwt_")
    assert jwt.get_unverified_header(issued.token[4:]) == {"typ": "at+jwt", "alg": "ES256", "kid": authority.keys.current.kid}
    claims = claims_of(authority, issued.token)
    assert len(claims.pop("jti")) == 32
    assert len(claims.pop("epoch")) == 32
    assert claims == {
        "iss": "http://127.0.0.1:8081", "aud": "doorward", "sub": AGENT, "act": {"sub": AGENT}, "client_id": AGENT,
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "txn": issued.task, "task_iat": NOW, "tenant": "acme",
        "scope": "invoices.read invoices.write", "policy": "a1b2c3",
        "authorization_details": [{"type": "agent_task", "intents": ["invoices.read", "invoices.write"]}],
    }  # fmt: skip
    assert (issued.intents, issued.lifetime) == (("invoices.read", "invoices.write"), 300)
    assert issued.token not in repr(issued)


async def test_opening_is_stored_and_recorded(authority: Authority, log: Log):
    """Before the token is handed over, the task is in the store and both records are in the log, without the token."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    task = await authority.tasks.show(issued.task)
    assert (task.agent, task.state, task.intents, task.ends) == (AGENT, "open", ("invoices.read",), NOW + 28800)
    assert [(kind, members["event"]) for kind, members in log.records] == [("task", "opened"), ("token", "issued")]
    assert issued.token not in str(log.records)
    assert await authority.tasks.live_token(issued.token) is not None


async def test_what_policy_does_not_grant_is_refused(authority: Authority, log: Log):
    """Nothing is opened, and the sentence names the intent."""
    with pytest.raises(RefusedError) as error:
        await authority.exchange.open_task(identity(OTHER), ["invoices.read", "invoices.write"])
    assert error.value.code == "invalid_scope"
    assert "invoices.write" in error.value.sentence
    assert await authority.tasks.page(TaskFilter()) == ()
    assert not log.records


async def test_intents_are_needed_and_bounded(authority: Authority, grants: Grants):
    """No intent, too many and too long ones are refused before policy is asked."""
    many = [f"i{number}" for number in range(INTENTS + 1)]
    long = ["x" * 1000, "y" * 1000, "z" * (SCOPE_LENGTH - 1999)]
    grants.intents[AGENT] = {*many, *long}
    for intents in ([], many, long):
        assert await refusal(authority.exchange.open_task(identity(), intents)) == "invalid_scope"
    await authority.exchange.open_task(identity(), many[:-1])


async def test_a_token_that_no_gateway_would_read_is_refused(authority: Authority, grants: Grants):
    """The size of the whole token is bounded, whatever it is that makes it long."""
    agent = "spiffe://acme.example/" + "a" * 1900
    grants.intents[agent] = {"x" * 1900}
    assert await refusal(authority.exchange.open_task(identity(agent), ["x" * 1900])) == "invalid_scope"
    assert await authority.tasks.page(TaskFilter()) == ()


@pytest.mark.parametrize(("ttl", "lifetime"), [(None, 300), (60.0, 60), (600.0, 600), (5000.0, 900)])
async def test_the_life_of_a_token(authority: Authority, grants: Grants, ttl: float | None, lifetime: int):
    """The grant's ttl, else the default, never above the authority's maximum."""
    grants.ttl = ttl
    assert (await authority.exchange.open_task(identity(), ["invoices.read"])).lifetime == lifetime


async def test_a_token_never_outlives_its_identity(authority: Authority):
    """The expiry of the identity caps the token's, and an identity at its end gives none."""
    issued = await authority.exchange.open_task(identity(expires=NOW + 42.9), ["invoices.read"])
    assert claims_of(authority, issued.token)["exp"] == NOW + 42
    renewed = await authority.exchange.renew(identity(expires=NOW + 7), issued.task, [])
    assert renewed.lifetime == 7
    assert await refusal(authority.exchange.open_task(identity(expires=NOW + 0.9), ["invoices.read"])) == "invalid_request"


async def test_renewing_gives_one_more_token_of_the_task(authority: Authority, clock: StillClock, log: Log):
    """Another jti, the same task and its opening time, all intents or fewer; recorded as renewed."""
    first = await authority.exchange.open_task(identity(), ["invoices.read", "invoices.write"])
    clock.seconds += 200
    again = await authority.exchange.renew(identity(), first.task, [])
    narrow = await authority.exchange.renew(identity(), first.task, ["invoices.read"])
    claims = claims_of(authority, again.token)
    assert (claims["txn"], claims["task_iat"], claims["exp"]) == (first.task, NOW, NOW + 500)
    assert (again.intents, narrow.intents) == (("invoices.read", "invoices.write"), ("invoices.read",))
    assert len({claims_of(authority, token.token)["jti"] for token in (first, again, narrow)}) == 3
    assert [members["event"] for members in log.of("token")] == ["issued", "renewed", "renewed"]


async def test_renewing_asks_policy_again(authority: Authority, grants: Grants):
    """A grant that is gone since the task was opened gives no further token."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read", "invoices.write"])
    grants.intents[AGENT] = {"invoices.read"}
    assert await refusal(authority.exchange.renew(identity(), issued.task, [])) == "invalid_scope"
    assert (await authority.exchange.renew(identity(), issued.task, ["invoices.read"])).intents == ("invoices.read",)


async def test_a_task_never_widens(authority: Authority):
    """An intent that the task was not opened with is refused, even if policy would grant it."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    assert (
        await refusal(authority.exchange.renew(identity(), issued.task, ["invoices.read", "invoices.write"])) == "invalid_scope"
    )


async def test_another_agents_task_looks_unknown(authority: Authority):
    """Who asks for a task that is not its own learns nothing of it."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    sentences = []
    for task in (issued.task, "f" * 32):
        with pytest.raises(RefusedError) as error:
            await authority.exchange.renew(identity(OTHER), task, [])
        sentences.append((error.value.code, error.value.sentence))
    assert sentences[0] == sentences[1]
    assert sentences[0][0] == "invalid_grant"


async def test_a_task_is_not_renewed_past_its_life(tmp_path: Path, clock: StillClock, log: Log, grants: Grants):
    """The last token ends with the task, and then there is none."""
    authority = await build_authority(tmp_path, clock, log, grants, max_task="20m")
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    clock.seconds = NOW + 1100
    last = await authority.exchange.renew(identity(), issued.task, [])
    assert claims_of(authority, last.token)["exp"] == NOW + 1200
    clock.seconds = NOW + 1199.5
    assert await refusal(authority.exchange.renew(identity(), issued.task, [])) == "invalid_request"
    clock.seconds = NOW + 1200
    assert await refusal(authority.exchange.renew(identity(), issued.task, [])) == "invalid_grant"
    assert await authority.tasks.live_token(last.token) is None
    await authority.stop()


async def test_an_ended_task_is_not_renewed(authority: Authority):
    """The sentence says how the task has ended."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.tasks.complete(issued.task, AGENT)
    with pytest.raises(RefusedError, match="invalid_grant") as error:
        await authority.exchange.renew(identity(), issued.task, [])
    assert "completed" in error.value.sentence


async def test_renewals_race_with_the_end(authority: Authority):
    """However they interleave, no token lives after the end of its task, and the gateways know until the last expiry."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])

    async def renew() -> str | None:
        try:
            return (await authority.exchange.renew(identity(), issued.task, [])).token
        except RefusedError:
            return None

    early = [asyncio.ensure_future(renew()) for _ in range(50)]
    await asyncio.sleep(0.005)
    end = asyncio.ensure_future(authority.tasks.revoke(issued.task, "alice"))
    late = [asyncio.ensure_future(renew()) for _ in range(50)]
    tokens = [token for token in await asyncio.gather(*early, *late) if token]
    await end
    assert tokens
    assert [await authority.tasks.live_token(token) for token in tokens] == [None] * len(tokens)
    assert gateway.of("revoked") == [("revoked", 1, f"task:{issued.task}")]
    assert await renew() is None


@pytest.mark.parametrize("kind", ["task", "token"])
async def test_nothing_is_issued_unrecorded(authority: Authority, log: Log, kind: str):
    """While the log cannot take a record, nothing is opened for long, and no token is given."""
    log.refused = {kind}
    with pytest.raises(Refusal, match="audit_unavailable"):
        await authority.exchange.open_task(identity(), ["invoices.read"])
    (task,) = await authority.tasks.page(TaskFilter())
    assert task.state == "failed"


async def test_nothing_is_renewed_unrecorded(authority: Authority, log: Log):
    """The task lives on, and can be renewed when the log is back."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    log.full = True
    with pytest.raises(Refusal, match="audit_unavailable"):
        await authority.exchange.renew(identity(), issued.task, [])
    log.full = False
    await authority.exchange.renew(identity(), issued.task, [])


async def test_without_its_store_nothing_is_issued(authority: Authority, tmp_path: Path, log: Log):
    """A store that is gone refuses, and leaves no record of what did not happen."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    before = len(log.records)
    (tmp_path / "store/doorward.db").rename(tmp_path / "away")
    with pytest.raises(StoreUnavailableError):
        await authority.exchange.open_task(identity(), ["invoices.read"])
    with pytest.raises(StoreUnavailableError):
        await authority.exchange.renew(identity(), issued.task, [])
    assert len(log.records) == before


async def test_tokens_survive_a_restart(tmp_path: Path, clock: StillClock, log: Log, grants: Grants):
    """Key, epoch and tasks are those of before; a store in memory forgets them all."""
    for store, lives in (("store/doorward.db", True), ("memory", False)):
        first = await build_authority(tmp_path, clock, log, grants, store=store)
        issued = await first.exchange.open_task(identity(), ["invoices.read"])
        await first.stop()
        second = await build_authority(tmp_path, clock, log, grants, store=store)
        assert (await second.tasks.live_token(issued.token) is not None) == lives
        await second.stop()
