"""`doorward schema`: prints the JSON Schema of the configuration, which editors use to complete and check; reads no file."""

import argparse
import json

from gateway.settings.schema import document_schema

SUMMARY = "print the JSON Schema of the configuration"


def configure(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""
    parser.epilog = "doorward schema > doorward.schema.json renews the file that editors read after an upgrade."


def run(_arguments: argparse.Namespace) -> int:
    """Print it; it is JSON with and without `--json`."""
    print(schema_text(), end="")
    return 0


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(document_schema(), indent=2, ensure_ascii=False) + "\n"
