"""Compiles and evaluates CEL expressions in a typed environment; knows no variable's meaning.

CEL always ends, reads nothing but its variables and changes nothing, so that what an operator writes cannot hang or leak
the gateway. Evaluation is strict: any error is an error, never a value.

The library is loaded with the first expression: it takes 8 MiB, which a configuration without expressions need not have.
"""

import re
from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from gateway.spiffe import spiffe_id

if TYPE_CHECKING:
    from cel_expr_python.cel import Env
    from cel_expr_python.cel import Expression as Compiled

__all__ = [
    "ANY",
    "BOOL",
    "CLAIMS",
    "DURATION",
    "FLAGS",
    "LISTS",
    "MOMENT",
    "NUMBER",
    "STRING",
    "TEXTS",
    "WORDS",
    "Environment",
    "Expression",
    "ExpressionError",
    "Type",
]


class Type(Enum):
    """The types that variables and results may have, by the library's names for them."""

    STRING = "STRING"
    BOOL = "BOOL"
    CLAIMS = "MAP<STRING, DYN>"
    TEXTS = "MAP<STRING, STRING>"
    FLAGS = "MAP<STRING, BOOL>"
    LISTS = "MAP<STRING, LIST<STRING>>"
    NUMBER = "INT"
    MOMENT = "TIMESTAMP"
    DURATION = "DURATION"
    ANY = "DYN"
    WORDS = "LIST<STRING>"


STRING: Final = Type.STRING
BOOL: Final = Type.BOOL
CLAIMS: Final = Type.CLAIMS
TEXTS: Final = Type.TEXTS
FLAGS: Final = Type.FLAGS
LISTS: Final = Type.LISTS
NUMBER: Final = Type.NUMBER
MOMENT: Final = Type.MOMENT
DURATION: Final = Type.DURATION
ANY: Final = Type.ANY
WORDS: Final = Type.WORDS

EXPRESSION_CHARACTERS: Final = 8192
MESSAGE_CHARACTERS: Final = 200

_PLACED = re.compile(r"<input>:(\d+):(\d+): ([^\n]*)").search
_STATUS = re.compile(r"^[A-Z_]+: ").sub
# What an error quotes can be long and of the caller: no beginning is looked for an end that is not there.
_NOISE = re.compile(r" \(in container ''\)| expecting \{.*| ?\[[A-Z_]+\]$").sub
# What these texts end with is made from values or from Python objects, which do not belong in a message.
_CARRIES_VALUE = re.compile(r"^(Integer value|Unexpected value type|Non-CEL value type)")


class ExpressionError(Exception):
    """An expression cannot be compiled, or gave no value of its type. Line and column count from 1; 0 is nowhere."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        """`message` is a clause for an operator, without the library's own wording around it."""
        super().__init__(message)
        self.message: Final = message
        self.line: Final = line
        self.column: Final = column


class _Variable(NamedTuple):
    name: str
    type: Type


@final
class Expression:
    """A compiled expression with one result type."""

    def __init__(self, text: str, compiled: "Compiled", returns: Type, reads: frozenset[str]) -> None:
        """Made by `Environment.compile` only."""
        self.text: Final = text
        self.reads: Final = reads
        """The variables that the value can depend on."""
        self._compiled = compiled
        self._returns = returns.value

    def __repr__(self) -> str:
        """The text as the operator wrote it."""
        return f"Expression({self.text!r})"

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value for these variables, a `str` or `bool` as compiled for. Raises `ExpressionError`."""
        if _holds_nul(values):
            raise ExpressionError("a variable holds the character U+0000")
        try:
            value = self._compiled.eval(data=values)
        except (RuntimeError, TypeError, ValueError):
            raise ExpressionError("the expression cannot read its variables") from None
        name = value.type().name()
        if name == "ERROR":
            raise ExpressionError(_why(str(value.plain_value())))
        if name != self._returns:
            raise ExpressionError(f"the expression gave {_named(name)}, not {_named(self._returns)}")
        return value.plain_value()


@final
class Environment:
    """The variables that expressions of one kind may read, with their types, and the function `segment`."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        """`variables` maps each name, such as `claims` or `task.age`, to its type, such as `CLAIMS`."""
        self._variables = tuple(_Variable(name, type_) for name, type_ in variables.items())
        self._without: dict[str, Env] = {}
        """For a variable an environment that lacks it: what compiles there does not read it."""

    @cached_property
    def _env(self) -> "Env":
        return _env(self._variables)

    def compile(self, text: str, returns: Type) -> Expression:
        """Parse and check an expression. Raises `ExpressionError` with the place of the first mistake."""
        if len(text) > EXPRESSION_CHARACTERS:
            raise ExpressionError(f"the expression is longer than {EXPRESSION_CHARACTERS} characters", 1, 1)
        if _holds_nul(text):
            raise ExpressionError("the expression holds the character U+0000", 1, 1)
        compiled = _compile(self._env, text)
        result = compiled.return_type().name()
        # What is dynamic is only known when it is evaluated, and checked then.
        if result not in (returns.value, "DYN"):
            raise ExpressionError(f"the expression gives {_named(result)}, but {_named(returns.value)} is needed", 1, 1)
        return Expression(text, compiled, returns, frozenset(name for name in self._named_in(text) if self._reads(text, name)))

    def _named_in(self, text: str) -> list[str]:
        """What the text could read: a variable is read only where the last part of its name is written."""
        return [variable.name for variable in self._variables if variable.name.rpartition(".")[2] in text]

    def _reads(self, text: str, name: str) -> bool:
        env = self._without.get(name)
        if env is None:
            env = self._without[name] = _env(tuple(variable for variable in self._variables if variable.name != name))
        return not _compiles(env, text)


def _env(variables: tuple[_Variable, ...]) -> "Env":
    from cel_expr_python import cel  # noqa: PLC0415 see the first lines

    text = cel.Type.STRING
    types = {
        STRING: text,
        BOOL: cel.Type.BOOL,
        CLAIMS: cel.Type.Map(text, cel.Type.DYN),
        TEXTS: cel.Type.Map(text, text),
        FLAGS: cel.Type.Map(text, cel.Type.BOOL),
        LISTS: cel.Type.Map(text, cel.Type.List(text)),
        NUMBER: cel.Type.INT,
        MOMENT: cel.Type.TIMESTAMP,
        DURATION: cel.Type.DURATION,
        ANY: cel.Type.DYN,
        WORDS: cel.Type.List(text),
    }
    segment = cel.Overload("segment_string", cel.Type.STRING, [cel.Type.STRING], is_member=False, impl=_segment)
    return cel.NewEnv(
        variables={name: types[type_] for name, type_ in variables}, functions=[cel.FunctionDecl("segment", [segment])]
    )


def _segment(text: str) -> str:
    """Return what is one legal path segment of a SPIFFE ID and refuse the rest, so that no claim can reach another path."""
    if "/" in text:
        raise ValueError("segment() was given a text with a slash")
    try:
        spiffe_id("spiffe://x/" + text)
    except ValueError:
        raise ValueError("segment() was given what is no path segment of a SPIFFE ID") from None
    return text


def _compile(env: "Env", text: str) -> "Compiled":
    try:
        return env.compile(text)
    except RuntimeError as error:
        complaint = str(error)
    except TypeError:
        complaint = "the expression is not valid Unicode"
    placed = _PLACED(complaint)
    if placed is None:
        raise ExpressionError(_why(complaint), 1, 1)
    raise ExpressionError(_plain(placed[3]), int(placed[1]), int(placed[2]))


def _compiles(env: "Env", text: str) -> bool:
    try:
        _compile(env, text)
    except ExpressionError:
        return False
    return True


def _why(complaint: str) -> str:
    message = _STATUS("", complaint)
    if _CARRIES_VALUE.match(message):
        return "a variable holds a value that expressions cannot read"
    return _plain(message)


def _plain(message: str) -> str:
    first = _NOISE("", message.split("\n", 1)[0]).strip().replace("'<EOF>'", "the end")
    shown = "".join(character if character.isprintable() else "?" for character in first[:MESSAGE_CHARACTERS])
    return shown or "the expression cannot be used"


def _named(type_name: str) -> str:
    """The type as an operator calls it: `map`, not `MAP<STRING, DYN>`."""
    return type_name.lower().split("<", 1)[0]


def _holds_nul(value: Any) -> bool:
    """Whether a text anywhere in the value holds U+0000, where the library would end it and see another text."""
    open_ends = [value]
    while open_ends:
        match open_ends.pop():
            case str(text) if "\0" in text:
                return True
            case Mapping() as members:
                open_ends += members.keys()
                open_ends += members.values()
            case list(items):
                open_ends += items
    return False
