"""Tests of what an operator writes under `audit`."""

import pytest
from pydantic import ValidationError

from gateway.audit.build import build
from gateway.audit.rules import AuditRule
from gateway.clock import Clock
from gateway.kind import Choice

FILE = {"file": {"path": "var/audit.jsonl"}, "required": True}


def test_the_example_of_the_design():
    """Every key of the example is taken, in its units."""
    rule = AuditRule.model_validate(
        {
            "sinks": {
                "local": {
                    "file": {"path": "var/a.jsonl", "rotate": "100MiB", "keep": 30, "durability": "written"},
                    "required": True,
                },
                "console": {"stdout": {}},
            },
            "checkpoint": {"every": "10s", "key": {"file": "var/audit.key"}},
        }
    )
    assert (rule.log.path, rule.log.rotate, rule.log.keep) == ("var/a.jsonl", 100 << 20, 30)
    assert (rule.checkpoint.every, rule.checkpoint.key.file) == (10.0, "var/audit.key")
    assert rule.sinks["console"].choice.name == "stdout"
    assert not rule.sinks["console"].required


def test_a_path_alone_is_enough():
    """`file: var/audit.jsonl` says all."""
    rule = AuditRule.model_validate({"sinks": {"local": {"file": "a.jsonl", "required": True}}})
    assert rule.sinks["local"].choice == Choice("file", rule.log)
    assert rule.log.path == "a.jsonl"


def test_without_a_word_there_is_one_required_file():
    """The default is the default of each part."""
    assert AuditRule().log.path == "var/audit.jsonl"
    assert [rule.required for rule in AuditRule().sinks.values()] == [True]


@pytest.mark.parametrize(
    ("sinks", "message"),
    [
        ({}, "at least one sink must be required"),
        ({"local": {"file": {}}}, "at least one sink must be required"),
        ({"out": {"stdout": {}, "required": True}}, "exactly one file sink"),
        ({"a": FILE, "b": FILE}, "exactly one file sink"),
        ({"a": FILE, "out": {"stdout": {}, "required": True}}, "no other can be"),
        ({"a": {"required": True}}, "known: file, stdout"),
        ({"a": {"file": {}, "stdout": {}, "required": True}}, "exactly one sink"),
        ({"a": {"fiel": {}, "required": True}}, "fiel"),
        ({"a": {"file": {}, "required": "yes"}}, "boolean"),
        ({"a": {"file": {"rotate": "1KiB"}, "required": True}}, "at least 1MiB"),
        ({"a": {"file": {"keep": 0}, "required": True}}, "greater than or equal to 1"),
        ({"a": {"file": {"durability": "queued"}, "required": True}}, "written"),
        ({"a": {"file": {"when": 1}, "required": True}}, "when"),
        ({"a": "file"}, "known: file, stdout"),
    ],
)
def test_what_cannot_be_is_refused(sinks, message):
    """An audit that would not be kept is a configuration error with its reason."""
    with pytest.raises(ValidationError, match=message):
        AuditRule.model_validate({"sinks": sinks})


def test_positions_of_errors_are_those_of_the_file():
    """The place of an error is the path of keys that the operator wrote."""
    with pytest.raises(ValidationError) as error:
        AuditRule.model_validate({"sinks": {"local": {"file": {"keep": "x"}, "required": True}}})
    assert error.value.errors()[0]["loc"] == ("sinks", "local", "file", "keep")


def test_the_schema_shows_what_may_be_written():
    """Variants stand beside `required`, and exactly one is demanded."""
    schema = AuditRule.model_json_schema()
    sink = schema["properties"]["sinks"]["additionalProperties"]
    assert set(sink["properties"]) == {"file", "stdout", "required"}
    assert sink["oneOf"] == [{"required": ["file"]}, {"required": ["stdout"]}]


async def test_a_ledger_is_built_from_a_rule(tmp_path):
    """Paths are those of the configuration's folder, and the log bears the tenant's name."""
    rule = AuditRule.model_validate({"sinks": {"local": FILE}})
    ledger = build(rule, name="acme", clock=Clock(), resolve=lambda text: tmp_path / text)
    await ledger.start()
    assert ledger.available
    await ledger.stop()
    assert (tmp_path / "var/audit.jsonl").exists()
    assert (tmp_path / "var/audit.jsonl.checkpoint").read_text().startswith("acme/audit\n")
