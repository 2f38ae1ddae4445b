"""Exchanges the authority's signing key without a refused request; knows no token, and of the feed only that it is told.

A new key is published before it signs, for longer than any gateway may go without hearing of it; an old one stays published
until the last token that it has signed is over. Authorities of one store tell each other their public keys through it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, final

import orjson

from gateway import telemetry
from gateway.authority.key_folder import KeyFolder, Keys, Retired
from gateway.authority.keys import Algorithm, KeySource, Signer, SigningKey
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.identity.jose import VerificationKey
from gateway.identity.keyset import read_key
from gateway.identity.standing import ALGORITHMS, SECONDS_PAST_USE
from gateway.stores.store import Store, StoreUnavailableError

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at what is due, and at what other authorities have published."""
SHARE_EVERY: Final = 60.0
"""Seconds after which an authority tells the others once more that its keys are in use."""
MOST_RETIRED: Final = 16
"""While so many old keys still have tokens, the next exchange waits."""
MOST_OTHERS: Final = 64
"""How many keys of other authorities are published beside one's own; further ones are logged and not accepted."""

_log = telemetry.logger("keys")


class NotNowError(Exception):
    """The key cannot be exchanged now; the text says why."""


@final
class SigningKeys:
    """The key that signs, those before and after it, and those of other authorities of the same store."""

    def __init__(
        self, folder: KeyFolder, store: Store, clock: Clock, *, algorithm: Algorithm, every: float, lead: float, longest: float,
        source: KeySource | None = None,
    ) -> None:  # fmt: skip
        """A key signs for `every` seconds and is published `lead` before; a token lives at most `longest`.

        With a `source` its key is the next one as soon as it is another one.

        Raises `DoorwardError` if the keys that were kept cannot be used, or none can be kept.
        """
        self._folder: Final = folder
        self._store: Final = store
        self._clock: Final = clock
        self._algorithm: Final = algorithm
        self._every: Final = every
        self._lead: Final = lead
        self._longest: Final = longest
        self._source: Final = source
        self.on_change: Callable[[Mapping[str, object]], None] = _nobody
        """Told of each new set, before anything is signed by what is new in it."""
        self.on_event: Callable[[Mapping[str, object]], None] = _nobody
        """Told, for the record, what has become of a key."""
        self._others: dict[str, tuple[Mapping[str, Any], float]] = {}
        self._shared: float | None = None
        kept = folder.load()
        self._keys = Keys(self._made(), clock.now()) if kept is None else kept
        if kept is None:
            folder.keep(self._keys)

    @property
    def current(self) -> Signer:
        """The one that signs."""
        return self._keys.current

    def jwks(self) -> Mapping[str, object]:
        """All public keys whose tokens are, or will be, good (RFC 7517 §5); `exp` says when one is of no use any more."""
        return {"keys": [*self._own(), *self._foreign()]}

    def verification(self, kid: str | None) -> VerificationKey | None:
        """The key of this id, of this authority or of another one of its store."""
        if kid == self._keys.current.kid:
            return self._keys.current.verification
        found = (jwk for jwk in (*self._own(), *self._foreign()) if jwk["kid"] == kid)
        return next((read_key(jwk, ALGORITHMS) for jwk in found), None)

    def document(self) -> Sequence[Mapping[str, object]]:
        """What operators see: each key with its state, and when that changes."""
        keys, stamp = self._keys, self._clock.stamp
        shown: list[Mapping[str, object]] = []
        if keys.following is not None:
            starts = None if keys.starts is None else stamp(keys.starts)
            shown.append(_shown(keys.following.jwk, "published", starts))
        shown.append(_shown(keys.current.jwk, "signs", stamp(keys.since)))
        shown += [_shown(retired.jwk, "retired", stamp(retired.until)) for retired in keys.retired]
        return (*shown, *(_shown(jwk, "of another authority", stamp(until)) for jwk, until in self._others.values()))

    async def begin(self, wait: float) -> None:
        """Publish in the store. Where other authorities are at work, wait so many seconds until a new key is known to all.

        Raises `DoorwardError` and `StoreUnavailableError`.
        """
        self._forget()
        known = await self._store.keys({}, 0.0, self._clock.now())
        await self._share()
        if known and self.current.kid not in known:
            await self._clock.sleep(wait)

    async def rotate(self) -> Mapping[str, object]:
        """Publish the next key, which signs in a while. Raises `NotNowError` and `DoorwardError`."""
        if self._keys.following is not None:
            raise NotNowError("The next key is published already, and signs soon.")
        if len(self._keys.retired) >= MOST_RETIRED:
            raise NotNowError(f"Tokens of {MOST_RETIRED} old keys are still good; wait until one of them is over.")
        following = self._made()
        if following.kid == self.current.kid:
            raise NotNowError("The next key is the one that signs." if self._source is None else self._source.elsewhere)
        retired = tuple(old for old in self._keys.retired if old.jwk["kid"] != following.kid)
        self._change(Keys(self.current, self._keys.since, following, None, retired), "published", following)
        self._shared = None
        with suppress(StoreUnavailableError):  # its time begins when the other authorities can know it
            await self._share()
        return self.document()[0]

    async def tend(self) -> None:
        """Do what is due. Raises `DoorwardError` and `StoreUnavailableError`; the next look goes on from there."""
        self._forget()
        now, keys = self._clock.now(), self._keys
        if keys.following is None and self._due(now) and len(keys.retired) < MOST_RETIRED:
            await self.rotate()
        if self._shared is None or now - self._shared >= SHARE_EVERY:
            await self._share()
        else:
            self._learn(await self._store.keys({}, 0.0, now))
        if keys.following is not None and keys.starts is not None and now >= keys.starts:
            self._exchange(keys.following)

    async def run(self) -> None:
        """Tend them until cancelled."""
        trouble = ""
        while True:
            try:
                await self.tend()
                trouble = ""
            except StoreUnavailableError:  # the heartbeat says so
                pass
            except DoorwardError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    _log.error("keys_not_kept", reason=trouble)
            await self._clock.sleep(LOOK_EVERY)

    def _made(self) -> Signer:
        return SigningKey.generate(self._algorithm) if self._source is None else self._source.read()

    def _due(self, now: float) -> bool:
        if self._source is not None:
            return self._source.read().kid != self.current.kid
        return now >= self._keys.since + self._every - self._lead or self.current.algorithm != self._algorithm

    def _exchange(self, following: Signer) -> None:
        now, before = self._clock.now(), self._keys.current
        retired = Retired(before.jwk, now + self._longest + SECONDS_PAST_USE)
        self._change(Keys(following, now, retired=(*self._keys.retired, retired)), "signs", following)

    def _forget(self) -> None:
        now = self._clock.now()
        left = tuple(retired for retired in self._keys.retired if now < retired.until)
        if left != self._keys.retired:
            self._keys = replace(self._keys, retired=left)
            self._folder.keep(self._keys)
            self.on_change(self.jwks())

    def _change(self, keys: Keys, event: str, key: Signer) -> None:
        self._folder.keep(keys)
        self._keys = keys
        self.on_change(self.jwks())
        self.on_event({"event": event, "key": key.kid, "algorithm": key.algorithm})

    async def _share(self) -> None:
        """Tell the store of all own keys, for as long as a token could live that is signed until this is done again."""
        now = self._clock.now()
        until = now + 2 * SHARE_EVERY + self._longest + SECONDS_PAST_USE
        mine = {str(jwk["kid"]): orjson.dumps(jwk).decode() for jwk in self._own()}
        self._learn(await self._store.keys(mine, until, now))
        self._shared = now
        following = self._keys.following
        if following is not None and following.kid in mine and self._keys.starts is None:
            self._keys = replace(self._keys, starts=self._clock.now() + self._lead)
            self._folder.keep(self._keys)

    def _learn(self, published: Mapping[str, tuple[str, float]]) -> None:
        """What others have published. A store that has forgotten it does not make it void before its time."""
        now, own = self._clock.now(), {jwk["kid"] for jwk in self._own()}
        others = {kid: other for kid, other in self._others.items() if now < other[1]}
        for kid, (text, until) in published.items():
            if kid in own or until <= now:
                continue
            if kid not in others and len(others) >= MOST_OTHERS:
                _log.error("too_many_keys", most=MOST_OTHERS)
                break
            jwk = orjson.loads(text)
            key = read_key(jwk, ALGORITHMS)
            if key is not None and key.kid == kid:
                others[kid] = (jwk, until)
        others = {kid: other for kid, other in others.items() if kid not in own}
        before, self._others = self._foreign(), others
        if self._foreign() != before:
            self.on_change(self.jwks())

    def _own(self) -> Sequence[Mapping[str, Any]]:
        keys = self._keys
        following = () if keys.following is None else (keys.following.jwk,)
        retired = ({**old.jwk, "exp": int(old.until)} for old in keys.retired)
        return (keys.current.jwk, *following, *retired)

    def _foreign(self) -> Sequence[Mapping[str, Any]]:
        return [jwk for jwk, _ in self._others.values()]


def _shown(jwk: Mapping[str, Any], state: str, at: str | None) -> Mapping[str, object]:
    return {"key": jwk["kid"], "algorithm": jwk["alg"], "state": state, "at": at}


def _nobody(_told: Mapping[str, object]) -> None:
    """Nobody listens yet."""
