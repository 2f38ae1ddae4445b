"""Measures the settings of a question one after the other, shows and keeps what was found; knows no question."""

import argparse
from collections.abc import Callable, Iterator, Sequence

from benchmarks.results import save
from benchmarks.scene import LackingError
from benchmarks.table import Rows, as_text


def parser_of(part: str, about: str, settings: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all such questions have; `about` is the docstring of the module."""
    parser = argparse.ArgumentParser(prog=f"benchmarks.{part}", description=about.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=[*settings], help="a setting; else all of them")
    parser.add_argument("--rounds", type=int, default=3, help="times that each setting is started anew and measured (3)")
    parser.add_argument("--compiled", action="store_true", help="measure what `make compiled` has made")
    parser.add_argument("--no-save", dest="save", action="store_false", help="show the figures and keep none")
    return parser


def measured(
    part: str,
    settings: Sequence[str],
    arguments: argparse.Namespace,
    measure: Callable[[str, argparse.Namespace], dict],
    rows_of: Callable[[dict], Rows],
) -> Iterator[dict]:
    """What each setting gave that this machine can measure."""
    for setting in arguments.only or settings:
        try:
            found = measure(setting, arguments)
        except LackingError as lacking:
            print(f"{setting}: {lacking}")
            continue
        for line in as_text(rows_of({setting: found})):
            print(line)
        if arguments.save:
            save(part, setting, found)
        yield found
