"""Adds entries to sections of a configuration file and leaves every other byte alone; knows nothing of their meaning."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import DoorwardError
from gateway.settings.nodes import Entry, Node

_LINES = re.compile(r"[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029]|\Z)")
_BEGINS_A_SECTION = re.compile(r"[^\s#-]|---").match
_SKIPPED_BEHIND = re.compile(r"\s*$|#").match


def insert(text: str, root: Node, additions: Mapping[str, str]) -> str:
    """The text with lines added at the end of each named section, in the section's own indentation.

    `root` is the tree of `text`. Raises `DoorwardError` for a section that is not written as a block.
    """
    lines = [line for line in _LINES.findall(text) if line]
    line_end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    places = {section: _place(lines, section, root.entries.get(section)) for section in additions}
    for section, (end, indent) in sorted(places.items(), key=lambda place: -place[1][0]):
        if not lines[end - 1].endswith(("\n", "\r")):
            lines[end - 1] += line_end
        lines[end:end] = [f"{indent}{line}{line_end}" for line in additions[section].splitlines()]
    return "".join(lines)


def is_only_extended(before: Mapping[str, Any], after: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> bool:
    """Whether two documents differ by nothing but these entries: by name in mappings, by `name` at the end of lists."""
    expected = dict(after)
    for section, added in names.items():
        value = after.get(section)
        if isinstance(value, list):
            kept = value[: -len(added)]
            if [entry.get("name") for entry in value[len(kept) :]] != list(added):
                return False
            expected[section] = kept
        elif isinstance(value, dict):
            if not value.keys() >= set(added):
                return False
            expected[section] = {name: entry for name, entry in value.items() if name not in added}
    return expected == before


def _place(lines: Sequence[str], section: str, entry: Entry | None) -> tuple[int, str]:
    """Before which line (an index) a section's next entry stands, and after which indentation."""
    if entry is None or not entry.node.value:
        raise DoorwardError(f"the file has no section '{section}' with an entry to add after")
    first = entry.node.items[0].place if isinstance(entry.node.value, list) else entry.node.place
    opening = lines[first.line - 1][: first.column - 1]
    indent = opening.partition("-")[0] if isinstance(entry.node.value, list) else opening
    if first.line <= entry.line or indent.strip() or _is_flow(lines, entry):
        raise DoorwardError(
            f"the section '{section}' on line {entry.line} is not written as a block, one entry below the other; "
            "write it so, then add to it"
        )
    end = next((number for number in range(entry.line, len(lines)) if _BEGINS_A_SECTION(lines[number])), len(lines))
    while _SKIPPED_BEHIND(lines[end - 1]) is not None:
        end -= 1
    return end, indent


def _is_flow(lines: Sequence[str], entry: Entry) -> bool:
    place = entry.node.place
    return lines[place.line - 1][place.column - 1] in "{["
