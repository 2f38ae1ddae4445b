"""What an operator writes under `audit`; knows nothing of how sinks and checkpoints work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gateway.audit.sinks import SINKS
from gateway.audit.sinks import file as file_sink
from gateway.kind import Choice, Config, Duration

_KEEPER: Final = "file"


@dataclass(frozen=True, slots=True)
class SinkRule:
    """One sink of the registry beside `required`: `{file: {path: var/audit.jsonl}, required: true}`."""

    choice: Choice
    required: bool = False

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The variants stand beside `required`, so that positions in errors are those of the file."""
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(kind.config), required=False)
            for name, kind in SINKS.items()
        }
        fields["required"] = core_schema.typed_dict_field(core_schema.bool_schema(strict=True), required=False)
        written = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        checked = core_schema.no_info_before_validator_function(_check_one_sink, written)
        return core_schema.no_info_after_validator_function(_as_rule, checked)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A mapping with exactly one sink."""
        document = handler(schema)
        document["oneOf"] = [{"required": [name]} for name in SINKS]
        return document


def _check_one_sink(value: Any) -> Any:
    known = ", ".join(sorted(SINKS))
    if not isinstance(value, dict) or len(value.keys() - {"required"}) != 1:
        raise PydanticCustomError("one_of", "expected exactly one {noun}; known: {known}", {"noun": "sink", "known": known})
    return value


def _as_rule(value: dict[str, Any]) -> SinkRule:
    required = value.pop("required", False)
    ((name, config),) = value.items()
    return SinkRule(Choice(name, config), required)


def _usable(sinks: dict[str, SinkRule]) -> dict[str, SinkRule]:
    required = [rule.choice.name for rule in sinks.values() if rule.required]
    if not required:
        raise ValueError("at least one sink must be required, or requests would be served unrecorded; add `required: true`")
    if sum(rule.choice.name == _KEEPER for rule in sinks.values()) != 1:
        raise ValueError("exactly one file sink is needed: it keeps the chain")
    if required != [_KEEPER]:
        raise ValueError("the file sink must be required and no other can be: only the file tells whether it has a record")
    return sinks


class KeyRule(Config):
    """Where the key is that signs checkpoints."""

    file: str = Field(default="var/audit.key", min_length=1)
    """Made at the first start, readable by its owner only; the verifier key is written beside it with `.pub` appended."""


class CheckpointRule(Config):
    """How often the end of the chain is signed."""

    every: Duration = Field(default=10.0, ge=0.1)
    """After this time a checkpoint is written, if there are new records."""
    key: KeyRule = KeyRule()
    """The signing key."""


def _standard_sinks() -> dict[str, SinkRule]:
    return {"local": SinkRule(Choice(_KEEPER, file_sink.Config()), required=True)}


class AuditRule(Config):
    """Where records go and how they are sealed."""

    sinks: Annotated[dict[str, SinkRule], AfterValidator(_usable)] = Field(default_factory=_standard_sinks)
    """The sinks by name; one of them is a file, and required."""
    checkpoint: CheckpointRule = CheckpointRule()
    """Signed checkpoints of the chain."""

    def of_worker(self, number: int) -> Self:
        """The same for a process that writes a chain of its own, beside that of its parent."""
        sinks = {name: _of_worker(rule, number) for name, rule in self.sinks.items()}
        return self.model_copy(update={"sinks": sinks})

    @property
    def log(self) -> file_sink.Config:
        """The configuration of the sink that keeps the chain."""
        for rule in self.sinks.values():
            if isinstance(rule.choice.config, file_sink.Config):
                return rule.choice.config
        raise LookupError("no sink keeps the chain")


def worker_log(path: Path, number: int | str) -> Path:
    """Where a worker writes: `audit-worker-2.jsonl` beside `audit.jsonl`; with `*` for the number, a pattern of all."""
    return path.with_name(f"{path.stem}-worker-{number}{path.suffix}")


def _of_worker(rule: SinkRule, number: int) -> SinkRule:
    config = rule.choice.config
    if not isinstance(config, file_sink.Config):
        return rule
    own = config.model_copy(update={"path": str(worker_log(Path(config.path), number))})
    return SinkRule(Choice(rule.choice.name, own), rule.required)
