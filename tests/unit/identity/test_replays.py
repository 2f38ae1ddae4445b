"""Proofs that come again: within a process, in another one of the same gateway, and after periods have passed."""

import os
import secrets

import pytest

from gateway.identity import replays as module
from gateway.identity.nonces import PERIOD, Nonces
from gateway.identity.replays import FullError, Replays, SharedProofs, alone, shared_memory


@pytest.fixture
def pair():
    """Two processes of one gateway."""
    key, descriptor = secrets.token_bytes(32), shared_memory(2)
    made = [Replays(SharedProofs(key, descriptor, number, 2)) for number in range(2)]
    yield made
    for each in made:
        each.close()
    os.close(descriptor)


def test_a_proof_is_new_once():
    """The same id by the same key came before; by another key it is another proof."""
    known = Replays(alone())
    assert known.is_new(7, "key", "a")
    assert not known.is_new(7, "key", "a")
    assert known.is_new(7, "other", "a")
    assert known.is_new(7, "key", "b")
    known.close()


def test_what_one_process_has_seen_no_other_accepts(pair):
    """A proof is spent in all of them, whichever it came to."""
    one, other = pair
    assert one.is_new(7, "key", "a")
    assert not other.is_new(7, "key", "a")
    assert other.is_new(7, "key", "b")
    assert not one.is_new(7, "key", "b")


def test_a_successor_knows_what_its_predecessor_saw():
    """A worker that is started anew under the same number accepts nothing that was shown before."""
    key, descriptor = secrets.token_bytes(32), shared_memory(1)
    share = SharedProofs(key, descriptor, 0, 1)
    before = Replays(share)
    assert before.is_new(7, "key", "a")
    before.close()
    after = Replays(share)
    assert not after.is_new(7, "key", "a")
    after.close()
    os.close(descriptor)


def test_periods_do_not_mix(pair):
    """Proofs of one period are remembered until its table is needed again, and then all are forgotten at once."""
    one, other = pair
    assert one.is_new(7, "key", "a")
    assert one.is_new(8, "key", "b")
    assert not other.is_new(7, "key", "a")
    assert one.is_new(10, "key", "c")
    assert one.is_new(10, "key", "a")
    assert not other.is_new(8, "key", "b")


def test_a_full_table_takes_no_more_proofs(monkeypatch, pair):
    """What cannot be remembered is not accepted, and the next period has room again."""
    monkeypatch.setattr(module, "PLACES", 8)
    one, _ = pair
    assert all(one.is_new(7, "key", str(number)) for number in range(4))
    with pytest.raises(FullError):
        one.is_new(7, "key", "more")
    assert not one.is_new(7, "key", "1")
    assert one.is_new(8, "key", "more")


def test_a_nonce_is_good_for_two_periods(clock):
    """It is accepted in its own period and the next; nobody without the key makes one."""
    nonces = Nonces(bytes(32), clock)
    first = nonces.of(nonces.period)
    assert nonces.period_of(first) == nonces.period
    clock.seconds += PERIOD
    assert nonces.period_of(first) == nonces.period - 1
    assert nonces.of(nonces.period) != first
    clock.seconds += PERIOD
    assert nonces.period_of(first) is None
    assert nonces.period_of(None) is None
    assert nonces.period_of("") is None
    assert Nonces(b"other" * 8, clock).period_of(nonces.of(nonces.period)) is None
