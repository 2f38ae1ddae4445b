"""Finds in the text of an expression the members of variables that it names; knows no values and compiles nothing."""

import re
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

CAPTURES: Final = "path"
PARAMS: Final = "task.params"
SUBJECT_CLAIMS: Final = "subject.claims"
AGENT_CLAIMS: Final = "agent.claims"
CARRIED: Final = (AGENT_CLAIMS, SUBJECT_CLAIMS)
"""Of these a token carries only the members that policy names."""
QUERY: Final = "request.query"
FORM: Final = "request.form"
THERE: Final = {AGENT_CLAIMS: "agent.there", SUBJECT_CLAIMS: "subject.there"}
"""What the claims are called that are known to be there. No operator can write this: it is put in when a text is understood."""
HAD: Final = {AGENT_CLAIMS: "agent.had", SUBJECT_CLAIMS: "subject.had"}
"""What maps the name of each claim that anything is known of to whether the identity had it; put in likewise."""

_OF_PAIRS: Final = (QUERY, FORM)
_OF_MEMBERS: Final = (PARAMS, *CARRIED, *_OF_PAIRS)
_TOKENS: Final = re.compile(
    r"""//[^\n]*|[rR][bB]?(?:"[^"\n]*"|'[^'\n]*')|[bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|[A-Za-z_][A-Za-z0-9_]*|`[^`\n]*`|[^\s]""",
    re.DOTALL,
).finditer
_LITERAL: Final = re.compile(r"""([A-Za-z]*)(\"{3}|'{3}|["'`])(.*)\2""", re.DOTALL).fullmatch
_ESCAPE: Final = re.compile(r"\\(?:([0-7]{3})|[xXuU]([0-9A-Fa-f]{8}|[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2})|(.))", re.DOTALL)
_QUOTES: Final = "\"'`"
_CONTROLS: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Member(NamedTuple):
    """A member of a variable that an expression names, such as `customer` of `path`. Line and column count from 1."""

    variable: str
    name: str
    line: int
    column: int


class _Found(NamedTuple):
    """A member by the tokens of a text: its variable begins at `first`, its name stands at `named`, and `end` follows it."""

    variable: str
    literal: str
    first: int
    named: int
    end: int


def members_named(text: str) -> Iterator[Member]:
    """The members that an expression names of `path`, params, claims, queries and forms, as in `path.x` and `path["x"]`."""
    tokens = _tokens(text)
    for found in _members(tokens):
        start = tokens[found.named].start()
        line = text.count("\n", 0, start) + 1
        yield Member(found.variable, _plain(found.literal), line, start - text.rfind("\n", 0, start))


def claims_named(variable: str, text: str) -> frozenset[str]:
    """The claims of the agent or of the subject, as `variable` says, that a condition of requests reads."""
    return frozenset(member.name for member in members_named(text) if member.variable == variable)


def claims_apart(text: str) -> str:
    """The same expression, in which each claim is asked for by its name in `THERE`, and by `has` in `HAD`.

    A name that either lacks is an error of the expression then, where `has` of it would be false. What asks for claims in
    another way stays as it is.
    """
    tokens = _tokens(text)
    words = [token[0] for token in tokens]
    parts: list[str] = []
    done = 0
    for found in _members(tokens):
        if found.variable not in CARRIED:
            continue
        first, end, of = found.first, found.end, THERE
        if words[max(0, first - 2) : first] == ["has", "("] and words[end : end + 1] == [")"]:
            first, end, of = first - 2, end + 1, HAD
        parts += [text[done : tokens[first].start()], f"{of[found.variable]}[{found.literal}]"]
        done = tokens[end - 1].end()
    return "".join((*parts, text[done:]))


class PairsRead(NamedTuple):
    """The names that an expression reads in a query or a form. With `others` it may read more: then they are all its words."""

    names: frozenset[str]
    others: bool


def pairs_read(variable: str, text: str) -> PairsRead:
    """What an expression reads of the query or the form, as `variable` says.

    Names are told by `request.query.x`, `request.query["x"]` and `"x" in request.query`.
    """
    tokens = _tokens(text)
    words = [token[0] for token in tokens]
    members = list(_members(tokens))
    literals = [*(member.literal for member in members if member.variable == variable), *_looked_for(variable, words)]
    last = variable.rpartition(".")[2]
    read = words.count(last) - sum(words[member.named] == last for member in members)
    if 0 < read == len(literals):
        return PairsRead(frozenset(map(_plain, literals)), others=False)
    named = (
        word
        for word, behind in zip(words, [*words[1:], ""], strict=True)
        if word[-1] in _QUOTES or (word.isidentifier() and behind != "(")  # a function is no name
    )
    return PairsRead(frozenset(map(_plain, named)), others=True)


def _tokens(text: str) -> list[re.Match[str]]:
    return [token for token in _TOKENS(text) if not token[0].startswith("//")]


def _members(tokens: list[re.Match[str]]) -> Iterator[_Found]:
    words = [token[0] for token in tokens]
    for at, word in enumerate(words):
        if at and words[at - 1] == ".":
            continue
        if word == CAPTURES:
            variable, follows = CAPTURES, at + 1
        else:
            variable, follows = "".join(words[at : at + 3]), at + 3
            if variable not in _OF_MEMBERS:
                continue
        match words[follows : follows + 3]:
            case [".", name, *rest] if (name.isidentifier() or (name[0] == "`" and variable in _OF_PAIRS)) and rest != ["("]:
                yield _Found(variable, f'"{name.strip("`")}"', at, follows + 1, follows + 2)
            case ["[", literal, "]"] if literal[0] in "\"'":
                yield _Found(variable, literal, at, follows + 1, follows + 3)


def _looked_for(variable: str, words: list[str]) -> Iterator[str]:
    """The literals of which it is asked whether they are in a variable, nothing being put before or behind either."""
    whole = re.findall(r"\w+|\.", variable)
    for at in range(2, len(words) - 2):
        literal, before, behind = words[at - 2], words[at - 3 : at - 2], words[at + 3 : at + 4]
        asked = words[at - 1] == "in" and words[at : at + 3] == whole and literal[-1] in "\"'"
        if asked and (not before or before[0] in "(&|") and behind not in (["."], ["["]):
            yield literal


def _plain(word: str) -> str:
    """A word, or what a literal means or stands between backticks."""
    literal = _LITERAL(word)
    if literal is None:
        return word
    kind, quotes, text = literal.groups()
    return text if "r" in kind.lower() or quotes == "`" else _ESCAPE.sub(_meant, text)


def _meant(escape: re.Match[str]) -> str:
    octal, hexadecimal, other = escape.groups()
    if other is not None:
        return _CONTROLS.get(other, other)
    return chr(int(octal, 8) if octal else min(int(hexadecimal, 16), sys.maxunicode))
