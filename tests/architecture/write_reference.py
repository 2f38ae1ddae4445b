"""The pages of docs/reference that are made from the code, and a command that writes them; knows no page by its words.

`python -m tests.architecture.write_reference` writes them anew; a test compares what stands there with what it would write.
"""

import argparse
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.audit.sinks import SINKS
from gateway.cli.main import COMMANDS, Parser
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.sources import SOURCES
from gateway.errors import DOCUMENTATION, PROBLEMS
from gateway.identity.providers import PROVIDERS
from gateway.intent.readers import READERS
from gateway.kind import Kind
from gateway.metrics.table import DURATIONS, METRICS
from gateway.settings import reference
from gateway.stores.backends import BACKENDS

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_GENERATED = "This page is generated from the code: `make docs` writes it anew, and a test compares."
_WIDTH = 100
_TOGETHER = {"sum": "the sum", "greatest": "the greatest", "least": "the least"}


class Registry(NamedTuple):
    """One registry: its mapping and its folder below the repository, with the words of its page."""

    page: str
    title: str
    about: str
    kinds: Mapping[str, Kind[Any]]
    folder: str


REGISTRIES = (
    Registry(
        "injectors.md", "Injectors", "How an upstream's secret enters a request: `credentials.NAME.inject`.",
        INJECTORS, "gateway/credentials/injectors",
    ),
    Registry(
        "secret-sources.md", "Secret sources", "Where an upstream's secret comes from: `credentials.NAME.secret`.",
        SOURCES, "gateway/credentials/sources",
    ),
    Registry(
        "identity-providers.md", "Identity providers", "How agents prove what they are: `identities.NAME`.",
        PROVIDERS, "gateway/identity/providers",
    ),
    Registry(
        "intent-readers.md", "Intent readers", "How an operation is read from a request: `upstreams.NAME.protocol`.",
        READERS, "gateway/intent/readers",
    ),
    Registry(
        "audit-sinks.md", "Audit sinks", "Where audit records go: `audit.sinks.NAME`.", SINKS, "gateway/audit/sinks",
    ),
    Registry(
        "store-backends.md", "Store backends", "Where tasks and revocations are kept: `authority.store`.",
        BACKENDS, "gateway/stores/backends",
    ),
)  # fmt: skip


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    made = {registry.page: "\n".join(_registry(registry)).replace("\n### ", "\n## ") for registry in REGISTRIES}
    made |= {"refusals.md": "\n".join(_refusals()), "commands.md": "\n".join(_commands()), "metrics.md": "\n".join(_metrics())}
    tidy = {name: text.replace("\n\n\n", "\n\n").rstrip("\n") + "\n" for name, text in made.items()}
    return {**tidy, "configuration.md": reference.reference()}


def _registry(registry: Registry) -> Iterator[str]:
    yield f"# {registry.title}\n"
    yield f"{registry.about} Each is one file in `{registry.folder}/` and one line in its `__init__.py`. {_GENERATED}\n"
    for name, kind in registry.kinds.items():
        yield from reference._variant(name, kind, _schema(registry, name))
        keys = kind.config.model_fields
        if not keys:
            yield f"{' '.join((inspect.getdoc(kind.config) or '').split())}\n"


def _schema(registry: Registry, name: str) -> Mapping[str, Any]:
    """The schema of a variant where the configuration has a place for it; a variant without keys needs none."""
    if not registry.kinds[name].config.model_fields:
        return {}
    schema: Mapping[str, Any] = reference._schema_of(registry.kinds)[name]
    return schema


def _refusals() -> Iterator[str]:
    yield "# Refusals\n"
    yield (
        "What the gateway answers when it says no: `application/problem+json` (RFC 9457) with `type`, `title`, `status`,\n"
        "`detail`, `code`, `request_id` and `remedy`. The code is the same in answers, records and metrics, and never changes\n"
        f"its meaning; `type` is `{DOCUMENTATION}#` and the code. {_GENERATED}\n\n"
        "Every refusal also carries `Proxy-Status: doorward; error=…` (RFC 9209): a machine tells it from an answer of\n"
        "the upstream. An upstream's own `Proxy-Status` is dropped unless its `pass` names it. The error type below\n"
        "stands there unless the gateway knows it more exactly, as `dns_error`, `connection_refused`, `connection_timeout`,\n"
        "`tls_certificate_error` or `http_response_incomplete` for an upstream that failed.\n"
    )
    yield "| code | status | error type | what it means | what to do next |"
    yield "|---|---|---|---|---|"
    for row in PROBLEMS.values():
        anchor = f'<a id="{row.code}"></a>[`{row.code}`](#{row.code})'
        yield f"| {anchor} | {row.status} | `{row.error}` | {row.title} | {row.remedy} |"


def _metrics() -> Iterator[str]:
    yield "# Metrics\n"
    yield (
        "What `GET /metrics` shows on `admin.listen`, and to operators on `admin.socket`, in the text format of Prometheus.\n"
        "With several workers it is about all of them: the last column says what their figures make together. What to\n"
        f"alert on stands in [Monitor Doorward](../how-to/monitor.md). {_GENERATED}\n\n"
        "No label ever holds a secret, a token or anything that a caller sent; each has few values. The edges of the\n"
        f"buckets of histograms are {', '.join(f'{edge:g}' for edge in DURATIONS)} seconds.\n"
    )
    yield "| metric | kind | labels | what it says | of several processes |"
    yield "|---|---|---|---|---|"
    for row in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in row.labels)
        yield f"| `{row.name}` | {row.kind} | {labels} | {row.about} | {_TOGETHER[row.together]} |"


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield (
        "Every command takes `--json`, exits with 0 when it did what was asked, with 1 and one clear sentence when it could\n"
        f"not, and with 2 when it was typed wrongly. None ever prints a secret. {_GENERATED}\n"
    )
    for name, module in COMMANDS.items():
        command: Any = importlib.import_module(module)
        parser = Parser(prog=f"doorward {name}", description=command.SUMMARY)
        command.configure(parser)
        yield from _command(parser, command.SUMMARY, 2)


def _command(parser: argparse.ArgumentParser, about: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} {parser.prog}\n"
    yield f"{_sentence(about)}\n"
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield "```text"
    yield _usage(parser)
    yield "```\n"
    rows = [row for action in parser._actions if not isinstance(action, argparse._HelpAction) for row in _option(action)]
    if rows and not below:
        yield "| option | meaning |"
        yield "|---|---|"
        yield from rows
        yield ""
    for action in below:
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, one in action.choices.items():
            yield from _command(one, summaries.get(name, ""), level + 1)


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage line, wrapped alike on every terminal."""
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().rstrip()


def _option(action: argparse.Action) -> Iterator[str]:
    if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
        return
    value = "" if action.nargs == 0 else f" {_value_of(action)}"
    names = ", ".join(action.option_strings) + value if action.option_strings else _value_of(action)
    words = (action.help or "") % {"default": action.default, "prog": ""}
    yield f"| `{names.strip()}` | {_sentence(words)} |"


def _value_of(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))


def _sentence(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|")
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def main() -> int:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
