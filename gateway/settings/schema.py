"""The JSON Schema of the configuration, for editors and for error texts; knows nothing of any one file."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.kind import Choice, Config, Shorthand
from gateway.settings.document import Document
from gateway.settings.include import SHARED
from gateway.settings.nodes import Where

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OF_ONE: Final = ("tenant", *SHARED)
"""What a file holds of one tenant, and files of `tenants` where there are several."""
_IGNORED: Final = "^x-"
_BOUNDS: Final = {"ge": "minimum", "le": "maximum"}
_TIMES: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_SIZES: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


class _Generator(GenerateJsonSchema):
    """Adds what the models accept beyond their fields: ignored keys and scalar shorthands."""

    schema_dialect = _DIALECT

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """Bounds of what a function of ours reads first, by the keywords of JSON Schema and not by the library's own."""
        document = super().generate_inner(schema)
        return {_BOUNDS.get(keyword, keyword): value for keyword, value in document.items()}

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
            pattern = document["pattern"]
            if "%" in pattern:
                document["default"] = f"{default:.0%}"
            else:
                document["default"] = _written(default, _SIZES if "KiB" in pattern else _TIMES)
        return document

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model is a mapping, or the scalar that stands for it."""
        document = super().model_schema(schema)
        fields = schema["cls"].model_fields
        for name, meaning in meanings(schema["cls"]):
            document["properties"][fields[name].alias or name]["description"] = meaning
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


def meanings(model: type[Any]) -> Iterator[tuple[str, str]]:
    """The fields of a model, each with the docstring that stands below it; what a subclass says comes last."""
    for part in reversed(model.__mro__):
        if issubclass(part, Config) and part is not Config:
            (written,) = ast.parse(dedent(inspect.getsource(part))).body
            for field, text in pairwise(written.body if isinstance(written, ast.ClassDef) else ()):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(meaning))):
                        if name in model.model_fields:
                            yield name, inspect.cleandoc(meaning)


def _shorthand_of(model: Any) -> str | None:
    decorators = model.__pydantic_decorators__.model_validators.values()
    return next((one.func.field for one in decorators if isinstance(one.func, Shorthand)), None)


@cache
def document_schema() -> Mapping[str, Any]:
    """The schema of the whole document (JSON Schema, draft 2020-12)."""
    document = Document.model_json_schema(schema_generator=_Generator)
    for schema in (document, *document["$defs"].values()):
        for one in schema.get("properties", {}).values():
            if "$ref" in one and one.get("description") == document["$defs"][_named(one)].get("description"):
                one.pop("description", None)  # said once, where it is explained in full
    required = [name for name in document["required"] if name not in _OF_ONE]
    whose = [{"required": [name for name in document["required"] if name in _OF_ONE]}, {"required": ["tenants"]}]
    return {"$schema": _DIALECT, **document, "required": required, "oneOf": whose, "title": "Doorward configuration"}


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
        yield from variants(document_schema()["$defs"][_named(schema)])
        return
    alternatives = schema.get("anyOf")
    if alternatives is None:
        yield schema
        return
    for alternative in alternatives:
        yield from variants(alternative)


def _named(schema: Mapping[str, Any]) -> str:
    """The definition that a reference points to."""
    return str(schema["$ref"].rpartition("/")[2])


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
