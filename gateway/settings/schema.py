"""The JSON Schema of the configuration, for editors and for error texts; knows nothing of any one file."""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.kind import Choice, Config, Shorthand
from gateway.settings.document import Document
from gateway.settings.nodes import Where

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_IGNORED: Final = "^x-"
_TIMES: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_SIZES: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


class _Generator(GenerateJsonSchema):
    """Adds what the models accept beyond their fields: ignored keys and scalar shorthands."""

    schema_dialect = _DIALECT

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The default of a duration or size in the form that an operator writes."""
        document = super().default_schema(schema)
        if isinstance(schema.get("default"), Config):
            # Its own keys state their defaults, as an operator writes them.
            document.pop("default", None)
        if isinstance(choice := schema.get("default"), Choice):
            document["default"] = {choice.name: choice.config.model_dump(mode="json")}
        default = document.get("default")
        if isinstance(default, int | float) and document.get("type") == "string":
            document["default"] = _written(default, _SIZES if "KiB" in document["pattern"] else _TIMES)
        return document

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model is a mapping, or the scalar that stands for it."""
        document = super().model_schema(schema)
        if document.get("additionalProperties") is False:
            document.setdefault("patternProperties", {})[_IGNORED] = True
        field = _shorthand_of(schema["cls"])
        if field is None or "properties" not in document:
            return document
        about: dict[str, Any] = {key: document.pop(key) for key in ("title", "description") if key in document}
        return {**about, "anyOf": [document["properties"][field], document]}

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """The keys of a choice, and ignored ones."""
        document = super().typed_dict_schema(schema)
        document.setdefault("patternProperties", {})[_IGNORED] = True
        return document

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A mapping by name admits no other names, but ignores those that begin with x-."""
        document = super().dict_schema(schema)
        names: dict[str, Any] = document.get("patternProperties", {})
        if names:
            by_pattern = {pattern.replace("^", "^(?!x-)", 1): value for pattern, value in names.items()}
            document["patternProperties"] = {**by_pattern, _IGNORED: True}
            document["additionalProperties"] = False
        return document


def _written(quantity: float, units: Mapping[str, float]) -> str:
    """In the largest unit that it is a whole number of."""
    unit = next(unit for unit, one in units.items() if quantity % one == 0)
    return f"{quantity / units[unit]:.0f}{unit}"


def _shorthand_of(model: Any) -> str | None:
    decorators = model.__pydantic_decorators__.model_validators.values()
    return next((one.func.field for one in decorators if isinstance(one.func, Shorthand)), None)


@cache
def document_schema() -> Mapping[str, Any]:
    """The schema of the whole document (JSON Schema, draft 2020-12)."""
    document = Document.model_json_schema(schema_generator=_Generator)
    return {"$schema": _DIALECT, **document, "title": "Doorward configuration"}


class Known(NamedTuple):
    """What may stand at one place: the noun for its keys, and their names with descriptions."""

    noun: str
    names: Mapping[str, str]


def known_at(where: Where) -> Known:
    """Which keys the mapping at a path may have; no names where any may stand, or where nothing is known."""
    return _known_at(tuple(where))


@lru_cache(maxsize=1024)
def _known_at(where: tuple[str | int, ...]) -> Known:
    names: dict[str, str] = {}
    noun = "key"
    for schema in schemas_at(where):
        one_of = schema.get("maxProperties") == 1
        noun = schema.get("title", noun) if one_of else noun
        names.update({name: one.get("description", "") for name, one in schema.get("properties", {}).items()})
    return Known(noun, names)


def schemas_at(where: Where) -> list[Mapping[str, Any]]:
    """The schemas that apply at a path, references and alternatives resolved."""
    found = list(variants(document_schema()))
    for step in where:
        found = [variant for schema in found for below in _below(schema, step) for variant in variants(below)]
    return found


def variants(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema without references: itself, or each of its alternatives."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from variants(document_schema()["$defs"][name])
        return
    alternatives = schema.get("anyOf")
    if alternatives is None:
        yield schema
        return
    for alternative in alternatives:
        yield from variants(alternative)


def _below(schema: Mapping[str, Any], step: str | int) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, int):
        if "items" in schema:
            yield schema["items"]
        return
    if step in schema.get("properties", {}):
        yield schema["properties"][step]
        return
    for pattern, below in schema.get("patternProperties", {}).items():
        if isinstance(below, dict) and re.search(pattern, step) is not None:
            yield below
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]
