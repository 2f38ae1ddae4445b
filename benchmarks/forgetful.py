"""Makes of a snapshot one that lacks one of its memories, or all of them, and is otherwise the same; measures nothing.

What memories gain is measured by `levers.py`, and that no answer or record depends on them is proved by `flows/test_memory.py`.
"""

from dataclasses import replace

from gateway.authority.authority import Authority
from gateway.http.admit import Admission
from gateway.http.fields import Vocabulary
from gateway.http.memory import Memory
from gateway.http.permitted import Permitted
from gateway.http.relay import Relay
from gateway.identity.issuers import Issuers
from gateway.identity.standing import Standing
from gateway.snapshot import Snapshot


async def forgetful_standing(now: Snapshot, authority: Authority) -> Standing:
    """Another subscriber of the feed, which verifies each token each time."""
    known = now.standing
    standing = Standing(
        known.clock, issuer=known.issuer, audience=known.audience, tenants=known.tenants, prefix=known.prefix.decode(),
        max_staleness=known._max_staleness, tokens=0,
    )  # fmt: skip
    await authority.feed.subscribe(standing)
    return standing


def forgetful_relay(now: Snapshot) -> Relay:
    """A relay of the same pool, which reads each head of a response and each of its lines anew."""
    return _relay(now, _forgetful(now.relay._vocabulary))


def without_each(now: Snapshot, standing: Standing) -> dict[str, dict[str, object]]:
    """By the name of each memory the parts of a snapshot without it; `standing` is one that remembers no token."""
    admission = now.admission
    return {
        "verified tokens": {"standing": standing, "issuers": Issuers([standing])},
        "permitted heads and their fields": {"admission": admission._replace(permitted=_unpermitted(admission))},
        "header lines": {"admission": admission._replace(vocabulary=_forgetful(admission.vocabulary))},
        "declarations": {"intents": now.intents._replace(declarations=Memory(0))},
        "response heads": {"relay": _relay(now, now.relay._vocabulary)},
    }


def without_any(now: Snapshot, standing: Standing, relay: Relay) -> Snapshot:
    """The snapshot with nothing remembered; `standing` and `relay` are forgetful ones, for they outlast a snapshot."""
    reading = now.admission._replace(vocabulary=_forgetful(now.admission.vocabulary))
    return replace(
        now,
        issuers=Issuers([standing]),
        standing=standing,
        admission=reading._replace(permitted=_unpermitted(reading)),
        intents=now.intents._replace(declarations=Memory(0)),
        relay=relay,
    )


def _forgetful(vocabulary: Vocabulary) -> Vocabulary:
    return Vocabulary(roles=vocabulary._roles, dropped_prefixes=vocabulary._dropped_prefixes, remembers=False)


def _unpermitted(admission: Admission) -> Permitted:
    return Permitted(admission.vocabulary, admission.limits.headers, entries=0)


def _relay(now: Snapshot, vocabulary: Vocabulary) -> Relay:
    return Relay(now.relay.pool, vocabulary, now.relay._limits, now.standing.clock, Memory(0))
