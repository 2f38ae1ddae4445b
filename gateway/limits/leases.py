"""All that one gateway has been lent: asked for ahead of need, given back when idle or recalled; knows neither lender nor line.

Spending never asks anybody. What a lease lacks is asked for at the end of the turn, together with everything else of that
turn, and whoever needs it waits. Nothing is ever spent that was not lent before, and nothing that was given back.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final, final

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.limits.account import Account, Waiter
from gateway.limits.labels import TaskLabels
from gateway.limits.requests import TaskRequests
from gateway.limits.wishes import (
    CONCURRENT,
    RATE,
    Answer,
    Back,
    Counted,
    Drifted,
    Event,
    Hold,
    Labelled,
    Lender,
    Reply,
    Told,
    Wish,
)
from gateway.model import Limit, Upstream

LOOK_EVERY: Final = 1.0
"""Seconds between two looks for what lies idle and what was not answered."""
ANSWER_WITHIN: Final = 2.0
"""Seconds after which a wish is given up; an answer that comes later is not spent."""
IDLE_LOOKS: Final = 3
"""How many looks find a lease unused before it is given back."""
IDLE_PLACES: Final = 60
"""The same for the places of an upstream, which are missed more than others need them."""
DRY: Final = 0.25
"""Seconds for which the answer that there is no more is believed."""
MOST_ACCOUNTS: Final = 65_536
"""How many limits one gateway spends from at a time."""


@final
class Leases:
    """The accounts of one gateway. `hear` is for its lender, `look` for a timer, everything else for requests."""

    def __init__(
        self, clock: Clock, at_end: Callable[[Callable[[], None]], object] | None = None, most: int = MOST_ACCOUNTS
    ) -> None:
        """`at_end` calls what it is given when the turn of the event loop ends; by default the running loop does.

        `most` accounts are kept at a time.
        """
        self.places: Final[dict[Upstream, Account]] = {}
        """The accounts of places by upstream, for the common request, which needs nothing else."""
        self.waits = 0
        """How often a request had to wait for a lease."""
        self._lender: Lender | None = None
        self._clock: Final = clock
        self._at_end: Final = at_end
        self._most: Final = most
        self._accounts: Final[dict[str, Account]] = {}
        self._asked: Final[dict[int, tuple[Account, Wish, float]]] = {}
        self._unsaid: list[Event] = []
        self._number = 0
        self._stopped = False
        self.labels: Final = TaskLabels(self._say)
        """What is known of the labels of tasks, over the same line."""
        self.requests: Final = TaskRequests(self._say)
        """How many requests tasks have made, over the same line."""

    def __repr__(self) -> str:
        return f"Leases({len(self._accounts)} accounts, {len(self._asked)} wishes)"

    @property
    def size(self) -> int:
        """How many accounts are kept."""
        return len(self._accounts)

    @property
    def in_use(self) -> int:
        """How many places are taken, of all limits."""
        return sum(account.in_use for account in self._accounts.values())

    def borrow_from(self, lender: Lender) -> None:
        """From now on wishes go there."""
        self._lender = lender

    # What requests call.

    def account(self, limit: Limit) -> Account:
        """The account of a limit. Raises `Refusal` if the gateway keeps too many."""
        account = self._accounts.get(limit.key)
        if account is None:
            if len(self._accounts) >= self._most:
                raise Refusal("overloaded", "The gateway keeps too many limits at a time.", retry_after=1)
            account = self._accounts[limit.key] = Account(limit)
        elif account.limit is not limit:
            self._follow(account, limit)
        return account

    def metered(self, limit: Limit) -> Account:
        """The account of a limit for an exchange that is under way: if the limit is another by now, it goes by that.

        Raises `Refusal` if the gateway keeps too many.
        """
        return self._accounts.get(limit.key) or self.account(limit)

    def place(self, upstream: Upstream) -> Account:
        """The account of an upstream's places, which the common request finds at once from now on."""
        account = self.account(upstream.places)
        if self.places.get(upstream) is not account:
            for former in [each for each, known in self.places.items() if known is account]:
                del self.places[former]
            self.places[upstream] = account
        return account

    def short_of(self, accounts: Sequence[Account], amount: int = 1) -> Account | None:
        """The first account that has less than this; None if all have it."""
        boot = self._clock.boot()
        for account in accounts:
            if not account.has(amount, boot):
                return account
        return None

    def take(self, account: Account, amount: int = 1) -> None:
        """Spend what `short_of` has found to be there, and ask for more in time."""
        account.left -= amount
        if account.low and not account.asked:
            boot = self._clock.boot()
            if boot >= account.quiet_until and boot >= account.dry_until:
                self._wish(account, 0, boot)

    def wait_for(self, account: Account, waiter: Waiter, amount: int = 1) -> None:
        """Tell the waiter when there may be enough. Raises `Refusal` if it is known that there will not."""
        boot = self._clock.boot()
        if boot < account.dry_until or self._stopped:
            raise account.refusal()
        account.waiting[waiter] = amount
        if not account.asked:
            self._wish(account, account.need, boot)

    def drifted(self, task: str) -> None:
        """Tell the authority that a request of the task was refused for what it asked for."""
        self._say(Drifted(task))

    # What the lender calls.

    def hear(self, reply: Reply) -> None:
        """An answer to a wish, or a recall."""
        if isinstance(reply, Answer):
            self._answered(reply)
        elif isinstance(reply, (Labelled, Told)):
            self.labels.hear(reply)
        elif isinstance(reply, Counted):
            self.requests.hear(reply)
        elif (account := self._accounts.get(reply.key)) is not None:
            self._give_back(account)
        else:
            self._say(Hold(reply.key, 0, 0) if reply.kind == CONCURRENT else Back(reply.key, "", 0))

    def restate(self) -> None:
        """The line was cut and is whole again: what was asked before will not be answered; what is held, is held still."""
        self._unsaid = []
        self.labels.restate()
        self.requests.restate()
        for account, _, _ in self._asked.values():
            account.asked = 0
        self._asked.clear()
        for account in self._accounts.values():
            if account.limit.kind == CONCURRENT and account.held:
                self._say(Hold(account.limit.key, account.limit.most, account.held))
            if account.waiting:
                self._wish(account, account.need, self._clock.boot())

    # What a timer calls.

    async def run(self) -> None:
        """Look after the accounts until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Give up wishes that were not answered, and give back what nobody uses."""
        boot = self._clock.boot()
        for number, (account, _, sent) in list(self._asked.items()):
            if boot - sent > ANSWER_WITHIN:
                del self._asked[number]
                account.asked = 0
                self._refuse_all(account)
        for account in list(self._accounts.values()):
            if account.look() >= (IDLE_PLACES if account.limit.shared and account.held else IDLE_LOOKS) and not account.asked:
                self._close(account)

    def stop(self) -> None:
        """Give everything back. No request may be under way, and none can be begun."""
        self._stopped = True
        for account in list(self._accounts.values()):
            self._refuse_all(account)
            self._close(account)
        self._flush()

    # Between them.

    def _follow(self, account: Account, limit: Limit) -> None:
        """The limit may come from another snapshot than before; the count under its key goes on.

        What was lent by a greater limit goes back, as does what an answer that is under way brings.
        """
        former, account.limit = account.limit, limit
        if limit.most >= former.most:
            return
        if limit.kind != CONCURRENT:
            if account.left > 0 and limit.kind != RATE:
                self._give_back(account)
            account.left = 0
        elif account.held > limit.most:
            account.lend(limit.most, account.drawn, math.inf, self._clock.boot())
            self._forget_wish(account)
            self._say(Hold(limit.key, limit.most, account.held))

    def _wish(self, account: Account, need: int, boot: float) -> None:
        limit = account.limit
        self._number += 1
        wish = Wish(self._number, limit.kind, limit.key, account.wanted(need, boot), need, limit.most, limit.window)
        account.asked = wish.number
        self._asked[wish.number] = (account, wish, boot)
        self._say(wish)

    def _answered(self, answer: Answer) -> None:
        account, wish, sent = self._asked.pop(answer.number, (None, None, 0.0))
        if account is None or wish is None:
            return
        account.asked = 0
        boot = self._clock.boot()
        if wish.kind != CONCURRENT and wish.most > account.limit.most:
            self._say(Back(wish.key, answer.drawn, answer.amount))
            if account.waiting:
                self._wish(account, account.need, boot)
            return
        before = account.held
        if answer.amount or wish.kind == CONCURRENT:
            account.lend(answer.amount, answer.drawn, sent + answer.lasts if answer.lasts else math.inf, boot)
        account.prospects = answer.after
        if answer.amount <= (before if wish.kind == CONCURRENT else 0):
            if wish.need:
                account.dry_until = boot + min(DRY, answer.after or DRY)
            else:
                account.quiet_until = boot + DRY
        self._serve(account)

    def _serve(self, account: Account) -> None:
        """Let those go on who wait, as far as it goes; then ask for the others, or refuse them."""
        waiting, account.waiting = account.waiting, {}
        for waiter, amount in waiting.items():
            if account.left > 0:
                waiter.ready()
            else:
                account.waiting[waiter] = amount
        if account.waiting and not account.asked:
            boot = self._clock.boot()
            if boot < account.dry_until:
                self._refuse_all(account)
            else:
                self._wish(account, account.need, boot)

    def _refuse_all(self, account: Account) -> None:
        waiting, account.waiting = account.waiting, {}
        for waiter in waiting:
            waiter.refuse(account.refusal())

    def _give_back(self, account: Account) -> None:
        """Give back what is not in use. Of places, an answer that is still under way says nothing true any more."""
        limit = account.limit
        if limit.kind == CONCURRENT:
            account.held, account.left = account.in_use, 0
            self._forget_wish(account)
            self._say(Hold(limit.key, limit.most, account.held))
            if account.waiting:
                self._wish(account, account.need, self._clock.boot())
            return
        left = account.left if account.has(1, self._clock.boot()) else 0
        account.left = 0
        self._say(Back(limit.key, account.drawn, left))

    def _forget_wish(self, account: Account) -> None:
        if account.asked:
            del self._asked[account.asked]
            account.asked = 0

    def _close(self, account: Account) -> None:
        if account.in_use or account.waiting:
            return
        if account.held or (account.left > 0 and account.limit.kind != RATE):
            self._give_back(account)
        self._forget_wish(account)
        del self._accounts[account.limit.key]
        for upstream in [each for each, known in self.places.items() if known is account]:
            del self.places[upstream]

    def _say(self, event: Event) -> None:
        self._unsaid.append(event)
        if len(self._unsaid) == 1:
            (self._at_end or asyncio.get_running_loop().call_soon)(self._flush)

    def _flush(self) -> None:
        said, self._unsaid = self._unsaid, []
        if said and self._lender is not None:
            self._lender.take(said)
