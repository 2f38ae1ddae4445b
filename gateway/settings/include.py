"""Puts included files into the configuration that names them, each value at its own place; knows nothing of what they say.

include: [teams/*.yaml]
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigurationError, Flaw
from gateway.settings.nodes import Entry, Node, Place
from gateway.settings.yaml_file import NODES

INCLUDED_FILES: Final = 1000
"""How many files one configuration may include."""
SHARED: Final = ("upstreams", "credentials", "intents", "grants", "denials")
"""What may stand in an included file."""

_WILD: Final = frozenset("*?[")


def included_files(root: Node, main: Path) -> tuple[list[Path], list[Flaw]]:
    """The files that a configuration includes: in the order of its patterns, those of one pattern sorted, each once.

    A pattern that no file matches is a flaw: a folder that is not mounted must not look like one without denials.
    """
    found: dict[Path, Path] = {main.resolve(): main}
    flaws: list[Flaw] = []
    for node in _patterns(root):
        if "**" in node.value:
            flaws.append(_flaw(node, "write ** out: one * for each folder"))
            continue
        matched = matching(node.value, main.parent)
        for path in matched:
            found.setdefault(path.resolve(), path)
        if not matched:
            wild = not _WILD.isdisjoint(node.value)
            flaws.append(_flaw(node, "no file matches this" if wild else "there is no such file"))
    files = list(found.values())[1:]
    if len(files) > INCLUDED_FILES:
        flaws.append(_flaw(root.entries["include"].node, f"a configuration includes at most {INCLUDED_FILES} files"))
    return files[:INCLUDED_FILES], flaws


def matching(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern of `include` names now, sorted; those that begin with a dot only if it says so."""
    return [path for name in sorted(glob.glob(pattern, root_dir=folder)) if (path := folder / name).is_file()]  # noqa: PTH207 relative to a folder, and hidden files stay hidden


def patterns_of(root: Node) -> tuple[str, ...]:
    """The patterns of a main file, of each tenant where there are several; none of them may be good."""
    tenants = root.entries.get("tenants")
    trees = [root] if tenants is None else [entry.node for entry in tenants.node.entries.values()]
    return tuple(node.value for tree in trees for node in _patterns(tree))


def put_together(root: Node, included: Sequence[Node]) -> tuple[Node, list[Flaw]]:
    """One tree of all: the entries of the main file first, then those of each included one, in their order."""
    flaws: list[Flaw] = []
    entries = dict(root.entries)
    for tree in included:
        if not isinstance(tree.value, dict):
            flaws.append(_flaw(tree, "expected a mapping (`key: value`)"))
            continue
        for section, entry in tree.entries.items():
            if section not in SHARED:
                told = f"an included file holds only {', '.join(SHARED[:-1])} and {SHARED[-1]}"
                flaws.append(Flaw(tree.file, entry.line, entry.column, told))
            elif section in entries:
                entries[section] = _joined(entries[section], entry, flaws)
            else:
                entries[section] = entry
    size = sum(entry.node.size for entry in entries.values())
    if size > NODES:
        raise ConfigurationError([_flaw(root, f"all files together hold more than {NODES} values")])
    value = {name: entry.node.value for name, entry in entries.items()}
    return Node(root.place, value, file=root.file, entries=entries, size=size, height=root.height), flaws


def _joined(first: Entry, second: Entry, flaws: list[Flaw]) -> Entry:
    """One section of two files."""
    one, other = first.node, second.node
    if isinstance(one.value, list) and isinstance(other.value, list):
        items = (*one.items, *other.items)
        return first._replace(node=_alike(one, [item.value for item in items], items=items))
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        entries = dict(one.entries)
        for name, entry in other.entries.items():
            known = entries.setdefault(name, entry)
            if known is not entry:
                told = f"this name stands in {known.node.file}, line {known.line}, already"
                flaws.append(Flaw(other.file, entry.line, entry.column, told))
        value = {name: entry.node.value for name, entry in entries.items()}
        return first._replace(node=_alike(one, value, entries=entries))
    told = f"this does not go together with {one.file}, line {first.line}: write both as lists, or both as mappings"
    flaws.append(Flaw(other.file, second.line, second.column, told))
    return first


def _alike(node: Node, value: Any, *, entries: Mapping[str, Entry] | None = None, items: Sequence[Node] = ()) -> Node:
    size = 1 + sum(item.size for item in items) + sum(entry.node.size for entry in (entries or {}).values())
    return Node(node.place, value, file=node.file, entries=entries, items=items, size=size, height=node.height)


def _patterns(root: Node) -> Iterator[Node]:
    """Those that are text; whatever else stands there is for validation to report."""
    entry = root.entries.get("include")
    if entry is not None:
        yield from (node for node in entry.node.items if isinstance(node.value, str) and node.value)


def _flaw(node: Node, message: str) -> Flaw:
    place: Place = node.place
    return Flaw(node.file, place.line, place.column, message)
