"""Signing keys are exchanged so that nobody meets a token whose key it does not know; driven by a clock turned by hand."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes.authority import NOW, StillClock, build_store

from gateway.authority.key_folder import KeyFolder
from gateway.authority.rotation import MOST_OTHERS, MOST_RETIRED, NotNowError, SigningKeys
from gateway.identity.jose import read, verify
from gateway.identity.standing import SECONDS_PAST_USE, Standing
from gateway.stores.store import Store, StoreUnavailableError

LEAD, EVERY, LONGEST = 120.0, 86_400.0, 900.0


@dataclass
class Made:
    """Keys on a real store, and what they have told."""

    keys: SigningKeys
    clock: StillClock
    store: Store
    told: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    def kids(self) -> list[str]:
        return [jwk["kid"] for jwk in self.keys.jwks()["keys"]]  # type: ignore[attr-defined]


def signing(folder: Path | None, store: Store, clock: StillClock, algorithm: Any = "ES256") -> SigningKeys:
    return SigningKeys(KeyFolder(folder), store, clock, algorithm=algorithm, every=EVERY, lead=LEAD, longest=LONGEST)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """An authority's keys after its first start."""
    clock = StillClock()
    store = build_store(tmp_path, clock)
    await store.open()
    made = Made(signing(tmp_path, store, clock), clock, store)
    made.keys.on_change, made.keys.on_event = made.told.append, made.events.append
    await made.keys.begin(0.0)
    yield made
    await store.close()


async def test_a_key_is_published_before_it_signs_and_after(made: Made, tmp_path: Path) -> None:
    """Nothing changes before it is due; the new one signs `lead` after it is published, the old one goes with its tokens."""
    first = made.keys.current
    made.clock.seconds = NOW + EVERY - LEAD - 1
    await made.keys.tend()
    assert (made.kids(), made.told) == ([first.kid], [])
    made.clock.seconds += 1
    await made.keys.tend()
    assert made.keys.current is first
    _, second = made.kids()
    assert [jwk["kid"] for jwk in made.told[-1]["keys"]] == [first.kid, second]
    made.clock.seconds += LEAD - 1
    await made.keys.tend()
    assert signing(tmp_path, made.store, made.clock).current.kid == first.kid
    made.clock.seconds += 1
    await made.keys.tend()
    assert made.keys.current.kid == second
    assert made.kids() == [second, first.kid]
    last = made.clock.seconds + LONGEST + SECONDS_PAST_USE
    assert made.told[-1]["keys"][1]["exp"] == last
    verify(read(first.sign("at+jwt", {}).encode()), made.keys.verification(first.kid))  # type: ignore[arg-type]
    made.clock.seconds = last
    await made.keys.tend()
    assert made.kids() == [second]
    assert made.keys.verification(first.kid) is made.keys.verification(None) is None
    assert [(event["event"], event["key"]) for event in made.events] == [("published", second), ("signs", second)]


async def test_an_exchange_goes_on_after_a_restart(made: Made, tmp_path: Path) -> None:
    """The same keys are published, and the next one signs when it was to."""
    await made.keys.rotate()
    made.clock.seconds += LEAD
    again = signing(tmp_path, made.store, made.clock)
    await again.begin(0.0)
    assert again.jwks() == made.keys.jwks()
    await again.tend()
    assert again.current.kid == made.kids()[1]


async def test_an_operator_rotates_one_after_the_other(made: Made) -> None:
    """A second exchange waits for the first, and all wait while too many old keys have tokens."""
    assert (await made.keys.rotate())["state"] == "published"
    with pytest.raises(NotNowError, match="published already"):
        await made.keys.rotate()
    for _ in range(MOST_RETIRED):
        made.keys._longest = 1e9  # type: ignore[misc]
        made.clock.seconds += LEAD
        await made.keys.tend()
        if len(made.kids()) <= MOST_RETIRED:
            await made.keys.rotate()
    with pytest.raises(NotNowError, match="still good"):
        await made.keys.rotate()
    made.clock.seconds += EVERY
    await made.keys.tend()
    assert len(made.kids()) == MOST_RETIRED + 1


async def test_another_algorithm_comes_with_the_next_key(made: Made, tmp_path: Path) -> None:
    """Tokens of the old one stay good."""
    other = signing(tmp_path, made.store, made.clock, "EdDSA")
    await other.begin(0.0)
    await other.tend()
    assert [key["algorithm"] for key in other.document()] == ["EdDSA", "ES256"]
    assert other.current.algorithm == "ES256"
    made.clock.seconds += LEAD
    await other.tend()
    assert other.current.algorithm == "EdDSA"


async def test_a_key_that_the_store_did_not_take_does_not_sign(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other authorities cannot know it yet; its time begins when they can."""

    async def away(*_: object) -> Any:
        raise StoreUnavailableError

    with monkeypatch.context() as broken:
        broken.setattr(made.store, "keys", away)
        assert (await made.keys.rotate())["at"] is None
        made.clock.seconds += 10 * LEAD
        with pytest.raises(StoreUnavailableError):
            await made.keys.tend()
    first = made.keys.current
    await made.keys.tend()
    made.clock.seconds += LEAD - 1
    await made.keys.tend()
    assert made.keys.current is first
    made.clock.seconds += 1
    await made.keys.tend()
    assert made.keys.current is not first


async def test_keys_of_other_authorities_are_published_too(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as they say, also when the store has forgotten them; what is no key, or one too many, is passed over."""
    other = [signing(None, made.store, made.clock).current for _ in range(MOST_OTHERS + 1)]
    end = made.clock.seconds + 100
    published = {key.kid: (json.dumps(key.jwk), end) for key in other}
    answers = [{"x": ('{"kty":"EC","kid":"x"}', end)}, published, {}, {}]

    async def keys(*_: object) -> Any:
        return answers.pop(0)

    monkeypatch.setattr(made.store, "keys", keys)
    await made.keys.tend()
    assert len(made.kids()) == 1
    await made.keys.tend()
    assert len(made.kids()) == 1 + MOST_OTHERS
    token = other[0].sign("at+jwt", {}).encode()
    verify(read(token), made.keys.verification(other[0].kid))  # type: ignore[arg-type]
    await made.keys.tend()
    assert made.keys.verification(other[0].kid) is not None
    made.clock.seconds = end
    await made.keys.tend()
    assert len(made.kids()) == 1


async def test_a_key_at_its_announced_end_cuts_nothing() -> None:
    """What a renewed task has open outlives the key of its first token; a key that is taken back earlier cuts."""
    clock, cut = StillClock(), list[str]()
    standing = Standing(clock, issuer="i", audience="a", tenants=frozenset(("t",)), prefix="dwt_", max_staleness=10.0)
    standing.on_end = cut.append
    key, other = (signing(None, None, clock).current for _ in range(2))  # type: ignore[arg-type]
    ending = {**key.jwk, "exp": int(NOW + 500)}
    standing.keys("i", {"keys": [ending, other.jwk]})
    clock.seconds += 500
    standing.keys("i", {"keys": [other.jwk]})
    assert cut == []
    standing.keys("i", {"keys": [{**other.jwk, "exp": int(NOW + 9000)}]})
    standing.keys("i", {"keys": []})
    assert cut == [f"key:{other.kid}"]
