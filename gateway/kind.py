"""What a variant in a registry is made of: its configuration, its builder and what it trusts; knows no variant by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")


class Config(BaseModel):
    """The base of every configuration model: immutable, and an unknown key is an error.

    The docstring below a field is its description. `settings/schema.py` reads it from the source when somebody asks, for
    reading them all whenever a program starts takes longer than everything else about the models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


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

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> "JsonSchemaValue":
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
_PERCENT = re.compile(r"(?:[0-9]{1,2}|100)%").fullmatch
_QUANTITY = re.compile(r"([0-9]{1,12})([A-Za-z]{1,3})").fullmatch


def read_duration(value: object) -> float:
    """Seconds, as they are written. Raises a `ValueError` with a sentence."""
    parts = _QUANTITY(value) if isinstance(value, str) else None
    if parts is None or parts[2] not in _UNITS_OF_TIME:
        raise PydanticCustomError("duration", "expected a duration such as 250ms, 30s, 5m, 24h or 30d")
    return int(parts[1]) * _UNITS_OF_TIME[parts[2]]


def _count(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "expected a whole number")
    return value


def read_size(value: object) -> int:
    """Bytes, as they are written. Raises a `ValueError` with a sentence."""
    parts = _QUANTITY(value) if isinstance(value, str) else None
    if parts is None or parts[2] not in _UNITS_OF_SIZE:
        raise PydanticCustomError("size", "expected a size such as 512B, 64KiB, 10MiB or 1GiB")
    return int(parts[1]) * _UNITS_OF_SIZE[parts[2]]


def _share(value: Any) -> float:
    if not isinstance(value, str) or _PERCENT(value) is None:
        raise PydanticCustomError("share", "expected a share from 0% to 100%, such as 25%")
    return int(value[:-1]) / 100


class Pace(NamedTuple):
    """So many in so many seconds."""

    number: int
    seconds: float

    def slices(self) -> tuple[int, float]:
        """How many may pass in each slice of how many seconds, so that a burst is what one such time brings.

        No stretch of t seconds meets more than t / slice + 2 slices: it brings no more than number / seconds * t, and two
        slices besides, which is `number`, or `number + 1` if that is odd.
        """
        each = (self.number + 1) // 2
        return each, each * self.seconds / self.number


_PACE = re.compile(r"([1-9][0-9]{0,8})/([smh])").fullmatch


def read_pace(value: object) -> Pace:
    """A rate as it is written. Raises a `ValueError` with a sentence."""
    parts = _PACE(value) if isinstance(value, str) else None
    if parts is None:
        raise PydanticCustomError("rate", "expected a rate such as 20/s, 100/m or 1000/h")
    return Pace(int(parts[1]), _UNITS_OF_TIME[parts[2]])


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
    BeforeValidator(read_duration),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,12}(ms|s|m|h|d)$", "examples": ["30s", "5m"]}),
]
"""Seconds, written as `250ms`, `30s`, `5m`, `24h` or `30d`."""

Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,3}%$", "examples": ["25%"]}),
]
"""A part of a whole from 0 to 1, written as `25%`."""

Count = Annotated[int, BeforeValidator(_count)]
"""A whole number. A truth value is none, though Python takes it for one."""

Size = Annotated[
    int,
    BeforeValidator(read_size),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,12}(B|KiB|MiB|GiB)$", "examples": ["64KiB", "10MiB"]}),
]
"""Bytes, written as `512B`, `64KiB`, `10MiB` or `1GiB`."""

Rate = Annotated[
    Pace,
    BeforeValidator(read_pace),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}/[smh]$", "examples": ["20/s", "100/m"]}),
]
"""How many in a second, a minute or an hour, written as `20/s`, `100/m` or `1000/h`."""
