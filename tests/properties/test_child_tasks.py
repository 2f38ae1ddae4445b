"""A child task never gains: whatever its parents hold, and whatever is asked for, through the authority and a gateway."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.authority import AGENT, OTHER, Grants, Log, StillClock, build_authority, identity
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authority.authority import Authority
from gateway.authority.exchange import Issued
from gateway.authority.grounds import Bounds, Grounds
from gateway.authority.refused import RefusedError
from gateway.authority.tasks import Tasks
from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary
from gateway.http.head import parse_request
from gateway.identity.authenticate import authenticate
from gateway.identity.issuers import Issuers
from gateway.identity.standing import Standing
from gateway.kind import read_pace
from gateway.model import Origin, Principal, Upstream

HELPER = "spiffe://acme.example/ns/agents/sa/helper"
AGENTS = (AGENT, OTHER, HELPER)
INTENTS = ("a.read", "a.write", "b.read", "b.write")
UPSTREAM = Upstream(
    tenant="acme", name="a", origin=Origin("http", "h", 1), prefix="/a", base_path="", protocol="http", credential="c"
)

some_intents = st.lists(st.sampled_from(INTENTS), max_size=4, unique=True)
some_params = st.dictionaries(st.sampled_from(("customer", "region")), st.sampled_from(("42", "43")), max_size=2)
some_limits = st.fixed_dictionaries(
    {},
    optional={
        "requests": st.integers(1, 6),
        "bytes": st.integers(1, 6),
        "concurrent": st.integers(1, 6),
        "rate": st.tuples(st.integers(1, 130), st.sampled_from("smh")).map(lambda pace: f"{pace[0]}/{pace[1]}"),
    },
)
policies = st.fixed_dictionaries({agent: some_intents.map(set) for agent in AGENTS})


@st.composite
def steps(draw: st.DrawFn) -> tuple[Any, ...]:
    """What is done next with one of the tokens that there are, by its own agent or another; often with nothing special."""
    kind = draw(st.sampled_from(("child",) * 4 + ("renew", "renew", "label", "time")))
    return (
        kind,
        draw(st.integers(0, 40)),
        draw(st.sampled_from((None, None, *AGENTS))),
        draw(st.one_of(st.just([]), some_intents)),
        draw(st.one_of(st.just({}), some_params)),
        draw(st.one_of(st.just({}), some_limits)),
        draw(st.sampled_from((None, None, 1.0, 60.0, 200.0, 3600.0, 10**6))),
        draw(st.sampled_from((None, None, *AGENTS))),
    )


@dataclass
class Held:
    """A token, what the gateway makes of it, and the one above it."""

    issued: Issued
    above: "Held | None"
    expires: float
    may_act: str | None
    principal: Principal | None
    """None for a token that is good for a child task and for nothing else."""


class World:
    """One authority with a gateway, and every token that was given."""

    def __init__(self, authority: Authority, clock: StillClock, grants: Grants) -> None:
        self.authority = authority
        self.clock = clock
        self.grants = grants
        self.held: list[Held] = []
        self.standing = Standing(
            clock, issuer=authority.issuer, audience="doorward", tenants=frozenset(("acme",)), prefix="dwt_", max_staleness=10.0
        )

    async def play(
        self, kind: str, at: int, agent: str | None, intents: list[str], params: dict, limits: dict, duration: float | None,
        may_act: str | None,
    ) -> None:  # fmt: skip
        above = self.held[at % len(self.held)]
        exchange, bounds = self.authority.exchange, Bounds(limits=limits, duration=duration, may_act=may_act)
        if kind == "time":
            self.clock.seconds += at
        elif kind == "label":
            await self.authority.store.label(above.issued.task, [f"label{at}"])
        elif kind == "renew":
            row, grounds = above.issued.row, Grounds()
            if above.above is not None:
                grounds = Grounds(parent=await parent(self.authority.tasks, above.above.issued.token))
            issued = await exchange.renew(identity(row.agent), row.id, intents, grounds=grounds, bounds=Bounds(may_act=may_act))
            self.hold(issued, above.above, may_act)
        else:
            grounds = Grounds(parent=await parent(self.authority.tasks, above.issued.token))
            issued = await exchange.open_task(
                identity(agent or above.issued.row.agent), intents, params, grounds=grounds, bounds=bounds
            )
            self.hold(issued, above, may_act)

    def hold(self, issued: Issued, above: Held | None, may_act: str | None = None) -> None:
        principal = None
        with suppress(Refusal):  # what names another agent in may_act is for the authority alone
            principal = authenticate(head_with(issued.token), UPSTREAM, Issuers([self.standing]), "192.0.2.1")
        assert (principal is None) == (may_act is not None)
        self.held.append(Held(issued, above, self.clock.now() + issued.lifetime, may_act, principal))


async def parent(tasks: Tasks, token: str) -> Any:
    """The grounds of whoever shows this token. Raises `RefusedError` as an endpoint would for a dead one."""
    found = await tasks.parent(token)
    if found is None:
        raise RefusedError("invalid_request", "It gives no access now.")
    return found


def head_with(token: str) -> Any:
    """A request with this token."""
    text = f"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}"
    return parse_request(text.encode(), request_vocabulary(["authorization"]), most_lines=9)


def per_second(pace: object) -> float:
    """What a rate allows."""
    read = read_pace(pace)
    return read.number / read.seconds


def check_narrower(child: Held, above: Held, grants: Grants) -> None:
    """Nothing of the child is more than what the token above it holds, nor more than policy gives to its agent."""
    mine, its = child.issued.row, above.issued.row
    assert set(child.issued.intents) <= set(above.issued.intents) & grants.intents[mine.agent]
    assert mine.params == its.params
    assert mine.ends <= its.ends
    assert child.expires <= min(above.expires, mine.ends)
    assert (mine.tenant, mine.subject) == (its.tenant, its.subject)
    assert mine.agent in (its.agent, above.may_act)
    for name, limit in its.limits.items():
        if name in mine.limits:
            measure = per_second if name == "rate" else float
            assert measure(mine.limits[name]) <= measure(limit)
    if child.principal is not None:
        assert child.principal.intents == set(child.issued.intents)
        assert child.principal.family == its.family
    if child.principal is not None and above.principal is not None:
        assert set(above.principal.limits) <= set(child.principal.limits)  # it spends from all that those above spend from
        assert child.principal.params == above.principal.params
        assert child.principal.expires <= above.principal.expires


@given(policies, some_intents.filter(bool), some_params, some_limits, st.lists(steps(), max_size=12))
@settings(deadline=None, max_examples=80)
def test_no_child_gains(
    intents: dict[str, set[str]], first: list[str], params: dict, limits: dict, done: list[tuple[Any, ...]]
) -> None:
    """Intents, params, limits, labels, life, tenant and subject, over any number of levels, renewals and hands."""

    async def play() -> None:
        clock, grants = StillClock(), Grants()
        grants.intents = {**intents, AGENT: intents[AGENT] | set(first)}
        authority = await build_authority(Path("nowhere"), clock, Log(), grants, store="memory")
        world = World(authority, clock, grants)
        await authority.feed.subscribe(world.standing)
        world.hold(await authority.exchange.open_task(identity(), first, params, bounds=Bounds(limits=limits)), None)
        for step in done:
            with suppress(RefusedError):
                await world.play(*step)
        for held in world.held:
            labels = await authority.store.labels(held.issued.task)
            assert labels == await authority.store.labels(world.held[0].issued.task)
            if held.above is not None:
                check_narrower(held, held.above, grants)
        await authority.stop()

    asyncio.run(play())
