"""The JSON Schema says of files what the models say, as far as a schema can."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema_specifications import REGISTRY

from gateway.cli.schema import schema_text
from gateway.settings.schema import document_schema, known_at
from gateway.settings.yaml_file import parse_yaml, read_text

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "config").glob("*.yaml"))


def checker() -> jsonschema.Draft202012Validator:
    """A validator of configurations."""
    return jsonschema.Draft202012Validator(dict(document_schema()))


def example() -> dict[str, Any]:
    """The smallest example, as plain values."""
    value: dict[str, Any] = parse_yaml(read_text(ROOT / "config" / "minimal.yaml"), str(ROOT / "config" / "minimal.yaml"), {})[
        0
    ].value
    return value


def test_it_is_a_schema() -> None:
    """It is valid under draft 2020-12, and defaults are valid under it."""
    schema = document_schema()
    jsonschema.Draft202012Validator.check_schema(dict(schema))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    resolver = checker()
    for definition in schema["$defs"].values():
        for name, one in definition.get("properties", {}).items():
            if one.get("default") is not None:
                errors = list(resolver.evolve(schema={**one, "$defs": schema["$defs"]}).iter_errors(one["default"]))
                assert not errors, name


def test_every_word_is_one_of_json_schema() -> None:
    """One that the standard does not know would be passed over by editors, and so a bound that is not kept."""
    known = set[str]()
    for vocabulary in checker().META_SCHEMA["allOf"]:
        known |= REGISTRY.contents(f"https://json-schema.org/draft/2020-12/{vocabulary['$ref']}")["properties"].keys()
    unknown, left = set(), [document_schema()]
    while left:
        schema = left.pop()
        unknown |= schema.keys() - known
        for keyword in ("$defs", "properties", "patternProperties"):
            left += [below for below in schema.get(keyword, {}).values() if isinstance(below, dict)]
        left += [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        left += [below for keyword in ("items", "additionalProperties") if isinstance(below := schema.get(keyword), dict)]
    assert unknown == set()


def test_bounds_are_kept() -> None:
    """Of numbers that are read by a function of ours, as of all others."""
    for gateway, fits in (({"workers": 256}, True), ({"workers": 257}, False), ({"workers": -1}, False)):
        document = example()
        document["gateway"] = gateway
        assert checker().is_valid(document) == fits


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(file: Path) -> None:
    """Every example that operators begin with passes the schema."""
    checker().validate(parse_yaml(read_text(file), str(file), {})[0].value)


@pytest.mark.parametrize(
    ("section", "entry", "key", "value"),
    [
        ("credentials", "billing-key", "secret", {"env": {"variable": "KEY"}}),
        ("credentials", "billing-key", "secret", {"file": "/run/key"}),
        ("credentials", "billing-key", "inject", {"bearer": {}}),
        ("upstreams", "billing", "x-note", "ignored"),
        ("upstreams", "x-shared", "anything", 1),
    ],
)
def test_shorthands_and_ignored_keys_are_accepted(section: str, entry: str, key: str, value: object) -> None:
    """A scalar may stand for a configuration, and keys that begin x- for anything."""
    document = example()
    document[section].setdefault(entry, {})[key] = value
    checker().validate(document)


@pytest.mark.parametrize(
    ("section", "entry", "key", "value"),
    [
        ("credentials", "billing-key", "secret", {"env": "A", "file": "B"}),
        ("credentials", "billing-key", "secret", {"vault": "A"}),
        ("credentials", "billing-key", "scrub", "full"),
        ("upstreams", "billing", "protocol", "grpc"),
        ("upstreams", "billing", "timeouts", {"connect": "5"}),
        ("upstreams", "Billing", "url", "https://x.example"),
    ],
)
def test_mistakes_are_found(section: str, entry: str, key: str, value: object) -> None:
    """Editors underline what `doorward check` refuses."""
    document = example()
    document[section].setdefault(entry, {})[key] = value
    assert list(checker().iter_errors(document))


def test_every_key_is_described() -> None:
    """What an editor shows beside a key is never empty."""
    schema = document_schema()
    bare = [
        f"{name}.{key}"
        for name, definition in {"": schema, **schema["$defs"]}.items()
        for key, one in definition.get("properties", {}).items()
        if not one.get("description") and "$ref" not in json.dumps(one)
    ]
    assert bare == []


def test_known_names_are_those_of_the_place() -> None:
    """Error texts read them from here."""
    assert known_at(("credentials", "any", "inject")).noun == "injector"
    assert {"bearer", "header"} <= known_at(("credentials", "any", "inject")).names.keys()
    assert "prefix" in known_at(("upstreams", "any", "at")).names
    assert "path" in known_at(("credentials", "any", "secret", "file")).names
    assert "name" in known_at(("grants", 3)).names
    assert known_at(("nothing", "here", 1)).names == {}


def test_the_committed_schema_is_current() -> None:
    """The examples in config/ name it, so that editors find it."""
    committed = (ROOT / "config" / "doorward.schema.json").read_text()
    assert committed == schema_text(), "renew it: doorward schema > config/doorward.schema.json"
