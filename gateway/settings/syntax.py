"""Turns the YAML parser's complaints into sentences that say what to do; knows nothing of what the file is for."""

from typing import Final

import yaml

_SENTENCES: Final = {
    "mapping values are not allowed in this context": "a colon does not fit here: indent the key like its neighbours, "
    "or put text that holds ': ' in quotes",
    "could not find expected ':'": "this line has no colon; a key is written as `key: value`",
    "did not find expected key": "a key was expected here; check the indentation, and quotes that end too early",
    "did not find expected '-' indicator": "a list item was expected here; indent it like the items before it, with `- `",
    "did not find expected node content": "a value was expected here",
    "did not find expected ',' or ']'": "the list [...] is not closed",
    "did not find expected ',' or '}'": "the mapping {...} is not closed",
    "found unexpected end of stream": "the quotes are not closed",
    "found unknown escape character": r"unknown escape in double quotes; write \\ for a backslash, or use single quotes",
    "block sequence entries are not allowed in this context": "a list item does not fit here; begin the list on its own line",
    "found unexpected document indicator": "--- or ... stands inside quotes that are not closed",
    "did not find expected <document start>": "nothing may follow the end of the document; check the indentation",
}


def explain(error: yaml.YAMLError, text: str) -> tuple[int, int, str]:
    """Line, column and sentence for what the parser says of `text`. The sentence never holds a value."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        line, column = mark.line + 1, mark.column + 1
        return line, column, _sentence(error, _character(text, mark.line, mark.column))
    position = getattr(error, "position", 0)
    line, column = place_of(text[:position])
    return line, column, "control characters are not allowed in YAML; remove it, or escape it in double quotes"


def place_of(before: str) -> tuple[int, int]:
    """Line and column of what comes after a text, both from 1."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _sentence(error: yaml.MarkedYAMLError, character: str) -> str:
    problem = error.problem or "it cannot be read"
    if problem.startswith("found character") and problem.endswith("cannot start any token"):
        if character == "\t":
            return "a tab cannot indent YAML; use spaces"
        return f"text cannot begin with {character}; put it in quotes"
    sentence = _SENTENCES.get(problem)
    if sentence is None:
        return f"this is not YAML: {problem}"
    begun = error.context_mark
    if begun is not None and error.problem_mark is not None and begun.line < error.problem_mark.line:
        return f"{sentence} (it begins on line {begun.line + 1})"
    return sentence


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line][column : column + 1] if line < len(lines) else ""
