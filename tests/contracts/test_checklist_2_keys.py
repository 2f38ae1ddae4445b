"""Checklist line 2: a key of issuer A cannot validate a token that claims issuer B.

And a flood of unknown key ids causes at most one fetch an interval.
"""

from pathlib import Path
from typing import Any

import pytest
from fakes.signed_identities import PUBLISHED, SIGNED, Published, Signed

from gateway.identity.identify import Identities, Minter
from gateway.identity.kept import INTERVAL
from gateway.identity.provider import IdentityRefusedError, Presented
from gateway.model import AgentPattern


@pytest.mark.parametrize("kind", SIGNED)
async def test_the_key_of_one_cannot_vouch_for_another(kind: Any, tmp_path: Path, tools: Any) -> None:
    """Both are configured, and the key that signs is known: it is only not the right one. Nor does its kid help."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = kind(tmp_path / "a", tools), kind(tmp_path / "b", tools, name="other")
    everybody = {
        name: Minter(each.provider, (AgentPattern.parse(f"spiffe://{each.domain}/*"),))
        for name, each in (("one", one), ("other", other))
    }
    identities = Identities(everybody)
    for mine, yours in ((one, other), (other, one)):
        assert (await identities.identify(Presented(mine.token(), mine.token_type))).agent == mine.agent
        for header in ({}, {"kid": yours.kid}, {"kid": mine.kid}):
            forged = mine.token(header=header, **yours.claims())
            with pytest.raises(IdentityRefusedError):
                await identities.identify(Presented(forged, mine.token_type))
            await yours.refused(forged)
            await mine.refused(forged)


@pytest.mark.parametrize("kind", SIGNED)
async def test_a_stranger_with_the_right_kid_signs_nothing(kind: Any, tmp_path: Path, tools: Any) -> None:
    """A kid is only a name."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    signed: Signed = kind(tmp_path / "a", tools)
    stranger: Signed = kind(tmp_path / "b", tools)
    await signed.refused(stranger.token())


@pytest.mark.parametrize("kind", PUBLISHED)
async def test_a_flood_of_unknown_key_ids_causes_one_fetch_an_interval(kind: Any, tmp_path: Path, tools: Any) -> None:
    """Wherever keys are fetched from: key ids are for strangers to choose, fetches are not."""
    source: Published = kind(tmp_path, tools)
    async with source.served():
        await source.signed.verify(source.signed.token())
        before = source.asked
        for number in range(50):
            await source.signed.refused(source.signed.token(header={"kid": f"unknown {number}"}))
        assert source.asked - before <= source.each
        tools.clock.seconds += INTERVAL
        for number in range(50):
            await source.signed.refused(source.signed.token(header={"kid": f"other {number}"}))
        assert source.asked - before <= 2 * source.each
        await source.signed.verify(source.signed.token())
