"""`doorward check`: says whether a configuration can be used, or where it is wrong; knows nothing of what it would do."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import ConfigurationError, DoorwardError, Flaw
from gateway.settings.compile import compile_configuration, compile_credentials
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded, load
from gateway.settings.review import findings

SUMMARY = "validate a configuration; every mistake with its line and column"


def configure(parser: argparse.ArgumentParser) -> None:
    """The file stands with or without `-c`."""
    parser.epilog = (
        "Exits with 0 if the configuration can be used, else with 1. Warnings, as of a secret that is not there, and notes "
        "leave it at 0, so that files can be checked where secrets are not."
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="the configuration (default doorward.yaml)")
    parser.add_argument("-c", "--config", metavar="FILE", help="the same")


def run(arguments: argparse.Namespace) -> int:
    """Print one line if all is well, with the warnings and notes there are, else one line for each flaw and exit with 1."""
    if arguments.file and arguments.config and arguments.file != arguments.config:
        raise DoorwardError("two files are named; check one at a time")
    file = Path(arguments.file or arguments.config or "doorward.yaml")
    try:
        loaded, compiled = check(file)
    except ConfigurationError as error:
        _report(error, as_json=arguments.json)
        return 1
    for warning in compiled.warnings:
        print(f"{file}: warning: {warning}", file=sys.stderr)
    for part in loaded.parts.values():
        for trouble in _missing_secrets(part):
            _tell("warning", trouble)
        for finding in findings(part):
            _tell("note", finding)
    print(json.dumps([]) if arguments.json else f"{file}: ok ({_summary(loaded)})")
    return 0


def _missing_secrets(loaded: Loaded) -> Iterator[Flaw]:
    """Secrets that cannot be had here and now, where they are named. No mistake: where files are checked they may be absent."""
    credentials = compile_credentials(loaded, Clock(), bytes(32))  # nothing is recorded, so there is no fingerprint to protect
    for name, told in credentials.troubles():
        yield loaded.flaw(("credentials", name, "secret"), told)


def _tell(kind: str, flaw: Flaw) -> None:
    print(f"{flaw.file}:{flaw.line}:{flaw.column}: {kind}: {flaw.message}", file=sys.stderr)


def check(file: Path) -> tuple[Loaded, Compiled]:
    """Load and compile, without effect. Raises `ConfigurationError` and `DoorwardError`."""
    loaded = load(file)
    return loaded, compile_configuration(loaded, Clock().now())


def check_part(file: Path, tenant: str | None) -> tuple[Loaded, Compiled]:
    """The same for one tenant, which has to be named where there are several."""
    loaded, compiled = check(file)
    part = loaded.part(tenant)
    return part, compiled.parts[part.document.tenant]


def add_tenant(parser: argparse.ArgumentParser) -> None:
    """Of which tenant it is, for commands that are about one."""
    parser.add_argument("--tenant", metavar="NAME", help="the tenant, where there are several")


def _report(error: ConfigurationError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_members(flaw) for flaw in error.flaws], ensure_ascii=False))
        return
    for flaw in error.flaws:
        print(flaw, file=sys.stderr)


def _members(flaw: Flaw) -> dict[str, str | int]:
    return {"file": flaw.file, "line": flaw.line, "column": flaw.column, "message": flaw.message}


def _summary(loaded: Loaded) -> str:
    documents = [part.document for part in loaded.parts.values()]
    counts = {
        **({"tenant": len(documents)} if loaded.tenants else {}),
        **({"further issuer": len(loaded.document.issuers)} if loaded.document.issuers else {}),
        "upstream": sum(len(document.upstreams) for document in documents),
        "credential": sum(len(document.credentials) for document in documents),
        "intent": sum(len(document.intents) for document in documents),
        "grant": sum(len(document.grants) for document in documents),
        "denial": sum(len(document.denials) for document in documents),
    }
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())
