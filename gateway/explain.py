"""Tells why one request is allowed or refused, step by step; decides nothing itself: the steps of the gateway do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from gateway.errors import Refusal
from gateway.expressions import ExpressionError
from gateway.model import Coverage
from gateway.policy.asked import Asked
from gateway.policy.compile import AgentView, Denial, Grant
from gateway.policy.conditions import Condition
from gateway.policy.rules import matches
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded
from gateway.settings.trial import PaperClock, Question, Verdict, decide_on_paper, learnt_of, opening_of


class Line(NamedTuple):
    """One line of the story: which step it belongs to, and what it says."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """The verdict on a question, how it came about, and what would have had to differ.

    `entry` is the file and line of the entry that decided, None if none did.
    """

    verdict: Verdict
    lines: Sequence[Line]
    entry: str | None
    differ: Sequence[str]


def explain(loaded: Loaded, compiled: Compiled, question: Question) -> Story:
    """Decide the question as the gateway would, and tell how."""
    return _Teller(loaded, compiled, question).story()


@final
class _Teller:
    def __init__(self, loaded: Loaded, compiled: Compiled, question: Question) -> None:
        self._loaded: Final = loaded
        self._compiled: Final = compiled
        self._question: Final = question
        self._verdict: Final = decide_on_paper(compiled, question)
        self._view: Final[AgentView] = compiled.policy.view(question.agent)
        self._opening: Final = opening_of(question)

    def story(self) -> Story:
        lines = list(self._lines())
        return Story(self._verdict, lines, self._entry(), list(dict.fromkeys(self._differ())))

    # What happened.

    def _lines(self) -> Iterator[Line]:
        verdict, question = self._verdict, self._question
        yield Line("admit", f"{question.method} {question.target}")
        if verdict.upstream is None:
            yield Line("route" if verdict.code == "upstream_unknown" else "admit", self._outcome())
            return
        yield Line("route", f"upstream {verdict.upstream.name} ({self._place('upstreams', verdict.upstream.name)})")
        yield Line("authenticate", f"{question.agent} of tenant {verdict.principal.tenant}, on paper")
        opened = "by itself" if self._opening.starter == question.agent else f"by {self._opening.starter}"
        params = ", ".join(f"{name}={value}" for name, value in question.params.items())
        yield Line("authenticate", f"task opened {opened}, {f'with params {params}' if params else 'without params'}")
        yield Line("authenticate", f"the token can carry: {', '.join(verdict.held) or 'nothing'}")
        if verdict.use is None:
            yield Line("read the intent", self._outcome())
            return
        yield Line("read the intent", f"declared: {question.declared or 'nothing'}")
        for covering in verdict.use.observed:
            captured = ", ".join(f"{name}={value}" for name, value in covering.captures.items())
            place = self._place("intents", covering.intent)
            yield Line("read the intent", f"observed: {covering.intent} ({place}){f', {captured}' if captured else ''}")
        if not verdict.use.observed:
            yield Line("read the intent", "observed: no intent covers this operation")
        yield from self._decided()
        yield Line("decide", self._outcome())

    def _decided(self) -> Iterator[Line]:
        for covering, denial in self._denials():
            yield Line(
                "decide", f"denial {self._named(denial)} of {covering.intent}: {self._judged(denial.condition, covering)}"
            )
        intent = self._intent()
        if intent is None or self._verdict.code in ("denied", "tenant_mismatch"):
            return
        for grant in self._view.grants.get(intent.intent, ()):
            said = "it is for tasks opened otherwise (start)"
            if grant.is_for(self._opening):
                said = self._judged(grant.condition, intent)
            yield Line("decide", f"grant {self._named(grant)} of {intent.intent}: {said}")
            if self._verdict.permit is not None and self._verdict.permit.grant == grant.name:
                return

    def _outcome(self) -> str:
        verdict = self._verdict
        if verdict.permit is None:
            return f"refused: {verdict.code}. {verdict.detail}"
        if verdict.permit.code is not None:
            return f"{verdict.permit.code}, which is only observed here: forwarded"
        return f"allowed by the grant '{verdict.permit.grant}'"

    def _judged(self, condition: Condition | None, covering: Coverage) -> str:
        if condition is None:
            return "applies always"
        text = " ".join(condition.text.split())
        verdict = self._verdict
        if verdict.use is None or verdict.upstream is None or verdict.head is None:
            return f"not judged: {text}"
        clock = PaperClock(self._question.at)
        asked = Asked(
            verdict.principal, verdict.use, verdict.upstream, verdict.head, self._question.source, clock, covering,
            learnt_of(self._question),
        )  # fmt: skip
        try:
            return f"{'is true' if condition.holds(asked) else 'is false'}: {text}"
        except (ExpressionError, Refusal) as error:
            return f"cannot be judged ({error}): {text}"

    # What decided.

    def _entry(self) -> str | None:
        verdict = self._verdict
        if verdict.permit is not None and verdict.permit.grant:
            return self._entry_place("grants", verdict.permit.grant)
        if verdict.code == "denied":
            for covering, denial in self._denials():
                said = self._judged(denial.condition, covering)
                if not said.startswith("is false"):
                    return self._entry_place("denials", denial.name)
        if verdict.code == "condition_failed" and (intent := self._intent()) is not None:
            for grant in self._view.grants.get(intent.intent, ()):
                if grant.is_for(self._opening):
                    return self._entry_place("grants", grant.name)
        return None

    # What would have had to differ.

    def _differ(self) -> Iterator[str]:
        verdict, declared = self._verdict, self._question.declared
        told: dict[str, Callable[[], Iterator[str]]] = {
            "denied": self._without_denial,
            "condition_failed": self._other_condition,
            "intent_mismatch": self._other_intent,
            "intent_missing": self._other_intent,
            "intent_not_granted": self._other_grant,
        }
        if verdict.allowed or verdict.code is None:
            return
        if verdict.code in told:
            yield from told[verdict.code]()
        elif verdict.code == "upstream_unknown":
            yield f"the path would have to begin with one of {', '.join(self._prefixes())}"
        elif verdict.code == "tenant_mismatch":
            yield f"the token would have to be of the tenant {self._compiled.tenant}"
        else:
            yield f"the request itself: {verdict.detail}"
        if declared is not None and declared not in self._loaded.document.intents:
            yield f"there is no intent {declared}"

    def _without_denial(self) -> Iterator[str]:
        for covering, denial in self._denials():
            if not self._judged(denial.condition, covering).startswith("is false"):
                condition = "" if denial.condition is None else f", or {' '.join(denial.condition.text.split())} be false"
                yield f"the denial {self._named(denial)} would have to leave out {covering.intent}{condition}"

    def _other_condition(self) -> Iterator[str]:
        intent = self._intent()
        for grant in () if intent is None else self._view.grants.get(intent.intent, ()):
            if grant.condition is not None and grant.is_for(self._opening):
                yield f"{' '.join(grant.condition.text.split())} would have to be true (grant {self._named(grant)})"

    def _other_intent(self) -> Iterator[str]:
        observed = [] if self._verdict.use is None else [each.intent for each in self._verdict.use.observed]
        fitting = [intent for intent in observed if intent in self._verdict.held]
        if fitting:
            yield f"Agent-Intent would have to be {' or '.join(fitting)}"
        elif observed:
            yield f"the token would have to carry {' or '.join(observed)}, which this operation is"
        declared = self._question.declared
        rule = None if declared is None else self._loaded.document.intents.get(declared)
        if rule is not None:
            yield f"the operation would have to be one of {declared}: {', '.join(rule.templates)}"
        elif not observed:
            yield "an intent would have to cover this operation"

    def _other_grant(self) -> Iterator[str]:
        intent = self._question.declared
        for grant in self._loaded.document.grants:
            if intent is None or not any(matches(pattern, intent) for pattern in grant.intents):
                continue
            place = self._entry_place("grants", grant.name)
            known = next((each for each in self._view.grants.get(intent, ()) if each.name == grant.name), None)
            if known is None:
                yield f"the agent would have to be one of {', '.join(grant.agents)} (grant '{grant.name}', {place})"
            elif not known.is_for(self._opening):
                by = "by the agent itself, without params" if grant.start is None else f"by {', '.join(grant.start.by)}"
                when = "" if grant.start is None or grant.start.when is None else f", and {grant.start.when.strip()} be true"
                yield f"the task would have to be opened {by}{when} (grant '{grant.name}', {place})"
            elif self._question.intents is not None and intent not in self._question.intents:
                yield f"the token would have to carry {intent}, which the grant '{grant.name}' ({place}) lets it have"
        if not any(matches(pattern, intent or "") for grant in self._loaded.document.grants for pattern in grant.intents):
            yield f"a grant would have to name the intent {intent}"

    # Where things stand.

    def _denials(self) -> Iterator[tuple[Coverage, Denial]]:
        use = self._verdict.use
        for covering in () if use is None else use.observed:
            for denial in self._view.denials.get(covering.intent, ()):
                yield covering, denial

    def _intent(self) -> Coverage | None:
        """The observed intent that grants are asked about."""
        use, declared = self._verdict.use, self._question.declared
        observed = () if use is None else use.observed
        wanted = self._verdict.held if declared is None else (declared,)
        return next((each for each in observed if each.intent in wanted), None)

    def _prefixes(self) -> list[str]:
        return [upstream.prefix or "/" for upstream in self._compiled.upstreams.values()]

    def _named(self, entry: Grant | Denial) -> str:
        section = "grants" if isinstance(entry, Grant) else "denials"
        return f"'{entry.name}' ({self._entry_place(section, entry.name)})"

    def _entry_place(self, section: str, name: str) -> str:
        document = self._loaded.document
        names = [entry.name for entry in (document.grants if section == "grants" else document.denials)]
        return self._place(section, names.index(name))

    def _place(self, *where: str | int) -> str:
        flaw = self._loaded.flaw(where, "")
        return f"{flaw.file}:{flaw.line}"
