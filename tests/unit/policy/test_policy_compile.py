"""What a policy says of an agent: found by look-ups, made once, kept within a bound."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.model import AgentPattern
from gateway.policy.compile import AGENTS_KEPT, Grant, Policy
from gateway.policy.rules import DenialRule, GrantRule

AGENTS = ["spiffe://x.test/ns/one", "spiffe://x.test/ns/one/deeper", "spiffe://x.test/nsx/one", "spiffe://y.test/ns/one"]
PATTERNS = [*AGENTS, "spiffe://x.test/*", "spiffe://x.test/ns/*", "spiffe://x.test/ns/one/*", "spiffe://y.test/*"]
INTENTS = ("invoices.read", "invoices.write", "tickets.read")


def grant(name: str, agents: list[str], intents: list[str], **more: object) -> GrantRule:
    """A grant as an operator writes it."""
    return GrantRule.model_validate({"name": name, "agents": agents, "intents": intents, **more})


def denial(name: str, intents: list[str], agents: list[str] | None = None) -> DenialRule:
    """A denial; without agents it concerns everybody."""
    return DenialRule.model_validate({"name": name, "intents": intents, "agents": agents})


def first_grant(policy: Policy, agent: str, intent: str) -> Grant | None:
    """The first grant that the view has for the intent."""
    return next(iter(policy.view(agent).grants.get(intent, ())), None)


def first_denial(policy: Policy, agent: str, intents: list[str]) -> str | None:
    """The name of the first denial that forbids one of the intents."""
    denials = policy.view(agent).denials
    return next((denial.name for intent in intents for denial in denials.get(intent, ())), None)


def test_the_first_grant_in_file_order_decides() -> None:
    """However it names the agent: exactly, by a path or by everything below a trust domain."""
    policy = Policy(
        [
            grant("wide", ["spiffe://x.test/*"], ["tickets.read"], ttl="1m"),
            grant("exact", ["spiffe://x.test/ns/one"], ["*"], declare="implied"),
            grant("late", ["spiffe://x.test/ns/*"], ["invoices.read"]),
        ],
        [],
        INTENTS,
        "digest",
    )
    assert first_grant(policy, "spiffe://x.test/ns/one", "tickets.read") == Grant("wide", implied=False, ttl=60.0)
    assert first_grant(policy, "spiffe://x.test/ns/one", "invoices.read") == Grant("exact", implied=True, ttl=None)
    assert first_grant(policy, "spiffe://x.test/ns/two", "invoices.read") == Grant("late", implied=False, ttl=None)
    assert first_grant(policy, "spiffe://x.test/ns/two", "invoices.write") is None
    assert first_grant(policy, "spiffe://y.test/ns/one", "invoices.read") is None


def test_the_first_denial_is_named() -> None:
    """A denial without agents concerns everybody, and one intent of several is enough."""
    policy = Policy(
        [], [denial("nobody writes", ["*.write"]), denial("one is barred", ["*"], ["spiffe://x.test/ns/one"])], INTENTS, "d"
    )
    assert first_denial(policy, "spiffe://y.test/any", ["invoices.read", "invoices.write"]) == "nobody writes"
    assert first_denial(policy, "spiffe://y.test/any", ["invoices.read"]) is None
    assert first_denial(policy, "spiffe://x.test/ns/one", ["tickets.read"]) == "one is barred"
    assert first_denial(policy, "spiffe://x.test/ns/one", ["invoices.write"]) == "nobody writes"


def test_a_pattern_names_only_intents_that_exist() -> None:
    """A star grants nothing that the configuration does not know."""
    policy = Policy([grant("all", ["spiffe://x.test/*"], ["*"])], [denial("no", ["invoices.*"])], INTENTS, "d")
    view = policy.view("spiffe://x.test/a")
    assert set(view.grants) == set(INTENTS)
    assert set(view.denials) == {"invoices.read", "invoices.write"}


@given(st.lists(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3), max_size=6), st.sampled_from(AGENTS))
def test_look_ups_find_what_a_scan_finds(rules: list[list[str]], agent: str) -> None:
    """An index changes the cost and nothing else: the same rule decides."""
    policy = Policy([grant(str(n), agents, ["tickets.read"]) for n, agents in enumerate(rules)], [], INTENTS, "d")
    concerning = [n for n, agents in enumerate(rules) if any(AgentPattern.parse(text).covers(agent) for text in agents)]
    found = first_grant(policy, agent, "tickets.read")
    assert (None if found is None else found.name) == (str(concerning[0]) if concerning else None)


def test_a_view_is_made_once() -> None:
    """The second request of an agent costs one look-up."""
    policy = Policy([grant("all", ["spiffe://x.test/*"], ["*"])], [], INTENTS, "d")
    assert policy.view("spiffe://x.test/a") is policy.view("spiffe://x.test/a")
    assert policy.view("spiffe://x.test/a") is not policy.view("spiffe://x.test/b")


def test_views_are_bounded_and_made_anew() -> None:
    """Agents come by the thousand; one that was dropped is told the same as before."""
    policy = Policy([grant("all", ["spiffe://x.test/*"], ["*"])], [], INTENTS, "d")
    first = policy.view("spiffe://x.test/first")
    for number in range(AGENTS_KEPT):
        policy.view(f"spiffe://x.test/{number}")
    assert len(policy._views) == AGENTS_KEPT
    again = policy.view("spiffe://x.test/first")
    assert again is not first
    assert again == first


def test_an_agent_in_use_is_not_the_one_that_is_dropped() -> None:
    """A flood of others does not cost the busy ones their view."""
    policy = Policy([], [], INTENTS, "d")
    busy = policy.view("spiffe://x.test/busy")
    for number in range(2 * AGENTS_KEPT):
        policy.view(f"spiffe://x.test/{number}")
        assert policy.view("spiffe://x.test/busy") is busy


def test_a_view_holds_only_what_can_matter() -> None:
    """Behind a grant or a denial without a condition nothing is asked, but what is for tasks of other starters."""
    here, start = ["spiffe://x.test/*"], {"by": ["spiffe://x.test/starter"]}
    policy = Policy(
        [
            grant("on a condition", here, ["tickets.read"], when='path.id == "1"'),
            grant("free", here, ["tickets.read"]),
            grant("never asked", here, ["tickets.*"], when='path.id == "2"'),
            grant("for others", here, ["tickets.read"], start=start),
        ],
        [
            DenialRule.model_validate({"name": "at one", "intents": ["*"], "when": 'path.id == "1"'}),
            denial("always", ["tickets.read"]),
            denial("too late", ["*"]),
        ],
        INTENTS,
        "d",
    )
    view = policy.view("spiffe://x.test/a")
    assert [each.name for each in view.grants["tickets.read"]] == ["on a condition", "free", "for others"]
    assert view.free == {}
    assert [each.name for each in view.denials["tickets.read"]] == ["at one", "always"]
    assert [each.name for each in view.denials["invoices.read"]] == ["at one", "too late"]


def test_only_those_are_counted_whom_a_rule_concerns_that_asks() -> None:
    """A grant or a denial that reads `task.requests` and that can matter for the agent; nobody pays for those of others."""
    few = {"when": "task.requests < 5"}
    grants = [
        grant("all", [AGENTS[0]], ["tickets.read"]),
        grant("never reached", [AGENTS[0]], ["tickets.read"], **few),
        grant("few", [AGENTS[1]], ["invoices.*"], **few),
        grant("all", [AGENTS[2]], ["invoices.read"]),
    ]
    denials = [DenialRule(name="late", agents=[AGENTS[2]], intents=["*.write"], when="task.requests > 9 || path.x == 'y'")]
    policy = Policy(grants, denials, INTENTS, "d")
    assert policy.counting
    assert [policy.view(agent).counts for agent in AGENTS] == [False, True, True, False]
    assert not Policy(grants[:1], [], INTENTS, "d").counting
