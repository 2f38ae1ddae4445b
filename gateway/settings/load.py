"""Loads one configuration file: read, checked, with a place for each value; knows nothing of what is made of it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gateway.errors import ConfigurationError, Flaw
from gateway.settings.document import Document
from gateway.settings.nodes import Node, Where
from gateway.settings.references import broken_references
from gateway.settings.sentences import flaws_of, without_environment
from gateway.settings.yaml_file import parse_yaml, read_text


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is right in itself.

    `text` is the file as it stands, with nothing of the environment in it; `positions` is the tree of its values, with
    their places.
    """

    document: Document
    file: Path
    text: str
    positions: Node

    def flaw(self, where: Where, message: str) -> Flaw:
        """A flaw at the nearest known place to a path such as `("credentials", "billing-key", "exception")`."""
        return _flaw(self.positions, self.file, where, message)

    def resolve(self, text: str) -> Path:
        """The file that a path in the configuration means: relative ones begin at the configuration's folder."""
        return self.file.parent / text


def load(path: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a configuration file; `environment` is the process's own unless it is given.

    Raises `ConfigurationError` with every flaw, and `DoorwardError` for a file that cannot be read.
    """
    return load_text(read_text(path), path, environment)


def load_text(text: str, path: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """The same for a text that `path` is going to hold."""
    return _checked(path, text, *parse_yaml(text, str(path), os.environ if environment is None else environment))


def _checked(path: Path, text: str, root: Node, flaws: Sequence[Flaw]) -> Loaded:
    found = {*flaws, *(_flaw(root, path, where, message) for where, message in broken_references(root.value))}
    try:
        document = Document.model_validate(root.value)
    except ValidationError as error:
        raise ConfigurationError(sorted({*found, *flaws_of(error, root, str(path))})) from None
    if found:
        raise ConfigurationError(sorted(found))
    return Loaded(document, path, text, root)


def _flaw(root: Node, file: Path, where: Where, message: str) -> Flaw:
    found = root.nearest(where)
    line, column = found.of_value
    return Flaw(str(file), line, column, without_environment(message, found.node))
