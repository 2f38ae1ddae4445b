"""What a gateway knows of one authority: keys, epoch, revocations and how fresh they are; asks nobody while it decides."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, NamedTuple, final

import orjson

from gateway import telemetry
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.identity.failures import Failures
from gateway.identity.jose import VerificationKey
from gateway.identity.keyset import KeySetProblem, read_key_set
from gateway.identity.renewals import Renewals
from gateway.identity.until import Expiring
from gateway.model import AgentPattern, Principal, Restoration, Revocation

TOKENS_REMEMBERED: Final = 16_384
"""How many verified tokens are remembered; a forgotten one is verified again."""
ALGORITHMS: Final = ("ES256", "EdDSA", "RS256")
"""The algorithms of task tokens. An issuer may have fewer; a header that claims another is refused before its signature."""
SECONDS_PAST_USE: Final = 60.0
"""How long a revocation is kept after the last token that it could concern has expired."""
MOST_REVOCATIONS: Final = 4_000_000
"""How many revocations are known at a time. With more, nothing is accepted until enough of them are over."""

_log = telemetry.logger("standing")


class Trust(NamedTuple):
    """How far an issuer is trusted: what it may sign with, and which agents it may name; all of its tenants without any."""

    algorithms: tuple[str, ...] = ALGORITHMS
    agents: tuple[AgentPattern, ...] = ()


ENTIRE: Final = Trust()


@final
class Standing:
    """The subscriber's side of the feed. It fails closed: without a fresh heartbeat nothing is accepted."""

    def __init__(
        self, clock: Clock, *, issuer: str, audience: str, tenants: frozenset[str], prefix: str, max_staleness: float,
        tokens: int = TOKENS_REMEMBERED, trust: Trust = ENTIRE,
    ) -> None:  # fmt: skip
        """`max_staleness` is in seconds of boot time; the rest is what a task token has to say. `tokens` may be remembered."""
        self.clock: Final = clock
        self.issuer: Final = issuer
        self.audience: Final = audience
        self.tenants: Final = tenants
        self.algorithms: Final = trust.algorithms
        self.prefix: Final = prefix.encode("ascii")
        self._max_staleness: Final = max_staleness
        self._beaten: float | None = None
        self.unfit = ""
        """Why even a heartbeat of now makes nothing fresh, for operators; empty while nothing stands in the way."""
        self.epoch = ""
        self.seq = 0
        """The number of the newest entry of the feed that is known."""
        self.signing_keys: Mapping[str, VerificationKey] = {}
        self._key_ends: Mapping[str, float] = {}
        """Until when the keys are of use that sign no more, by the `exp` in their JWKs, in Unix seconds."""
        self.ended: Final[set[str]] = set()
        """The marks of everything that is revoked now."""
        self._vanished: Final[set[str]] = set()
        """Those of keys that were taken back. Requests that were let in before wait no longer than they are kept."""
        self.remembered: Final[OrderedDict[bytes, Principal]] = OrderedDict()
        """Verified tokens by their bytes. It holds what a signature proved, and nothing that can change afterwards."""
        self.renewals: Final = Renewals()
        """Until when what a task has open may outlive its own token."""
        self.failures: Final = Failures(clock)
        """How many tokens with a wrong signature came from where; those that were verified before are not affected."""
        self.on_end: Callable[[str], None] = _nobody
        """Told of each mark that is no longer accepted, and of an empty one when it could be any."""
        self._tokens: Final = tokens
        self._agents: Final = trust.agents
        self._ending: Final = Expiring(self.ended)

    # What the feed calls.

    def keys(self, issuer: str, jwks: Mapping[str, Any]) -> None:
        """The keys of the authority; what a vanished key signed is not accepted any more.

        Keys that cannot be used leave the gateway with none: then it accepts no token, which readers of its log can see.
        """
        if issuer != self.issuer:
            return
        before, ends = self.signing_keys, self._key_ends
        self.remembered.clear()
        self._key_ends = _ends_of(jwks)
        try:
            self.signing_keys = read_key_set(orjson.dumps(dict(jwks)), self.algorithms)
        except KeySetProblem as problem:
            self.signing_keys = {}
            _log.error("keys_unusable", issuer=issuer, reason=str(problem))
        for mark in self._vanished & {f"key:{kid}" for kid in self.signing_keys}:
            self._ending.remove(mark)
        self._vanished.intersection_update(self.ended)
        soon = self.clock.now() + SECONDS_PAST_USE
        for kid, key in before.items():
            # A key that has come to its announced end was not taken back: what a renewed task has open may outlive it.
            if self.signing_keys.get(kid) != key and not ends.get(kid, inf) <= soon:
                mark = f"key:{kid}"
                if kid not in self.signing_keys and mark not in self.ended:
                    self._vanished.add(mark)
                    self._ending.add(mark, soon)
                self.on_end(mark)

    def beat(self, epoch: str, seq: int, at: float | None = None, horizon: float = inf) -> None:
        """The authority has read its store, and all revocations up to `seq` were delivered before.

        `at` is the boot time when that read began, now if nothing is said: what was long under way makes nothing fresh. Before
        `horizon`, in Unix seconds, revocations of tokens that look good were forgotten; if none is named, all may be.
        """
        if epoch != self.epoch:
            self.remembered.clear()
            self.seq = seq
            self.renewals.clear()
            self.epoch = epoch
            self.on_end("")
        self.seq = max(self.seq, seq)
        now = self.clock.now()
        self._ending.forget(now - SECONDS_PAST_USE)
        self.renewals.forget(now)
        unfit = self._unfit(horizon - now)
        if unfit and not self.unfit:
            _log.error("heartbeat_in_vain", issuer=self.issuer, reason=unfit)
        self.unfit = unfit
        if unfit:
            self._beaten = None
        else:
            self._beaten = self.clock.boot() if at is None else at

    def revoked(self, revocation: Revocation) -> None:
        """From now on nothing with this mark is accepted."""
        self.seq = max(self.seq, revocation.seq)
        self._vanished.discard(revocation.mark)
        self._ending.add(revocation.mark, revocation.until)
        self.on_end(revocation.mark)

    def restored(self, restoration: Restoration) -> None:
        """This mark is accepted again. What had ended under it has marks of its own."""
        self.seq = max(self.seq, restoration.seq)
        self._ending.remove(restoration.mark)

    def renewed(self, task: str, until: float) -> None:
        """A task has a new token, good until then: what an older one has opened may stay open for as long.

        A time that is over says that no renewal of the task counts any more.
        """
        now = self.clock.now()
        self.renewals.note(task, until, now)
        if until <= now:
            self.on_end("")

    def anew(self) -> None:
        """What is known may be wrong or has holes: nothing is accepted until all of it has come anew, up to a heartbeat."""
        self._beaten, self.unfit = None, ""
        self.epoch, self.seq = "", 0
        self.remembered.clear()
        self.renewals.clear()
        self._ending.clear()
        self.on_end("")

    def _unfit(self, behind: float) -> str:
        if behind > 0:
            forgotten = f"the store forgot what ended up to {max(behind, 1):.0f} seconds from now"
            return f"{forgotten}; set the date here or at the authority right"
        if len(self.ended) > MOST_REVOCATIONS:
            return f"there are more than {MOST_REVOCATIONS} revocations"
        return ""

    # What the steps of a request ask.

    def remember(self, token: bytes, principal: Principal) -> None:
        """Remember what these bytes proved to be; the oldest makes room for the newest."""
        if self._tokens:
            if len(self.remembered) >= self._tokens:
                self.remembered.popitem(last=False)
            self.remembered[token] = principal

    def speaks_for(self, agent: str) -> bool:
        """Whether the issuer may name this agent."""
        return not self._agents or any(pattern.covers(agent) for pattern in self._agents)

    def end_of(self, marks: frozenset[str]) -> Refusal:
        """Why a token with these marks is not accepted, one of which has ended."""
        if self.ended & marks <= self._vanished:
            return Refusal("token_invalid", "The key that signed this token is no longer used.")
        return Refusal("token_revoked")

    @property
    def age(self) -> float:
        """Seconds of boot time since the read of the store that the last heartbeat proves; infinite before the first."""
        return inf if self._beaten is None else self.clock.boot() - self._beaten

    @property
    def stale(self) -> bool:
        """Whether the last heartbeat is older than is allowed."""
        return self._beaten is None or self.clock.boot() - self._beaten > self._max_staleness


def _ends_of(jwks: Mapping[str, Any]) -> Mapping[str, float]:
    entries = jwks.get("keys")
    found = entries if isinstance(entries, list) else []
    return {
        entry["kid"]: float(entry["exp"])
        for entry in found
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str) and type(entry.get("exp")) is int
    }


def _nobody(_mark: str) -> None:
    """Nothing is open yet that could be told."""
