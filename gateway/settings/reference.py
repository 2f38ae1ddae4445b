"""The reference page of the configuration, written from the schema and the registries; knows no section by itself."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.audit.sinks import SINKS
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.sources import SOURCES
from gateway.identity.providers import PROVIDERS
from gateway.kind import Kind
from gateway.settings.schema import document_schema, variants
from gateway.stores.backends import BACKENDS

_REGISTRIES: Final[Mapping[str, Mapping[str, Kind[Any]]]] = {
    "Identity providers": PROVIDERS,
    "Secret sources": SOURCES,
    "Injectors": INJECTORS,
    "Stores": BACKENDS,
    "Audit sinks": SINKS,
}

_HEAD: Final = """\
# Configuration

One YAML 1.2 file, `doorward.yaml` unless `-c` names another. `doorward check` validates it and names the line and column
of every mistake; `doorward schema` prints its JSON Schema for editors. This page is generated from the code.

- A key that is not listed here is an error. Keys that begin `x-` are ignored, so anchors may stand there.
- In values, `${NAME}` is the environment variable NAME, `${NAME:-text}` is `text` if NAME is unset or empty, and `$$` is a `$`.
- Durations are written `250ms`, `30s`, `5m`, `24h`, `30d`; sizes `512B`, `64KiB`, `10MiB`, `1GiB`; days `2027-01-31`.
- Relative paths begin at the folder of the file. Secrets never stand in it.
- Names of entries have lower-case letters, digits, dots, dashes and underscores, at most 64 characters.
"""


def reference() -> str:
    """The page as Markdown."""
    root = document_schema()
    parts = [_HEAD, "## Top level\n", *_table(root)]
    for name, schema in root["properties"].items():
        parts += _section(name, schema, 2)
    for title, registry in _REGISTRIES.items():
        parts += [f"\n## {title}\n"]
        for name, kind in registry.items():
            parts += _variant(name, kind, _schema_of(registry)[name])
    return "\n".join(parts).replace("\n\n\n", "\n\n").rstrip("\n") + "\n"


def _section(path: str, schema: Mapping[str, Any], level: int) -> Iterator[str]:
    """The keys below a key, and below those; nothing for a key with a plain value."""
    below, path = _entries(schema, path)
    if below is None or "properties" not in below:
        return
    yield f"\n{'#' * level} {path}\n"
    description = schema.get("description") or below.get("description")
    if description:
        yield f"{_line(description)}\n"
    yield from _table(below)
    for name, one in below["properties"].items():
        if not _is_variant(name, one):
            yield from _section(f"{path}.{name}", one, min(level + 1, 4))


def _entries(schema: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any] | None, str]:
    """What stands in a section: its own keys, or those of each of its entries."""
    for one in variants(schema):
        if "properties" in one:
            return (None, path) if one.get("maxProperties") == 1 else (one, path)
        if "items" in one:
            return _entries(one["items"], f"{path}[]")
        named = one.get("additionalProperties") or next(iter(one.get("patternProperties", {}).values()), None)
        if isinstance(named, dict):
            return _entries(named, f"{path}.NAME")
    return None, path


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    required = [*schema.get("required", []), *schema.get("oneOf", [{}])[0].get("required", [])]
    for name, one in schema["properties"].items():
        default = "required" if name in required else _default(one)
        meaning = one.get("description") or next((v["description"] for v in variants(one) if "description" in v), "")
        yield f"| `{name}` | {_value(one)} | {default} | {_line(meaning)} |"


def _value(schema: Mapping[str, Any]) -> str:
    kinds = [_kind(one) for one in variants(schema) if one.get("type") != "null"]
    return " or ".join(dict.fromkeys(kinds))


def _kind(schema: Mapping[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]))
    if schema.get("maxProperties") == 1:
        return f"one {schema['title']}: " + ", ".join(f"`{name}`" for name in schema["properties"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_value(schema['items'])}"
    if kind == "string":
        return _text_kind(schema)
    return {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "object": "mapping"}.get(
        str(kind), ""
    )


def _text_kind(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if "ms|" in pattern:
        return "duration"
    if "KiB" in pattern:
        return "size"
    return "day" if schema.get("format") == "date" else "text"


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if default is None or (isinstance(default, dict) and not _is_variant("", schema)):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _is_variant(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a key belongs to a registry, whose variants have sections of their own."""
    if any(one.get("maxProperties") == 1 for one in variants(schema)):
        return True
    return any(name in registry for registry in _REGISTRIES.values())


def _variant(name: str, kind: Kind[Any], schema: Mapping[str, Any]) -> Iterator[str]:
    first, _, example = (sys.modules[kind.config.__module__].__doc__ or "").partition("\n\n")
    yield f"\n### {name}\n"
    yield f"{_line(first)}\n"
    yield f"```yaml\n{example.replace('```yaml', '').replace('```', '').strip()}\n```\n"
    yield f"Posture: {kind.posture[0].lower()}{kind.posture[1:].rstrip('.')}.\n"
    keys = next((one for one in variants(schema) if one.get("properties")), None)
    if keys is not None:
        yield from _table(keys)
        for key, below in keys["properties"].items():
            yield from _section(f"{name}.{key}", below, 4)


def _schema_of(registry: Mapping[str, Kind[Any]]) -> Mapping[str, Any]:
    """The schemas of a registry's variants, from the place in the document where one of them may stand."""
    waiting: list[Any] = [document_schema()]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, dict):
            properties = schema.get("properties", {})
            if registry.keys() <= properties.keys():
                return dict(properties)
            waiting.extend(schema.values())
        elif isinstance(schema, list):
            waiting.extend(schema)
    raise LookupError("the document has no place for this registry")


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
