"""What a variant in a registry is made of: its configuration, its builder and what it trusts; knows no variant by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")


class Config(BaseModel):
    """The base of every configuration model: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One line of a registry: how a variant is configured and built.

    `config` validates what the operator wrote, `build` makes the working part from it, and `posture` says in one
    sentence for the reference documentation what the variant trusts.
    """

    config: type[Config]
    build: Callable[..., T]
    posture: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant that an operator chose: `{header: X-Api-Key}` is the choice of `header` with its configuration."""

    name: str
    config: Any


class OneOf:
    """Annotates a field that takes exactly one variant of a registry, written as a mapping with one key."""

    def __init__(self, noun: str, registry: Mapping[str, Kind[Any]]) -> None:
        """`noun` names the variants in error texts, as in "unknown injector"."""
        self._noun = noun
        self._registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by hand, so that the error names the known variants and points into the chosen one."""
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(kind.config), required=False)
            for name, kind in self._registry.items()
        }
        chosen = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        checked = core_schema.no_info_before_validator_function(self._check_one_key, chosen)
        written = core_schema.plain_serializer_function_ser_schema(_as_written)
        return core_schema.no_info_after_validator_function(_as_choice, checked, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A mapping with exactly one of the registered keys."""
        document = handler(schema)
        document.update({"title": self._noun, "minProperties": 1, "maxProperties": 1})
        return document

    def _check_one_key(self, value: Any) -> Any:
        known = ", ".join(sorted(self._registry))
        if not isinstance(value, dict) or len(value) != 1:
            raise PydanticCustomError(
                "one_of", "expected a mapping with exactly one {noun}; known: {known}", {"noun": self._noun, "known": known}
            )
        return value


def _as_choice(value: dict[str, Any]) -> Choice:
    ((name, config),) = value.items()
    return Choice(name, config)


def _as_written(choice: Choice) -> dict[str, Any]:
    return {choice.name: choice.config}


_UNITS_OF_TIME = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_OF_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_QUANTITY = re.compile(r"([0-9]{1,12})([A-Za-z]{1,3})").fullmatch


def _duration(value: Any) -> float:
    parts = _QUANTITY(value) if isinstance(value, str) else None
    if parts is None or parts[2] not in _UNITS_OF_TIME:
        raise PydanticCustomError("duration", "expected a duration such as 250ms, 30s, 5m, 24h or 30d")
    return int(parts[1]) * _UNITS_OF_TIME[parts[2]]


def _count(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "expected a whole number")
    return value


def _size(value: Any) -> int:
    parts = _QUANTITY(value) if isinstance(value, str) else None
    if parts is None or parts[2] not in _UNITS_OF_SIZE:
        raise PydanticCustomError("size", "expected a size such as 512B, 64KiB, 10MiB or 1GiB")
    return int(parts[1]) * _UNITS_OF_SIZE[parts[2]]


class Shorthand:
    """Lets a scalar stand for a configuration of which only `field` is given; the schema reads which field that is."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __call__(self, value: Any) -> Any:
        """The configuration in full."""
        return value if isinstance(value, (dict, Config)) else {self.field: value}


def shorthand(field: str) -> Shorthand:
    """Let a scalar stand for a configuration of which only `field` is given: `{file: /run/key}` for `{file: {path: ...}}`."""
    return Shorthand(field)


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,12}(ms|s|m|h|d)$", "examples": ["30s", "5m"]}),
]
"""Seconds, written as `250ms`, `30s`, `5m`, `24h` or `30d`."""

Count = Annotated[int, BeforeValidator(_count)]
"""A whole number. A truth value is none, though Python takes it for one."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,12}(B|KiB|MiB|GiB)$", "examples": ["64KiB", "10MiB"]}),
]
"""Bytes, written as `512B`, `64KiB`, `10MiB` or `1GiB`."""
