"""What a gateway keeps of its authority: for how long, and what makes it refuse."""

import json
from typing import Any

import pytest

from gateway.identity.standing import SECONDS_PAST_USE, TOKENS_REMEMBERED, Standing
from gateway.identity.until import SLOT
from gateway.model import Principal, Restoration, Revocation, marks_of

PRINCIPAL = Principal(
    agent="spiffe://acme.example/a", subject="s", tenant="acme", task="t", token="j", intents=frozenset(("invoices.read",)),
    expires=4e9, epoch="first epoch", marks=marks_of(token="j", task="t", agent="spiffe://acme.example/a", tenant="acme"),
)  # fmt: skip


def revocation(seq: int, until: float, name: str = "t", kind: str = "task") -> Revocation:
    """The end of a task, unless it says otherwise."""
    return Revocation(seq, 0.0, kind, name, "operator", until, "acme")


def test_before_the_first_heartbeat_it_is_stale(clock: Any) -> None:
    """A gateway that has heard nothing yet accepts nothing."""
    standing = Standing(clock, issuer="i", audience="a", tenants=frozenset(("t",)), prefix="p", max_staleness=1e9)
    assert standing.stale
    standing.beat("e", 0, horizon=0.0)
    assert not standing.stale


def test_it_is_stale_beyond_the_bound_and_not_before(standing: Standing, clock: Any) -> None:
    """The bound itself still counts as fresh, and a heartbeat makes it fresh again."""
    clock.seconds += 10.0
    assert not standing.stale
    clock.seconds += 0.001
    assert standing.stale
    standing.beat("first epoch", 0, horizon=0.0)
    assert not standing.stale


def test_staleness_is_counted_in_boot_time(standing: Standing, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept has heard nothing meanwhile; a clock that was set forward proves nothing."""
    asleep = clock.boot() + 11.0
    clock.seconds += 1_000_000.0
    monkeypatch.setattr(clock, "boot", lambda: asleep - 11.0)
    assert not standing.stale
    monkeypatch.setattr(clock, "boot", lambda: asleep)
    assert standing.stale


def test_keys_of_another_issuer_are_passed_over(standing: Standing, issuer: Any) -> None:
    """Only the configured authority speaks for itself; what was remembered stays."""
    before = standing.signing_keys
    standing.remember(b"token", PRINCIPAL)
    issuer.rotate("second")
    standing.keys("https://other.example", json.loads(issuer.jwks()))
    assert standing.signing_keys is before
    assert b"token" in standing.remembered


def test_new_keys_replace_the_old_ones_and_empty_the_memory(standing: Standing, issuer: Any) -> None:
    """A key that is gone signs nothing any more, and what it signed before is not remembered either."""
    standing.remember(b"token", PRINCIPAL)
    issuer.rotate("second")
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    assert set(standing.signing_keys) == {"second"}
    assert not standing.remembered


def test_a_key_set_that_cannot_be_used_leaves_no_key(standing: Standing, issuer: Any) -> None:
    """Two keys of one id could be confused: nothing is accepted until there are keys again, and the feed goes on."""
    standing.keys(issuer.url, {"keys": [issuer.jwk(), issuer.jwk()]})
    assert standing.signing_keys == {}


@pytest.mark.parametrize("change", [{"alg": "ES384", "crv": "P-384"}, {"use": "enc"}, {"kid": ""}, {"d": "AAAA"}])
def test_only_keys_for_task_tokens_are_taken(standing: Standing, issuer: Any, change: dict[str, str]) -> None:
    """A key of another algorithm, for another use or without an id, and one that was made public, verifies nothing."""
    standing.keys(issuer.url, {"keys": [{**issuer.jwk(), **change}]})
    assert standing.signing_keys == {}


def test_a_new_epoch_empties_the_memory(standing: Standing) -> None:
    """The authority has lost its records: what was verified under the old ones counts for nothing."""
    standing.remember(b"token", PRINCIPAL)
    standing.beat("first epoch", 1, horizon=0.0)
    assert b"token" in standing.remembered
    standing.beat("second epoch", 0, horizon=0.0)
    assert (standing.epoch, len(standing.remembered)) == ("second epoch", 0)


def test_a_revocation_forgets_no_token_and_a_beat_no_revocation(standing: Standing, clock: Any) -> None:
    """What is remembered is what a signature proved; what has ended stands apart and stays."""
    standing.remember(b"token", PRINCIPAL)
    standing.revoked(revocation(1, clock.seconds + 300))
    assert b"token" in standing.remembered
    assert standing.ended == {"task:t"}
    standing.beat("second epoch", 1, horizon=0.0)
    assert standing.ended == {"task:t"}


def test_the_newest_number_never_falls(standing: Standing, clock: Any) -> None:
    """Neither a late revocation nor a late heartbeat takes it back."""
    standing.revoked(revocation(7, clock.seconds))
    standing.revoked(revocation(5, clock.seconds, "other"))
    standing.beat("first epoch", 6, horizon=0.0)
    assert standing.seq == 7
    standing.beat("first epoch", 9, horizon=0.0)
    assert standing.seq == 9


def test_a_revocation_is_forgotten_only_after_the_last_token_it_concerns(standing: Standing, clock: Any) -> None:
    """Until `until` and a minute beyond, nothing forgets it; then a heartbeat does, so that the set does not grow for ever."""
    until = clock.seconds + 300
    standing.revoked(revocation(1, until))
    for moment in (until - 1, until, until + SECONDS_PAST_USE):
        clock.seconds = moment
        standing.beat("first epoch", 1, horizon=0.0)
        assert standing.ended == {"task:t"}, moment - until
    clock.seconds = until + 2 * SECONDS_PAST_USE
    assert standing.ended == {"task:t"}
    standing.beat("first epoch", 1, horizon=0.0)
    assert standing.ended == set()


def test_a_shorter_revocation_does_not_shorten_a_longer_one(standing: Standing, clock: Any) -> None:
    """The same mark revoked twice ends with the later of the two."""
    began = clock.seconds
    standing.revoked(revocation(1, began + 1000))
    standing.revoked(revocation(2, began + 10))
    clock.seconds = began + 500
    standing.beat("first epoch", 2, horizon=0.0)
    assert standing.ended == {"task:t"}
    clock.seconds = began + 1000 + SECONDS_PAST_USE + SLOT
    standing.beat("first epoch", 2, horizon=0.0)
    assert standing.ended == set()


def test_one_is_forgotten_and_the_others_stay(standing: Standing, clock: Any) -> None:
    """Each mark has its own end."""
    began = clock.seconds
    standing.revoked(revocation(1, began + 10, "brief"))
    standing.revoked(revocation(2, began + 10_000, "spiffe://acme.example/a", "agent"))
    clock.seconds = began + 200
    standing.beat("first epoch", 2, horizon=0.0)
    assert standing.ended == {"agent:acme/spiffe://acme.example/a"}


def test_the_memory_of_tokens_is_bounded(standing: Standing) -> None:
    """However many tokens are shown, the oldest makes room for the newest."""
    for number in range(TOKENS_REMEMBERED + 10):
        standing.remember(b"%d" % number, PRINCIPAL)
    assert len(standing.remembered) == TOKENS_REMEMBERED
    assert b"9" not in standing.remembered
    assert b"10" in standing.remembered


@pytest.mark.interpreted("a bound is part of the compiled code and cannot be another")
def test_too_many_revocations_stop_everything(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    """None may be forgotten, so beyond the bound nothing is accepted; when enough are over, it goes on."""
    monkeypatch.setattr("gateway.identity.standing.MOST_REVOCATIONS", 2)
    for number in range(3):
        standing.revoked(revocation(number, 4e9, f"task {number}"))
    standing.beat("first epoch", 3, horizon=0.0)
    assert standing.stale
    standing.restored(Restoration(4, 0.0, "task", "task 0", "acme"))
    standing.beat("first epoch", 4, horizon=0.0)
    assert not standing.stale


def test_before_the_horizon_nothing_is_accepted(standing: Standing, clock: Any) -> None:
    """The store has forgotten revocations that matter by the date here; it goes on once either date is another."""
    now = clock.seconds
    standing.beat("first epoch", 1, horizon=now)
    assert (standing.stale, standing.unfit) == (False, "")
    standing.beat("first epoch", 1, horizon=now + 0.5)
    assert standing.stale
    assert standing.unfit.startswith("the store forgot what ended up to 1 seconds from now; set the date here")
    standing.anew()
    assert (standing.stale, standing.unfit) == (True, ""), "it is the line that is lost now"
    standing.beat("first epoch", 1)
    assert standing.unfit, "who does not say what was forgotten may have forgotten all"
    clock.seconds = now + 1
    assert standing.stale, "only a heartbeat says how much was forgotten"
    standing.beat("first epoch", 1, horizon=now + 0.5)
    assert (standing.stale, standing.unfit) == (False, "")


def test_what_is_restored_is_accepted_again(standing: Standing) -> None:
    """By its mark and no other; stopped once more, it is stopped."""
    standing.revoked(revocation(1, 4e9, "a", "agent"))
    standing.revoked(revocation(2, 4e9, "b", "agent"))
    standing.restored(Restoration(3, 0.0, "agent", "b", "globex"))
    standing.restored(Restoration(3, 0.0, "agent", "a", "acme"))
    assert (standing.ended, standing.seq) == ({"agent:acme/b"}, 3)
    standing.revoked(revocation(4, 4e9, "a", "agent"))
    standing.beat("first epoch", 4, horizon=0.0)
    assert standing.ended == {"agent:acme/a", "agent:acme/b"}


def test_renewals_belong_to_their_epoch(standing: Standing, clock: Any) -> None:
    """What the old records said of a task says nothing any more."""
    standing.renewed("t", clock.seconds + 300)
    assert standing.renewals.until("t") == clock.seconds + 300
    standing.beat("second epoch", 0, horizon=0.0)
    assert standing.renewals.until("t") == 0


def test_whoever_watches_hears_what_ends(standing: Standing, issuer: Any, clock: Any) -> None:
    """Marks by name; keys that vanished or changed, and not those that stayed; what could be any, without a name."""
    heard: list[str] = []
    standing.on_end = heard.append
    standing.revoked(revocation(1, 4e9))
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    standing.beat("first epoch", 1, horizon=0.0)
    standing.renewed("t", clock.seconds + 300)
    assert heard == ["task:t"]
    issuer.rotate("second")
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    standing.beat("second epoch", 1, horizon=0.0)
    standing.renewed("t", clock.seconds)
    assert heard == ["task:t", "key:first", "", ""]
