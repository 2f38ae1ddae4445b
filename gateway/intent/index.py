"""Which intents cover an operation: templates in a tree over path segments; knows nothing of who may hold an intent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.http.content import Content
from gateway.intent.demands import Demands
from gateway.intent.rules import TYPES, IntentRule, OperationRule, Template
from gateway.model import Coverage, Manner


class _Ending(NamedTuple):
    """A template that ends at a node: which intent it belongs to, which segments it captures and what it demands besides.

    `types` holds a place in the path and what its segment must pass.
    """

    order: int
    intent: str
    touches: tuple[str, ...]
    manner: Manner
    captures: tuple[tuple[str, int], ...]
    rest: str | None
    types: tuple[tuple[int, Callable[[str], object]], ...]
    demands: Demands | None


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    capture: "_Node | None" = None
    ends: dict[str, list[_Ending]] = field(default_factory=dict)
    rests: dict[str, list[_Ending]] = field(default_factory=dict)


class OperationIndex:
    """The operations of one upstream. Finding costs as many steps as the path has segments that a template names."""

    def __init__(
        self, intents: Mapping[str, IntentRule], reading_body: frozenset[str] = frozenset(),
        reading_labels: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """`intents` are those of the upstream, in file order.

        Of `reading_body` somebody reads the body to decide, of `reading_labels` the labels of the task.
        """
        self._root: Final = _Node()
        self._labelled: Final = reading_labels
        self._read: Final = set(reading_body)
        self.intents: Final = tuple(intents)
        """Their names."""
        self.logged: Final = {name: rule.log_arguments for name, rule in intents.items() if rule.log_arguments}
        """By intent the names of the arguments whose values are recorded."""
        for order, (name, rule) in enumerate(intents.items()):
            manner = Manner(frozenset(rule.adds), frozenset(rule.log_query), rule.risk == "high")
            for operation in rule.operations:
                self._add(operation, order, name, rule.touches, manner)

    def reads_body(self, observed: tuple[Coverage, ...]) -> bool:
        """Whether somebody has to read the body of such a request: to say which intents it is of, or whether it may be."""
        if not self._read:
            return False
        return any(coverage.intent in self._read for coverage in observed)

    def reads_labels(self, observed: tuple[Coverage, ...]) -> bool:
        """Whether a rule can ask such a request for the labels of its task."""
        if not self._labelled:
            return False
        return any(coverage.intent in self._labelled for coverage in observed)

    def covering(
        self, method: str, segments: tuple[str, ...], query: str | None = None, content: Content | None = None
    ) -> tuple[Coverage, ...]:
        """Every intent that covers the operation, in file order, each with the captures of its first template that fits.

        Without `content` the body meets every demand. Raises `Refusal` where a demand reads what has two readings.
        """
        found: dict[int, Coverage] = {}
        last = len(segments)
        pending = [(self._root, 0)]
        while pending:
            node, at = pending.pop()
            if at == last:
                for ending in node.ends.get(method, ()):
                    if ending.demands is None or ending.demands.met(query, content):
                        _collect(found, ending, segments, at)
                continue
            for ending in node.rests.get(method, ()):
                if ending.demands is None or ending.demands.met(query, content):
                    _collect(found, ending, segments, at)
            if node.capture is not None and segments[at]:
                pending.append((node.capture, at + 1))
            following = node.literals.get(segments[at])
            if following is not None:
                pending.append((following, at + 1))
        return tuple(found[order] for order in sorted(found)) if len(found) > 1 else tuple(found.values())

    def _add(self, rule: OperationRule, order: int, intent: str, touches: tuple[str, ...], manner: Manner) -> None:
        template = Template.parse(rule.operation)
        if rule.body:
            self._read.add(intent)
        node = self._root
        captures = []
        rest = None
        for at, (literal, name) in enumerate(template.segments):
            if literal is not None:
                node = node.literals.setdefault(literal, _Node())
            elif template.rest and at == len(template.segments) - 1:
                rest = name
            else:
                node.capture = node.capture or _Node()
                node = node.capture
                captures.append((name or "", at))
        table = node.ends if rest is None else node.rests
        types = tuple((place, TYPES[name]) for place, name in template.types)
        demands = Demands(rule.query, rule.body) if rule.query or rule.body else None
        ending = _Ending(order, intent, touches, manner, tuple(captures), rest, types, demands)
        table.setdefault(template.method, []).append(ending)


def _of_their_types(ending: _Ending, segments: tuple[str, ...]) -> bool:
    return all(fits(segments[place]) for place, fits in ending.types)


def _collect(found: dict[int, Coverage], ending: _Ending, segments: tuple[str, ...], at: int) -> None:
    if ending.order in found or (ending.types and not _of_their_types(ending, segments)):
        return
    captures = {name: segments[place] for name, place in ending.captures}
    if ending.rest is not None:
        captures[ending.rest] = "/".join(segments[at:])
    found[ending.order] = Coverage(ending.intent, captures, ending.touches, ending.manner)
