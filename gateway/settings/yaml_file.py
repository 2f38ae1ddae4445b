"""Reads YAML 1.2 into plain values and keeps the place of each; knows nothing of what the keys mean.

PyYAML only cuts the text into events. Types are resolved here by the core schema of YAML 1.2 (§10.3.2), so that `no`, `off`,
`1:30` and `2027-01-31` are text. An alias shares the node of its anchor, so that a file costs no more than its length.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.errors import ConfigurationError, DoorwardError, Flaw
from gateway.settings.nodes import Entry, Node
from gateway.settings.scalars import TAGS, NotAScalarError, UnsetVariableError, resolve, substitute
from gateway.settings.syntax import explain, place_of

FILE_BYTES: Final = 8 * 1024 * 1024
DEPTH: Final = 40
NODES: Final = 1_000_000
"""How many values a file may hold when every alias is replaced by what it stands for."""

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE: Final = "<<"
_NUL: Final = "\0"


def read_text(path: Path) -> str:
    """The text of a file. Raises `DoorwardError` for one that cannot be read, `ConfigurationError` for one beyond its bound."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        raise DoorwardError(f"there is no file {path}; `doorward init` writes a configuration, -c names another") from None
    except OSError as error:
        raise DoorwardError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > FILE_BYTES:
        raise ConfigurationError([Flaw(str(path), 1, 1, "the file is larger than 8 MiB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_of(content[: error.start].decode("utf-8-sig"))
        raise ConfigurationError([Flaw(str(path), line, column, "the file is not UTF-8 text; save it as UTF-8")]) from None


def parse_yaml(text: str, file: str, environment: Mapping[str, str]) -> tuple[Node, list[Flaw]]:
    """Read a text: its root, and the flaws that do not keep the rest from being checked. `file` is its name in flaws.

    `${NAME}` in values is taken from `environment`. Raises `ConfigurationError` for what is no YAML or exceeds a bound.
    """
    composer = _Composer(file, environment)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            composer.take(event)
    except yaml.YAMLError as error:
        line, column, message = explain(error, text)
        raise ConfigurationError([*composer.flaws, Flaw(file, line, column, message)]) from None
    if composer.root is None:
        raise ConfigurationError([Flaw(file, 1, 1, "the file is empty; `doorward init` writes a configuration to begin with")])
    return composer.root, composer.flaws


class _Open:
    """A mapping or list whose end has not come yet."""

    __slots__ = ("anchor", "entries", "height", "is_list", "items", "key", "merges", "merging", "place", "size")

    def __init__(self, place: tuple[int, int], anchor: str | None, *, is_list: bool) -> None:
        self.place = place
        self.anchor = anchor
        self.is_list = is_list
        self.items: list[Node] = []
        self.entries: dict[str, Entry] = {}
        self.merges: list[Node] = []
        self.key: tuple[str | None, int, int] | None = None
        self.merging = False
        self.size = 1
        self.height = 1


class _Composer:
    """Builds the tree from events with a stack of its own, so that no nesting can exhaust the interpreter's."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.flaws: list[Flaw] = []
        self.root: Node | None = None
        self._file = file
        self._environment = environment
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """One step of the parser."""
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._take_start(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._take_end()
        elif isinstance(event, yaml.AliasEvent):
            self._take_alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._fail(_place(event), "a second document begins here; a configuration is one document, so remove the ---")

    def _take_scalar(self, event: Any) -> None:
        place = _place(event)
        if self._expects_key():
            self._take_key(event, place)
            return
        self._count(place, 1)
        node = self._scalar(event, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._put(node)

    def _scalar(self, event: Any, place: tuple[int, int]) -> Node:
        text: str = event.value
        try:
            value = resolve(text, event.tag, plain=event.implicit[0])
            if not isinstance(value, str):
                return Node(place, value, file=self._file)
            if _NUL not in value:
                value, variables = substitute(value, self._environment)
                return Node(place, value, file=self._file, variables=variables)
            self._flaw(place, "text cannot hold a NUL character")
        except (NotAScalarError, UnsetVariableError) as error:
            self._flaw(place, str(error))
        return Node(place, None, file=self._file, broken=True)

    def _take_key(self, event: Any, place: tuple[int, int]) -> None:
        key = event.value
        plain = event.implicit[0]
        parent = self._open[-1]
        if plain and key == _MERGE:
            parent.key, parent.merging = (None, *place), True
            return
        if plain and not isinstance(resolve(key, None, plain=True), str):
            self._flaw(place, f"a key must be text; write {key!r} in quotes" if key else "a key is missing before the colon")
            parent.key = (None, *place)
            return
        if (earlier := parent.entries.get(key)) is not None:
            self._flaw(place, f"the key {_shown(key)} stands twice; it stood first on line {earlier.line}")
            parent.key = (None, *place)
            return
        parent.key = (key, *place)

    def _take_start(self, event: Any) -> None:
        place = _place(event)
        self._count(place, 1)
        if len(self._open) >= DEPTH:
            self._fail(place, f"the file nests deeper than {DEPTH} levels")
        if event.tag is not None and event.tag not in TAGS:
            self._flaw(place, f"unknown tag {event.tag!r}; remove it")
        if self._expects_key():
            self._fail(place, "a key must be text, not a list or a mapping")
        self._open.append(_Open(place, event.anchor, is_list=isinstance(event, yaml.SequenceStartEvent)))

    def _take_end(self) -> None:
        ended = self._open.pop()
        node = self._list(ended) if ended.is_list else self._mapping(ended)
        if ended.anchor is not None:
            self._anchors[ended.anchor] = node
        self._put(node)

    def _list(self, ended: _Open) -> Node:
        value = [node.value for node in ended.items]
        return Node(ended.place, value, file=self._file, items=tuple(ended.items), size=ended.size, height=ended.height)

    def _mapping(self, ended: _Open) -> Node:
        entries = ended.entries
        for merged in ended.merges:
            for name, entry in merged.entries.items():
                entries.setdefault(name, entry)
        kept = {name: entry for name, entry in entries.items() if not name.startswith("x-")}
        value = {name: entry.node.value for name, entry in kept.items()}
        return Node(ended.place, value, file=self._file, entries=kept, size=ended.size, height=ended.height)

    def _take_alias(self, event: Any) -> None:
        place = _place(event)
        if self._expects_key():
            self._fail(place, "an alias cannot be a key; write the key out")
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = any(one.anchor == event.anchor for one in self._open)
            reason = "stands inside its own anchor" if inside else "has no anchor before it"
            self._flaw(place, f"the alias *{event.anchor} {reason}")
            node = Node(place, None, file=self._file, broken=True)
        self._count(place, node.size)
        if len(self._open) + node.height > DEPTH:
            self._fail(place, f"the file nests deeper than {DEPTH} levels where *{event.anchor} is put in")
        self._put(node)

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if parent.is_list:
            parent.items.append(node)
            return
        if parent.key is None:
            raise AssertionError("a value cannot come before its key")
        (name, line, column), merging = parent.key, parent.merging
        parent.key, parent.merging = None, False
        if merging:
            self._merge(parent, node, (line, column))
        elif name is not None:
            parent.entries[name] = Entry(line, column, node)

    def _merge(self, parent: _Open, node: Node, place: tuple[int, int]) -> None:
        sources = node.items if isinstance(node.value, list) else (node,)
        if not all(isinstance(one.value, dict) for one in sources):
            self._flaw(place, "<< takes the alias of a mapping, or a list of such aliases")
            return
        parent.merges.extend(sources)

    def _expects_key(self) -> bool:
        return bool(self._open) and not self._open[-1].is_list and self._open[-1].key is None

    def _count(self, place: tuple[int, int], nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES:
            self._fail(place, f"the file holds more than {NODES} values when its aliases are put in")

    def _flaw(self, place: tuple[int, int], message: str) -> None:
        self.flaws.append(Flaw(self._file, *place, message))

    def _fail(self, place: tuple[int, int], message: str) -> None:
        self._flaw(place, message)
        raise ConfigurationError(self.flaws)


def _place(event: Any) -> tuple[int, int]:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def _shown(key: str) -> str:
    return repr(key) if len(key) <= 64 else repr(key[:61] + "...")  # noqa: PLR2004 as much as a line of a terminal bears
