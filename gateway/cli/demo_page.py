"""How the demo looks: plain lines, or with colours on a terminal that wants them; knows nothing of what it shows."""

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, final

from gateway.cli.demo_scene import Step

WIDTH: Final = 100

_INDENT: Final = "    "
_CELL: Final = 40
_BOLD, _DIM, _GREEN, _RED, _CYAN = "1", "2", "32", "31", "36"


@final
class Page:
    """Writes to standard output, at most 100 columns wide."""

    def __init__(self, *, colours: bool) -> None:
        """`colours`: whether escape sequences may be written."""
        self._colours: Final = colours

    @classmethod
    def for_this_terminal(cls) -> "Page":
        """Colours only on a terminal, and not if NO_COLOR is set or the terminal is dumb."""
        unwanted = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"
        return cls(colours=sys.stdout.isatty() and not unwanted)

    def opening(self, folder: str) -> None:
        """What is going to be played."""
        self._write(self._dyed("Doorward: one agent, one API, one task.", _BOLD), f"Everything it makes is in {folder}/", "")

    def step(self, step: Step) -> None:
        """A heading, what was done, what was expected and seen, and what there is to look at."""
        mark = self._dyed("ok", _GREEN) if step.well else self._dyed("NOT AS IT SHOULD BE", _RED)
        self._write(
            f"{step.number:>2}  {self._dyed(step.title, _BOLD)}",
            *(_INDENT + self._dyed(line, _CYAN) for line in _wrapped(step.does)),
            *self._labelled("expected", step.expected),
            *self._labelled("seen", step.seen.line, mark),
            *(self._labelled("told", step.seen.told) if step.seen.told else ()),
            *self._table(step.seen.table),
            "",
        )

    def closing(self, sentence: str, *, well: bool) -> None:
        """How it went."""
        self._write(self._dyed(sentence, _GREEN if well else _RED))

    def commands(self, heading: str, commands: Sequence[str]) -> None:
        """What to type next. Never wrapped: these lines are copied."""
        self._write("", self._dyed(heading, _BOLD), "", *(f"  {command}" for command in commands))

    def _labelled(self, label: str, text: str, mark: str = "") -> Iterator[str]:
        first, *others = _wrapped(text, 12)
        yield f"{_INDENT}{self._dyed(f'{label:<10}', _DIM)}{first}{'  ' if mark else ''}{mark}"
        yield from (f"{_INDENT}{'':<10}{line}" for line in others)

    def _table(self, table: Sequence[Sequence[str]]) -> Iterator[str]:
        if not table:
            return
        rows = [[_cut(cell) for cell in row] for row in table]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield ""
        for number, row in enumerate(rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            yield _INDENT + (line if number else self._dyed(line, _DIM))

    def _dyed(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _write(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)


def _wrapped(text: str, less: int = 0) -> list[str]:
    return textwrap.wrap(text, WIDTH - len(_INDENT) - less, break_long_words=False, break_on_hyphens=False) or [""]


def _cut(cell: str) -> str:
    return cell if len(cell) <= _CELL else cell[: _CELL - 3] + "..."
