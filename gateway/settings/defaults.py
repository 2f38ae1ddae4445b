"""Puts what `defaults` says into the entries that leave it out, each value at its own place; knows nothing of what it means.

defaults: {upstream: {networks: [10.0.0.0/8]}, grant: {proof: required}, exception: {owner: billing team, review_every: 30d}}
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.errors import ConfigurationError, Flaw
from gateway.settings.nodes import Entry, Node
from gateway.settings.yaml_file import NODES

_Fill = Callable[[Node, Node], Node]


def with_defaults(root: Node) -> Node:
    """The same tree with every entry complete. What an entry says itself replaces what the default says of it, as a whole.

    Raises `ConfigurationError` if that makes it larger than a file may be.
    """
    defaults = root.entries.get("defaults")
    if defaults is None:
        return root
    entries = dict(root.entries)
    for kind, (section, fill) in _FILLS.items():
        default, entry = defaults.node.entries.get(kind), entries.get(section)
        if default is not None and entry is not None and isinstance(default.node.value, dict):
            entries[section] = entry._replace(node=_each(entry.node, fill, default.node))
    made = mapping(root, entries)
    if made.size > NODES:
        told = f"with its defaults the configuration holds more than {NODES} values"
        raise ConfigurationError([Flaw(root.file, defaults.line, defaults.column, told)])
    return made


def _each(node: Node, fill: _Fill, default: Node) -> Node:
    """Every entry of a section filled up, be it a mapping or a list."""
    if isinstance(node.value, dict):
        return mapping(node, {name: entry._replace(node=fill(entry.node, default)) for name, entry in node.entries.items()})
    if isinstance(node.value, list):
        items = [fill(item, default) for item in node.items]
        size = 1 + sum(item.size for item in items)
        return Node(node.place, [item.value for item in items], file=node.file, items=items, size=size, height=node.height)
    return node


def _filled(node: Node, default: Node) -> Node:
    if not isinstance(node.value, dict):  # for validation to report
        return node
    return mapping(node, {**node.entries, **dict(_left_out(node, default))})


def _with_exception(node: Node, default: Node) -> Node:
    """A credential says itself that it is an exception, if only by an empty one: no default permits a static secret."""
    entry = node.entries.get("exception")
    if entry is None or not isinstance(entry.node.value, dict):
        return node
    return mapping(node, {**node.entries, "exception": entry._replace(node=_filled(entry.node, default))})


def _left_out(node: Node, default: Node) -> Iterator[tuple[str, Entry]]:
    return ((name, entry) for name, entry in default.entries.items() if name not in node.entries)


def mapping(node: Node, entries: Mapping[str, Entry]) -> Node:
    """The same mapping with these entries instead."""
    value: dict[str, Any] = {name: entry.node.value for name, entry in entries.items()}
    size = 1 + sum(entry.node.size for entry in entries.values())
    height = 1 + max((entry.node.height for entry in entries.values()), default=0)
    return Node(
        node.place,
        value,
        file=node.file,
        entries=entries,
        size=size,
        height=height,
        variables=node.variables,
        broken=node.broken,
    )


_FILLS: Final[Mapping[str, tuple[str, _Fill]]] = {
    "upstream": ("upstreams", _filled),
    "grant": ("grants", _filled),
    "exception": ("credentials", _with_exception),
}
