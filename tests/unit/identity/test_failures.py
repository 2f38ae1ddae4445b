"""Failed proofs are counted by source before any signature is verified, and nobody else pays for them."""

from pathlib import Path
from typing import Any

import pytest
from fakes.signed_identities import Signed, cluster

from gateway.identity import jose
from gateway.identity.failures import ALLOWANCE, GOOD, REFILL, SOURCES, Failures
from gateway.identity.identify import Identities, Minter
from gateway.identity.kept import STALE
from gateway.identity.provider import IdentityHeldError, IdentityRefusedError, IdentityUnavailableError, Presented, Tools
from gateway.model import AgentPattern


@pytest.fixture
def signed(tmp_path: Path, tools: Tools) -> Signed:
    """An issuer."""
    return cluster(tmp_path, tools)


@pytest.fixture
def identities(signed: Signed, clock: Any) -> Identities:
    """That takes its tokens, and counts."""
    minter = Minter(signed.provider, (AgentPattern.parse("spiffe://cluster.example/*"),))
    return Identities({"cluster": minter}, Failures(clock))


def shown(signed: Signed, token: str, source: str | None = "192.0.2.1") -> Presented:
    return Presented(token, signed.token_type, source=source)


async def flood(identities: Identities, signed: Signed, source: str | None = "192.0.2.1", **claims: Any) -> list[type]:
    """What becomes of forged tokens, each of them another one, and of somebody else if `claims` say no sub."""
    outcomes = []
    for number in range(ALLOWANCE + 10):
        forged = signed.token(**{"sub": f"stranger {number}", "number": number, **claims})[:-8] + "AAAAAAAA"
        with pytest.raises(IdentityRefusedError) as caught:
            await identities.identify(shown(signed, forged, source))
        outcomes.append(caught.type)
    return outcomes


async def test_a_flood_costs_no_signatures(identities: Identities, signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its allowance a source is told to wait before anything of a token is verified."""
    verified = []
    original = jose.verify
    monkeypatch.setattr(jose, "verify", lambda *arguments: (verified.append(arguments), original(*arguments)))
    outcomes = await flood(identities, signed)
    assert outcomes == [IdentityRefusedError] * ALLOWANCE + [IdentityHeldError] * 10
    assert len(verified) == ALLOWANCE


async def test_others_do_not_pay_for_it(identities: Identities, signed: Signed) -> None:
    """Another address is served, and at the same one whoever has proved its name there; a newcomer there waits a moment."""
    assert await identities.identify(shown(signed, signed.token()))
    await flood(identities, signed)
    assert await identities.identify(shown(signed, signed.token(sub="newcomer"), "192.0.2.2"))
    for number in range(5):
        assert await identities.identify(shown(signed, signed.token(number=number)))
    with pytest.raises(IdentityHeldError) as caught:
        await identities.identify(shown(signed, signed.token(sub="newcomer")))
    assert 0 < caught.value.wait <= 1 / REFILL


async def test_a_flood_in_a_known_name_uses_up_that_name_alone(identities: Identities, signed: Signed) -> None:
    """Another one that is known there is served, and so is the proof that has verified before."""
    before = signed.token()
    assert await identities.identify(shown(signed, before))
    assert await identities.identify(shown(signed, signed.token(sub="another")))
    assert (await flood(identities, signed, sub=signed.agent)).count(IdentityHeldError) == 10
    with pytest.raises(IdentityHeldError):
        await identities.identify(shown(signed, signed.token(number=7)))
    assert await identities.identify(shown(signed, before))
    assert await identities.identify(shown(signed, signed.token(sub="another", number=7)))
    assert await identities.identify(shown(signed, signed.token(sub="newcomer")))


async def test_an_allowance_comes_back(identities: Identities, signed: Signed, clock: Any) -> None:
    """One failure after so long, and all of them after a while."""
    await flood(identities, signed)
    clock.seconds += 1.5 / REFILL
    assert await identities.identify(shown(signed, signed.token()))
    clock.seconds += ALLOWANCE / REFILL
    assert (await flood(identities, signed)).count(IdentityRefusedError) == ALLOWANCE


async def test_what_has_verified_is_remembered_no_longer_than_it_is_good(
    identities: Identities, signed: Signed, clock: Any
) -> None:
    """And it is verified each time: it is only looked at."""
    token = signed.token()
    assert await identities.identify(shown(signed, token))
    clock.seconds += 301
    await flood(identities, signed, sub=signed.agent)
    with pytest.raises(IdentityHeldError):
        await identities.identify(shown(signed, token))


async def test_keys_that_cannot_be_had_are_nobodys_failure(
    identities: Identities, signed: Signed, clock: Any, tmp_path: Path
) -> None:
    """An agent that tries again while its issuer is away is not held off for it."""
    token = signed.token(exp=clock.seconds + 3 * STALE)
    (tmp_path / "jwks.json").unlink()
    clock.seconds += STALE + 1
    for _ in range(ALLOWANCE + 5):
        with pytest.raises(IdentityUnavailableError):
            await identities.identify(shown(signed, token))


async def test_nothing_is_counted_without_a_source(identities: Identities, signed: Signed) -> None:
    """What comes from ourselves has none."""
    assert set(await flood(identities, signed, None)) == {IdentityRefusedError}


def test_sources_and_proofs_are_bounded(clock: Any) -> None:
    """The oldest are forgotten."""
    failures = Failures(clock)
    for number in range(SOURCES + 1):
        failures.failed(f"source {number}", "")
    for number in range(GOOD + 1):
        failures.verified("source", str(number), str(number).encode(), clock.seconds + 10)
    assert (len(failures._spent), len(failures._good), len(failures._proved)) == (SOURCES, GOOD, GOOD)
