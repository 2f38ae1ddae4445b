"""Loads a configuration and what it includes: read, checked, with a place for each value; knows not what is made of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gateway.errors import ConfigurationError, DoorwardError, Flaw
from gateway.settings.defaults import with_defaults
from gateway.settings.document import Document
from gateway.settings.include import put_together
from gateway.settings.nodes import Node, Where
from gateway.settings.references import broken_references
from gateway.settings.sentences import flaws_of, without_environment
from gateway.settings.tenants import (
    common_tree,
    files_of,
    has_several,
    misplaced,
    placed,
    shared_agents,
    shared_prefixes,
    trees_of,
)
from gateway.settings.yaml_file import parse_yaml, read_text

TOGETHER_BYTES: Final = 32 * 1024 * 1024
"""How large a configuration may be with all the files that it includes."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is right in itself.

    `texts` holds each file as it stands, the main one first, with nothing of the environment in it; `positions` is the
    tree of all their values, with their places, and `own` the one of the main file alone. `owners` says of which tenant each
    included file is. With several `tenants` each has a configuration of its own, the common sections included, and here are
    only those: then the tenant of `document` is empty, and it has no entries.
    """

    document: Document
    file: Path
    texts: Mapping[Path, str]
    positions: Node
    own: Node
    tenants: Mapping[str, "Loaded"] = field(default_factory=dict)
    owners: Mapping[Path, str] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, "Loaded"]:
        """The configuration of each tenant, by its name."""
        return self.tenants or {self.document.tenant: self}

    @property
    def values(self) -> Mapping[str, Any]:
        """All values that stand for what this configuration means."""
        value: Mapping[str, Any] = self.positions.value
        if not self.tenants:
            return value
        return {**value, "tenants": {name: part.positions.value for name, part in self.tenants.items()}}

    @property
    def patterns(self) -> tuple[str, ...]:
        """Everything that `include` says, of each tenant."""
        rules = self.document.tenants.values()
        return (*self.document.include, *(pattern for rule in rules for pattern in rule.include))

    def part(self, tenant: str | None) -> "Loaded":
        """The configuration of one tenant, which has to be named where there are several. Raises `DoorwardError`."""
        found = self.parts.get(tenant) if tenant is not None else self if not self.tenants else None
        if found is None:
            told = "there are several tenants" if tenant is None else f"there is no tenant {tenant}"
            raise DoorwardError(f"{self.file}: {told}; name one with --tenant: {', '.join(self.parts)}")
        return found

    def take_apart(self) -> None:
        """Let go of all trees, bit by bit."""
        for loaded in (self, *self.tenants.values()):
            loaded.positions.take_apart()

    def flaw(self, where: Where, message: str) -> Flaw:
        """A flaw at the nearest known place to a path such as `("credentials", "billing-key", "exception")`."""
        return _flaw(self.positions, where, message)

    def resolve(self, text: str) -> Path:
        """The file that a path in the main file means: relative ones begin at its folder."""
        return self.file.parent / text

    def resolver(self, section: str, name: str) -> Callable[[str], Path]:
        """Finds the files that an entry means: relative paths begin at the folder of the file that the entry stands in."""
        node = self.positions.find((section, name))
        folder = self.file.parent if node is None else Path(node.file).parent
        return lambda text: folder / text


def load(path: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a configuration file; `environment` is the process's own unless it is given.

    Raises `ConfigurationError` with every flaw, and `DoorwardError` for a file that cannot be read.
    """
    return load_text(read_text(path), path, environment)


def load_text(
    text: str, path: Path, environment: Mapping[str, str] | None = None, *,
    included: Mapping[Path, tuple[str, str]] | None = None,
) -> Loaded:  # fmt: skip
    """The same for a text that `path` is going to hold.

    `included` files are taken instead of those that are there now, each with its text and its tenant.
    """
    known = os.environ if environment is None else environment
    own, flaws = parse_yaml(text, str(path), known)
    owners, missing = files_of(own, path) if included is None else ({file: its[1] for file, its in included.items()}, [])
    flaws += missing
    texts = {path: text}
    trees: dict[Path, Node] = {}
    size = len(text)
    for file in owners:
        texts[file] = read_text(file) if included is None else included[file][0]
        trees[file], found = parse_yaml(texts[file], str(file), known)
        flaws += found
        size += len(texts[file])
        if size > TOGETHER_BYTES:
            told = f"with this file the configuration is larger than {TOGETHER_BYTES >> 20} MiB"
            raise ConfigurationError([*flaws, Flaw(str(file), 1, 1, told)])
    if has_several(own):
        return _several(own, path, texts, {file: (owners[file], tree) for file, tree in trees.items()}, flaws)
    root = own
    if trees:
        root, found = put_together(own, [*trees.values()])
        flaws += found
    root = with_defaults(root)
    try:
        document = _checked(root, flaws)
    except ConfigurationError:
        root.take_apart()  # what is refused may be large as well
        raise
    return Loaded(document, path, texts, root, own, owners=owners)


def _several(
    own: Node, path: Path, texts: Mapping[Path, str], included: Mapping[Path, tuple[str, Node]], flaws: Sequence[Flaw]
) -> Loaded:
    """A configuration of several tenants: each is checked like one that stands alone."""
    common = common_tree(own)
    found = {*flaws, *(_flaw(own, where, message) for where, message in misplaced(own))}
    roots: dict[str, Node] = {}
    documents: dict[str, Document] = {}
    for name, tree in trees_of(own):
        root, wrong = put_together(tree, [its for owner, its in included.values() if owner == name])
        found |= {*wrong}
        roots[name] = placed(with_defaults(root), name)
        try:
            documents[name] = _checked(roots[name], ())
        except ConfigurationError as error:
            found |= {*error.flaws}
    try:
        document = Document.model_validate(common.value).model_copy(update={"tenant": ""})
    except ValidationError as error:
        found |= {*flaws_of(error, common)}
    else:
        if not found:
            found |= {_flaw(own, where, message) for where, message in shared_agents(document)}
            found |= {_flaw(roots[name], where, message) for name, where, message in shared_prefixes(documents)}
    if found:
        for root in roots.values():
            root.take_apart()
        raise ConfigurationError(sorted(found))
    owners = {file: owner for file, (owner, _) in included.items()}
    tenants = {name: Loaded(documents[name], path, texts, root, own, owners=owners) for name, root in roots.items()}
    return Loaded(document, path, texts, common, own, tenants, owners)


def still_holds(loaded: Loaded) -> bool:
    """Whether its files hold what was loaded, text for text. Raises as `load` does."""
    owners, flaws = files_of(loaded.own, loaded.file)
    return (
        not flaws
        and owners == loaded.owners
        and [loaded.file, *owners] == list(loaded.texts)
        and all(read_text(file) == text for file, text in loaded.texts.items())
    )


def _checked(root: Node, flaws: Sequence[Flaw]) -> Document:
    found = {*flaws, *(_flaw(root, where, message) for where, message in broken_references(root.value))}
    try:
        document = Document.model_validate(root.value)
    except ValidationError as error:
        raise ConfigurationError(sorted({*found, *flaws_of(error, root)})) from None
    if found:
        raise ConfigurationError(sorted(found))
    return document


def _flaw(root: Node, where: Where, message: str) -> Flaw:
    found = root.nearest(where)
    line, column = found.of_value
    return Flaw(found.node.file, line, column, without_environment(message, found.node))
