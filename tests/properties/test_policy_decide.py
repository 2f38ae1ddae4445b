"""The decision against a model that anybody can check by reading."""

from collections.abc import Callable

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.content import Content
from gateway.http.fields import request_vocabulary
from gateway.http.head import parse_request
from gateway.known_claims import known_of
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
from gateway.policy.asked import Learnt
from gateway.policy.compile import Policy
from gateway.policy.decide import decide
from gateway.policy.observe import OBSERVABLE, Observing
from gateway.policy.rules import DenialRule, GrantRule, matches

INTENTS = ["a.read", "a.write", "b.read"]
AGENTS = ["spiffe://x.test/ns/one", "spiffe://x.test/ns/two", "spiffe://x.test/other"]
PATTERNS = [*AGENTS, "spiffe://x.test/ns/*", "spiffe://x.test/*"]
INTENT_PATTERNS = [*INTENTS, "*", "a.*", "*.read"]

UPSTREAM = Upstream(
    tenant="t", name="u", origin=Origin("http", "h", 1), prefix="/u", base_path="", protocol="http", credential="c"
)

HEAD = parse_request(b"GET /u/1?q=1 HTTP/1.1\r\nHost: x\r\nX-A: b", request_vocabulary(()), most_lines=9)


class HandClock(Clock):
    """Shows the time that a test sets."""

    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


def asked_for(request: dict) -> dict:
    """The claims of the subject, or the failure that it is when nobody asked for them while they were at hand."""
    if "region" not in request["known"]:
        raise KeyError("region")
    return request["claims"]


def lacking(mapping: dict, name: str) -> str:
    """A member, or the failure that its lack is."""
    if name not in mapping:
        raise KeyError(name)
    return mapping[name]


# What a condition says in CEL, and the same in Python for the captures of an intent and the rest of the request.
CONDITIONS = {
    None: lambda _captures, _request: True,
    'path.x == "1"': lambda captures, _request: lacking(captures, "x") == "1",
    "path.x == task.params.x": lambda captures, request: lacking(captures, "x") == lacking(request["params"], "x"),
    'path.x != "1"': lambda captures, _request: lacking(captures, "x") != "1",
    "has(path.x)": lambda captures, _request: "x" in captures,
    "!(has(task.params.x) && task.params.x == path.x)": lambda captures, request: (
        "x" not in request["params"] or request["params"]["x"] != lacking(captures, "x")
    ),
    'now < timestamp("2027-01-15T08:00:00Z")': lambda _captures, request: request["time"] < 1_800_000_000.0,
    'request.headers["x-a"] == ["b"] && request.query.q[0] == "1"': lambda _captures, _request: True,
    '"untrusted" in task.labels': lambda _captures, request: "untrusted" in request["labels"],
    "task.requests < 5": lambda _captures, request: lacking(request, "requests") < 5,
    'subject.claims.region == "eu"': lambda _captures, request: lacking(asked_for(request), "region") == "eu",
    "has(subject.claims.region)": lambda _captures, request: "region" in asked_for(request),
    '"untrusted" in task.labels || !has(subject.claims.region)': lambda _captures, request: (
        "untrusted" in request["labels"] or "region" not in asked_for(request)
    ),
    "request.json.amount <= 5": lambda _captures, request: lacking(request["body"], "amount") <= 5,
}
STARTS = {
    None: lambda plain, _starter, _params: plain,
    (AGENTS[1], None): lambda _plain, starter, _params: starter == AGENTS[1],
    ("spiffe://x.test/*", 'task.params.x == "1"'): lambda _plain, _starter, params: params.get("x") == "1",
}
conditions = st.sampled_from(list(CONDITIONS))
texts = st.dictionaries(st.just("x"), st.sampled_from(["1", "2"]))

grants = st.tuples(
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
    st.lists(st.sampled_from(INTENT_PATTERNS), min_size=1, max_size=2),
    st.sampled_from(["required", "implied"]),
    conditions,
    st.sampled_from(list(STARTS)),
).filter(lambda grant: grant[4] is not None or "params" not in (grant[3] or ""))
denials = st.tuples(
    st.none() | st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
    st.lists(st.sampled_from(INTENT_PATTERNS), min_size=1, max_size=2),
    conditions,
)
requests = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(AGENTS),
        "held": st.frozensets(st.sampled_from(INTENTS), min_size=1),
        "declared": st.none() | st.sampled_from([*INTENTS, "no.such"]),
        "observed": st.lists(st.sampled_from(INTENTS), unique=True),
        "tenant": st.sampled_from(["t", "t", "t", "foreign"]),
        "captures": st.fixed_dictionaries(dict.fromkeys(INTENTS, texts)),
        "params": texts,
        "starter": st.none() | st.sampled_from(AGENTS[1:]),
        "time": st.sampled_from([1_799_999_999.0, 1_800_000_000.0]),
        "labels": st.sampled_from([frozenset(), frozenset(("untrusted",))]),
        "body": st.sampled_from([{}, {"amount": 5}, {"amount": 6}]),
        "requests": st.sampled_from([0, 4, 5]),
        "claims": st.sampled_from([{}, {"region": "eu"}, {"region": "us"}]),
        "known": st.sampled_from([frozenset(), frozenset(("region",))]),
    }
)


def policy(given_grants: list, given_denials: list, observing: Observing | None = None) -> Policy:
    return Policy(
        [
            GrantRule(name=f"g{n}", agents=a, intents=i, declare=d, when=w, start=s and {"by": [s[0]], "when": s[1]})
            for n, (a, i, d, w, s) in enumerate(given_grants)
        ],
        [DenialRule(name=f"d{n}", agents=a, intents=i, when=w) for n, (a, i, w) in enumerate(given_denials)],
        INTENTS,
        "digest",
        observing,
    )


def principal_of(request: dict) -> Current:
    return Current(
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
            params=request["params"],
            starter=None if request["starter"] == request["agent"] else request["starter"],
            subject_claims=known_of(request["claims"], request["known"]),
        )
    )


def use_of(request: dict) -> Use:
    declared = None if request["declared"] is None else DeclaredIntent(request["declared"])
    observed = tuple(Coverage(intent, request["captures"][intent], ()) for intent in request["observed"])
    content = Content(orjson.dumps(request["body"]), b"application/json", coded=False)
    return Use(declared, Operation("GET", "/", ("",)), observed, content)


def ask(of: Policy, principal: Current, use: Use, request: dict) -> str:
    clock = HandClock()
    clock.time = request["time"]
    try:
        permit = decide(of, principal, use, UPSTREAM, HEAD, "127.0.0.1", clock, Learnt(request["labels"], request["requests"]))
    except Refusal as refusal:
        return refusal.code
    return f"allow {permit.grant}" if permit.enforced else f"observed {permit.code}"


def answer(of: Policy, request: dict) -> str:
    return ask(of, principal_of(request), use_of(request), request)


def holds(condition: str | None, intent: str, request: dict) -> bool | None:
    """None where nobody can say."""
    try:
        return CONDITIONS[condition](request["captures"][intent], request)
    except KeyError:
        return None


def model(given_grants: list, given_denials: list, request: dict) -> str:
    """The rules of the design, one after the other, with no index and no cache."""

    def concerns(patterns: list[str] | None) -> bool:
        return patterns is None or any(AgentPattern.parse(text).covers(request["agent"]) for text in patterns)

    if request["tenant"] != "t":
        return "tenant_mismatch"
    for agents, patterns, condition in given_denials:
        if concerns(agents) and any(
            matches(pattern, name) and holds(condition, name, request) is not False
            for pattern in patterns
            for name in request["observed"]
        ):
            return "denied"
    fitting = [name for name in request["observed"] if name in request["held"]]
    intent = request["declared"]
    if intent is None and len(fitting) != 1:
        return "intent_missing"
    if intent is not None and intent not in request["held"]:
        return "intent_not_granted"
    if intent is not None and intent not in request["observed"]:
        return "intent_mismatch"
    return granted(given_grants, request, intent or fitting[0], concerns)


def granted(given_grants: list, request: dict, intent: str, concerns: Callable[[list[str]], bool]) -> str:
    """The first grant that is for such tasks and whose condition holds."""
    starter = request["starter"] or request["agent"]
    code = "intent_not_granted"
    for number, (agents, patterns, declare, condition, start) in enumerate(given_grants):
        plain = starter == request["agent"] and not request["params"]
        named = concerns(agents) and any(matches(pattern, intent) for pattern in patterns)
        if not named or not STARTS[start](plain, starter, request["params"]):
            continue
        held = holds(condition, intent, request)
        if held is None:
            return "condition_failed"
        if held:
            return f"allow g{number}" if declare == "implied" or request["declared"] else "intent_missing"
        code = "condition_failed"
    return code


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


@given(st.lists(grants, min_size=1, max_size=4), st.lists(denials, max_size=2), st.lists(requests, min_size=2, max_size=4))
def test_what_is_kept_is_what_would_be_decided_anew(given_grants: list, given_denials: list, asked: list[dict]) -> None:
    """One use that comes again at another time, and with other tokens between, is answered as if it came first."""
    of = policy(given_grants, given_denials)
    use = use_of(asked[0])
    same = [{**request, **{key: asked[0][key] for key in ("declared", "observed", "captures", "body")}} for request in asked]
    principals = [principal_of(request) for request in same]
    for _ in range(2):
        for request, principal in zip(same, principals, strict=True):
            for time in (1_799_999_999.0, 1_800_000_000.0):
                assert ask(of, principal, use, {**request, "time": time}) == answer(of, {**request, "time": time})


EVERYTHING = Observing(everything=True, upstreams=frozenset(), grants=frozenset(), intents={"u": frozenset(INTENTS)})


@given(st.lists(grants, max_size=4), st.lists(denials, max_size=3), requests)
def test_observe_mode_records_what_would_have_been(given_grants: list, given_denials: list, request: dict) -> None:
    """What is allowed stays allowed by the same grant, and what policy refuses passes with the code that it would have had."""
    enforced = answer(policy(given_grants, given_denials), request)
    observed = answer(policy(given_grants, given_denials, EVERYTHING), request)
    assert observed == (f"observed {enforced}" if enforced in OBSERVABLE else enforced)


@given(st.lists(grants, min_size=1, max_size=4), st.lists(denials, max_size=3), st.frozensets(st.integers(0, 3)), requests)
def test_an_observing_grant_overrides_no_denial(
    given_grants: list, given_denials: list, some: frozenset, request: dict
) -> None:
    """It lets nothing pass that a denial forbids, and refuses nothing that would be allowed."""
    observing = Observing(
        everything=False, upstreams=frozenset(), grants=frozenset(f"g{number}" for number in some),
        intents={"u": frozenset(INTENTS)},
    )  # fmt: skip
    enforced = answer(policy(given_grants, given_denials), request)
    observed = answer(policy(given_grants, given_denials, observing), request)
    assert observed in {enforced, f"observed {enforced}"}
    assert not observed.startswith("observed") or (enforced in OBSERVABLE and enforced != "denied")


@given(
    st.lists(grants, max_size=4), st.lists(denials, max_size=3), requests, st.frozensets(st.sampled_from(INTENTS), min_size=1)
)
def test_a_token_with_fewer_intents_never_gains(
    given_grants: list, given_denials: list, request: dict, kept: frozenset[str]
) -> None:
    """What a child of the same agent may do with fewer intents and the same params, its parent may."""
    narrower = {**request, "held": request["held"] & kept or request["held"], "declared": request["declared"] or "a.read"}
    of = policy(given_grants, given_denials)
    if (got := answer(of, narrower)).startswith("allow"):
        assert answer(of, {**narrower, "held": request["held"]}) == got


@given(st.lists(grants, max_size=4), st.lists(denials, max_size=3), requests)
def test_a_label_never_allows_where_only_denials_read_it(given_grants: list, given_denials: list, request: dict) -> None:
    """Where no grant asks for labels, one more label can only forbid."""
    of = policy([grant for grant in given_grants if "labels" not in (grant[3] or "")], given_denials)
    without, labelled = ({**request, "labels": labels} for labels in (frozenset(), frozenset(("untrusted",))))
    assert answer(of, labelled) in {answer(of, without), "denied"}
