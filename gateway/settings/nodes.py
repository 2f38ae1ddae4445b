"""YAML files as one tree of values with their places; knows nothing of YAML's syntax.

Lines and columns count from 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Where = Sequence[str | int]
"""The path to a value from the root: keys of mappings, and indices of lists from 0."""


class Place(NamedTuple):
    """Where something begins in a file."""

    line: int
    column: int


class Entry(NamedTuple):
    """One key of a mapping, with its place, and its value."""

    line: int
    column: int
    node: "Node"


class Node:
    """One value. Nodes may be shared: an alias is the node of its anchor, and its flaws belong to the anchor's place."""

    __slots__ = ("broken", "entries", "file", "height", "items", "place", "size", "value", "variables")

    def __init__(  # noqa: PLR0913 what a parser finds out about a value is much
        self,
        place: tuple[int, int],
        value: Any,
        *,
        file: str,
        entries: Mapping[str, Entry] | None = None,
        items: Sequence["Node"] = (),
        size: int = 1,
        height: int = 1,
        variables: tuple[str, ...] = (),
        broken: bool = False,
    ) -> None:
        """`value` is plain: dict, list, text, number, truth value or None. `size` and `height` count with aliases put in.

        `file` names the one that `place` is in, and `variables` the environment variables that its text came from, so that it
        is never shown. `broken` says that a flaw was already reported here.
        """
        self.place = Place(*place)
        self.file = file
        self.value = value
        self.entries: Mapping[str, Entry] = {} if entries is None else entries
        self.items = items
        self.size = size
        self.height = height
        self.variables = variables
        self.broken = broken

    def __repr__(self) -> str:
        """The place and kind, never the value: it could be a secret."""
        return f"<{type(self.value).__name__} at {self.place.line}:{self.place.column}>"

    def take_apart(self) -> None:
        """Let go of all that is below, bit by bit: to free a large tree in one step would hold up everybody for as long."""
        for node in list(self.walk()):
            node.entries, node.items, node.value = {}, (), None

    def find(self, where: Where) -> "Node | None":
        """The value at a path, or None if nothing stands there."""
        node: Node | None = self
        for step in where:
            node = None if node is None else node.child(step)
        return node

    def child(self, step: str | int) -> "Node | None":
        """The value under one key or index."""
        if isinstance(step, int):
            return self.items[step] if 0 <= step < len(self.items) else None
        entry = self.entries.get(step)
        return None if entry is None else entry.node

    def nearest(self, where: Where) -> "Found":
        """The deepest value on the way to a path; steps that lead nowhere are passed over."""
        node, key, way = self, None, list[str | int]()
        for step in where:
            child = node.child(step)
            if child is None:
                continue
            if isinstance(step, str):
                entry = node.entries[step]
                key = Place(entry.line, entry.column)
            else:
                key = None
            node = child
            way.append(step)
        return Found(node, key, tuple(way))

    def walk(self) -> Iterator["Node"]:
        """This value and all below it, shared ones once."""
        seen: set[int] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            waiting.extend(node.items)
            waiting.extend(entry.node for entry in node.entries.values())


class Found(NamedTuple):
    """What was found on the way to a path: a value, the place of its key if it has one, and how far the way went."""

    node: Node
    key: Place | None
    way: tuple[str | int, ...]

    @property
    def of_value(self) -> Place:
        """Where to point when the value is wrong: its key, when the value is empty or a whole mapping."""
        if self.key is not None and isinstance(self.node.value, dict | None):
            return self.key
        return self.node.place

    @property
    def of_key(self) -> Place:
        """Where to point when the key is wrong, or when something is missing under it."""
        return self.node.place if self.key is None else self.key
