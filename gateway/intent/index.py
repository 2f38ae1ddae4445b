"""Which intents cover an operation: templates in a tree over path segments; knows nothing of who may hold an intent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.intent.rules import IntentRule, Template
from gateway.model import Coverage


class _Ending(NamedTuple):
    """A template that ends at a node: which intent it belongs to and which segments it captures."""

    order: int
    intent: str
    touches: tuple[str, ...]
    captures: tuple[tuple[str, int], ...]
    rest: str | None


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    capture: "_Node | None" = None
    ends: dict[str, list[_Ending]] = field(default_factory=dict)
    rests: dict[str, list[_Ending]] = field(default_factory=dict)


class OperationIndex:
    """The operations of one upstream. Finding costs as many steps as the path has segments that a template names."""

    def __init__(self, intents: Mapping[str, IntentRule]) -> None:
        """`intents` are those of the upstream, in file order."""
        self._root: Final = _Node()
        for order, (name, rule) in enumerate(intents.items()):
            for text in rule.operations:
                self._add(Template.parse(text), order, name, rule.touches)

    def covering(self, method: str, segments: tuple[str, ...]) -> tuple[Coverage, ...]:
        """Every intent that covers the operation, in file order, each with the captures of its first template that fits."""
        found: dict[int, Coverage] = {}
        last = len(segments)
        pending = [(self._root, 0)]
        while pending:
            node, at = pending.pop()
            if at == last:
                for ending in node.ends.get(method, ()):
                    _collect(found, ending, segments, at)
                continue
            for ending in node.rests.get(method, ()):
                _collect(found, ending, segments, at)
            if node.capture is not None and segments[at]:
                pending.append((node.capture, at + 1))
            following = node.literals.get(segments[at])
            if following is not None:
                pending.append((following, at + 1))
        return tuple(found[order] for order in sorted(found)) if len(found) > 1 else tuple(found.values())

    def _add(self, template: Template, order: int, intent: str, touches: tuple[str, ...]) -> None:
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
        table.setdefault(template.method, []).append(_Ending(order, intent, touches, tuple(captures), rest))


def _collect(found: dict[int, Coverage], ending: _Ending, segments: tuple[str, ...], at: int) -> None:
    if ending.order in found:
        return
    captures = {name: segments[place] for name, place in ending.captures}
    if ending.rest is not None:
        captures[ending.rest] = "/".join(segments[at:])
    found[ending.order] = Coverage(ending.intent, captures, ending.touches)
