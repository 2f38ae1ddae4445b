"""The decision against a model that anybody can check by reading."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.model import (
    AgentPattern,
    Coverage,
    Current,
    DeclaredIntent,
    Operation,
    Origin,
    Principal,
    Upstream,
    Use,
    marks_of,
)
from gateway.policy.compile import Policy
from gateway.policy.decide import decide
from gateway.policy.rules import DenialRule, GrantRule, matches

INTENTS = ["a.read", "a.write", "b.read"]
AGENTS = ["spiffe://x.test/ns/one", "spiffe://x.test/ns/two", "spiffe://x.test/other"]
PATTERNS = [*AGENTS, "spiffe://x.test/ns/*", "spiffe://x.test/*"]
INTENT_PATTERNS = [*INTENTS, "*", "a.*", "*.read"]

UPSTREAM = Upstream(
    tenant="t", name="u", origin=Origin("http", "h", 1), prefix="/u", base_path="", protocol="http", credential="c"
)

grants = st.builds(
    lambda agents, intents, declare: (agents, intents, declare),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
    st.lists(st.sampled_from(INTENT_PATTERNS), min_size=1, max_size=2),
    st.sampled_from(["required", "implied"]),
)
denials = st.tuples(
    st.none() | st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
    st.lists(st.sampled_from(INTENT_PATTERNS), min_size=1, max_size=2),
)
requests = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(AGENTS),
        "held": st.frozensets(st.sampled_from(INTENTS), min_size=1),
        "declared": st.none() | st.sampled_from([*INTENTS, "no.such"]),
        "observed": st.lists(st.sampled_from(INTENTS), unique=True),
        "tenant": st.sampled_from(["t", "t", "t", "foreign"]),
    }
)


def policy(given_grants: list, given_denials: list) -> Policy:
    return Policy(
        [GrantRule(name=f"g{n}", agents=a, intents=i, declare=d) for n, (a, i, d) in enumerate(given_grants)],
        [DenialRule(name=f"d{n}", agents=a, intents=i) for n, (a, i) in enumerate(given_denials)],
        INTENTS,
        "digest",
    )


def answer(of: Policy, request: dict) -> str:
    principal = Current(
        Principal(
            agent=request["agent"],
            subject="s",
            tenant=request["tenant"],
            task="t",
            token="j",
            intents=request["held"],
            expires=9e9,
            epoch="e",
            marks=marks_of(token="j", task="t", agent="a", tenant="t"),
        )
    )
    declared = None if request["declared"] is None else DeclaredIntent(request["declared"])
    use = Use(declared, Operation("GET", "/", ("",)), tuple(Coverage(intent, {}, ()) for intent in request["observed"]))
    try:
        return "allow " + decide(of, principal, use, UPSTREAM).grant
    except Refusal as refusal:
        return refusal.code


def model(given_grants: list, given_denials: list, request: dict) -> str:
    """The rules of the design, one after the other, with no index and no cache."""

    def concerns(patterns: list[str] | None) -> bool:
        return patterns is None or any(AgentPattern.parse(text).covers(request["agent"]) for text in patterns)

    def granting(intent: str) -> tuple[int, str] | None:
        for number, (agents, intents, declare) in enumerate(given_grants):
            if concerns(agents) and any(matches(pattern, intent) for pattern in intents):
                return number, declare
        return None

    if request["tenant"] != "t":
        return "tenant_mismatch"
    for agents, patterns in given_denials:
        if concerns(agents) and any(matches(pattern, name) for pattern in patterns for name in request["observed"]):
            return "denied"
    intent = request["declared"]
    if intent is None:
        fitting = [name for name in request["observed"] if name in request["held"]]
        if len(fitting) != 1 or (granting(fitting[0]) or (0, "required"))[1] != "implied":
            return "intent_missing"
        intent = fitting[0]
    elif intent not in request["held"]:
        return "intent_not_granted"
    elif intent not in request["observed"]:
        return "intent_mismatch"
    found = granting(intent)
    return "intent_not_granted" if found is None else f"allow g{found[0]}"


@given(st.lists(grants, max_size=4), st.lists(denials, max_size=3), requests)
def test_the_decision_equals_the_model(given_grants: list, given_denials: list, request: dict) -> None:
    """Indexes and views change the cost of a decision, never the decision."""
    assert answer(policy(given_grants, given_denials), request) == model(given_grants, given_denials, request)


@given(st.lists(grants, max_size=4), st.lists(denials, max_size=2), denials, requests)
def test_another_denial_never_allows(given_grants: list, given_denials: list, another: tuple, request: dict) -> None:
    """What was refused stays refused when something more is forbidden."""
    before = answer(policy(given_grants, given_denials), request)
    after = answer(policy(given_grants, [*given_denials, another]), request)
    assert after in {before, "denied"}
    assert before.startswith("allow") or not after.startswith("allow")


@given(st.lists(denials, max_size=2), requests)
def test_silence_is_denial(given_denials: list, request: dict) -> None:
    """Without a grant nothing is allowed."""
    assert not answer(policy([], given_denials), request).startswith("allow")
