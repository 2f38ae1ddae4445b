"""What a gateway knows of its authority: keys, epoch, revocations and how fresh they are; asks nobody while it decides."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, final

import orjson

from gateway import telemetry
from gateway.clock import Clock
from gateway.identity.jose import VerificationKey
from gateway.identity.keyset import KeySetProblem, read_key_set
from gateway.model import Principal, Revocation

TOKENS_REMEMBERED: Final = 16_384
"""How many verified tokens are remembered; a forgotten one is verified again."""
ALGORITHMS: Final = ("ES256",)
"""The algorithms of task tokens; a header that claims another is refused before any signature is looked at."""
SECONDS_PAST_USE: Final = 60.0
"""How long a revocation is kept after the last token that it could concern has expired."""

_log = telemetry.logger("standing")


@final
class Standing:
    """The subscriber's side of the feed. It fails closed: without a fresh heartbeat nothing is accepted."""

    def __init__(
        self, clock: Clock, *, issuer: str, audience: str, tenant: str, prefix: str, max_staleness: float,
        tokens: int = TOKENS_REMEMBERED,
    ) -> None:  # fmt: skip
        """`max_staleness` is in seconds of boot time; the rest is what a task token has to say. `tokens` may be remembered."""
        self.clock: Final = clock
        self.issuer: Final = issuer
        self.audience: Final = audience
        self.tenant: Final = tenant
        self.prefix: Final = prefix.encode("ascii")
        self._max_staleness: Final = max_staleness
        self._beaten: float | None = None
        self.epoch = ""
        self.seq = 0
        """The number of the newest revocation that is known."""
        self.signing_keys: Mapping[str, VerificationKey] = {}
        self.ended: Final[set[str]] = set()
        """The marks of everything that is revoked now."""
        self.remembered: Final[OrderedDict[bytes, Principal]] = OrderedDict()
        """Verified tokens by their bytes. It holds what a signature proved, and nothing that can change afterwards."""
        self._tokens: Final = tokens
        self._ending: Final[dict[str, float]] = {}
        self._forget_at = 0.0

    # What the feed calls.

    def keys(self, issuer: str, jwks: Mapping[str, Any]) -> None:
        """The keys of the authority; tokens that a vanished key signed must be verified anew, and fail.

        Keys that cannot be used leave the gateway with none: then it accepts no token, which readers of its log can see.
        """
        if issuer != self.issuer:
            return
        self.remembered.clear()
        try:
            self.signing_keys = read_key_set(orjson.dumps(dict(jwks)), ALGORITHMS)
        except KeySetProblem as problem:
            self.signing_keys = {}
            _log.error("keys_unusable", issuer=issuer, reason=str(problem))

    def beat(self, epoch: str, seq: int) -> None:
        """The authority has just read its store, and all revocations up to `seq` were delivered before."""
        if epoch != self.epoch:
            self.remembered.clear()
        self.epoch = epoch
        self.seq = max(self.seq, seq)
        self._beaten = self.clock.boot()
        if self._beaten >= self._forget_at:
            self._forget_at = self._beaten + SECONDS_PAST_USE
            self._forget_past()

    def revoked(self, revocation: Revocation) -> None:
        """From now on nothing with this mark is accepted."""
        self.seq = max(self.seq, revocation.seq)
        self._ending[revocation.mark] = max(revocation.until, self._ending.get(revocation.mark, 0.0))
        self.ended.add(revocation.mark)

    # What the steps of a request ask.

    def remember(self, token: bytes, principal: Principal) -> None:
        """Remember what these bytes proved to be; the oldest makes room for the newest."""
        if self._tokens:
            if len(self.remembered) >= self._tokens:
                self.remembered.popitem(last=False)
            self.remembered[token] = principal

    @property
    def stale(self) -> bool:
        """Whether the last heartbeat is older than is allowed."""
        return self._beaten is None or self.clock.boot() - self._beaten > self._max_staleness

    def _forget_past(self) -> None:
        past = self.clock.now() - SECONDS_PAST_USE
        for mark in [mark for mark, until in self._ending.items() if until < past]:
            del self._ending[mark]
            self.ended.discard(mark)
