"""Loads a configuration and what it includes: read, checked, with a place for each value; knows not what is made of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gateway.errors import ConfigurationError, Flaw
from gateway.settings.defaults import with_defaults
from gateway.settings.document import Document
from gateway.settings.include import included_files, put_together
from gateway.settings.nodes import Node, Where
from gateway.settings.references import broken_references
from gateway.settings.sentences import flaws_of, without_environment
from gateway.settings.yaml_file import parse_yaml, read_text

TOGETHER_BYTES: Final = 32 * 1024 * 1024
"""How large a configuration may be with all the files that it includes."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is right in itself.

    `texts` holds each file as it stands, the main one first, with nothing of the environment in it; `positions` is the
    tree of all their values, with their places, and `own` the one of the main file alone.
    """

    document: Document
    file: Path
    texts: Mapping[Path, str]
    positions: Node
    own: Node

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
    text: str, path: Path, environment: Mapping[str, str] | None = None, *, included: Mapping[Path, str] | None = None
) -> Loaded:
    """The same for a text that `path` is going to hold, with the texts of `included` files instead of what they hold now."""
    known = os.environ if environment is None else environment
    own, flaws = parse_yaml(text, str(path), known)
    files, missing = included_files(own, path) if included is None else ([*included], [])
    flaws += missing
    texts = {path: text}
    trees = []
    size = len(text)
    for file in files:
        texts[file] = read_text(file) if included is None else included[file]
        tree, found = parse_yaml(texts[file], str(file), known)
        trees.append(tree)
        flaws += found
        size += len(texts[file])
        if size > TOGETHER_BYTES:
            told = f"with this file the configuration is larger than {TOGETHER_BYTES >> 20} MiB"
            raise ConfigurationError([*flaws, Flaw(str(file), 1, 1, told)])
    root = own
    if trees:
        root, found = put_together(own, trees)
        flaws += found
    root = with_defaults(root)
    try:
        document = _checked(root, flaws)
    except ConfigurationError:
        root.take_apart()  # what is refused may be large as well
        raise
    return Loaded(document, path, texts, root, own)


def still_holds(loaded: Loaded) -> bool:
    """Whether its files hold what was loaded, text for text. Raises as `load` does."""
    files, flaws = included_files(loaded.own, loaded.file)
    return (
        not flaws
        and [loaded.file, *files] == list(loaded.texts)
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
