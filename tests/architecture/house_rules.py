"""The rules of the house as functions from source text to sentences about what breaks them; knows no file by itself."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST = 400
FORBIDDEN_PARTS = frozenset(("common", "data", "helper", "helpers", "info", "manager", "misc", "process", "util", "utils"))
# A first sentence says what a file is for and where its knowledge ends: that takes one of these words.
_ENDS_OF_KNOWLEDGE = frozenset(("alone", "cannot", "neither", "never", "no", "nobody", "none", "nor", "not", "nothing", "only"))
_SPAWNING = frozenset(("Task", "TaskGroup", "create_task", "ensure_future", "run_coroutine_threadsafe"))
_TEST_CODE = frozenset(("conftest", "fakes", "hypothesis", "pytest", "tests"))

Rule = Callable[[str, ast.Module], Iterator[str]]
"""Takes a path below the repository with forward slashes, and the module; yields what is wrong with it."""


def product_files(root: Path = ROOT) -> dict[str, str]:
    """The text of every module of the product by its path below the repository."""
    return {file.relative_to(root).as_posix(): file.read_text() for file in sorted((root / "gateway").rglob("*.py"))}


def files_of_tests(root: Path = ROOT) -> dict[str, str]:
    """The same for files of tests."""
    return {file.relative_to(root).as_posix(): file.read_text() for file in sorted((root / "tests").rglob("test_*.py"))}


def broken(rule: Rule, files: Mapping[str, str]) -> list[str]:
    """All sentences of one rule about all files."""
    return [f"{path}: {sentence}" for path, text in files.items() for sentence in rule(path, ast.parse(text))]


def first_sentence(module: ast.Module) -> str:
    """The first paragraph of a module's docstring on one line; empty if there is none."""
    return " ".join((ast.get_docstring(module) or "").partition("\n\n")[0].split())


def too_long(text: str) -> bool:
    """Whether a file has outgrown what can be read at once."""
    return text.count("\n") > LONGEST


def forbidden_name(path: str) -> bool:
    """Whether a part of a path is a word that says nothing."""
    return not FORBIDDEN_PARTS.isdisjoint(re.split(r"[/_.-]", path.lower()))


def says_what_it_is_for(_path: str, module: ast.Module) -> Iterator[str]:
    """The first sentence is one, ends, and says what the file does not know."""
    sentence = first_sentence(module)
    if not sentence.endswith("."):
        yield "the first paragraph of its docstring is no sentence that ends with a period"
    elif re.search(r"[.!?] [A-Z]", sentence):
        yield "the first paragraph of its docstring is more than one sentence"


def says_what_it_does_not_know(path: str, module: ast.Module) -> Iterator[str]:
    """Where its knowledge ends; tables of contents (`__init__.py` of registries) are excused."""
    if path.endswith("__init__.py"):
        return
    words = set(re.findall(r"[a-z]+", first_sentence(module).lower()))
    if words.isdisjoint(_ENDS_OF_KNOWLEDGE):
        yield "its first sentence does not say what it does not know"


def reveals_secrets(path: str, module: ast.Module) -> Iterator[str]:
    """A secret is read inside `credentials/` and nowhere else, not even by another name for the method."""
    if path.startswith("gateway/credentials/"):
        return
    for node in ast.walk(module):
        if (isinstance(node, ast.Attribute) and node.attr == "reveal") or _is_text(node, "reveal"):
            yield f"line {node.lineno} reads a secret outside gateway/credentials"


def issues_permits(path: str, module: ast.Module) -> Iterator[str]:
    """Only the decision makes a permit."""
    if path == "gateway/policy/decide.py":
        return
    for node in ast.walk(module):
        if (isinstance(node, ast.Attribute) and node.attr == "_issue") or _is_text(node, "_issue"):
            yield f"line {node.lineno} makes a Permit outside policy/decide.py"


def prints(path: str, module: ast.Module) -> Iterator[str]:
    """Only commands print."""
    if path.startswith("gateway/cli/"):
        return
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and node.id in ("print", "breakpoint"):
            yield f"line {node.lineno} prints outside gateway/cli"


def catches_everything(path: str, module: ast.Module) -> Iterator[str]:
    """One broad `except`, in handle_request.py. Catching BaseException is for putting away, and ends with `raise`."""
    for node in ast.walk(module):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"Exception"}
        if "Exception" in caught and path != "gateway/handle_request.py":
            yield f"line {node.lineno} catches everything"
        last = node.body[-1]
        if "BaseException" in caught and not (isinstance(last, ast.Raise) and last.exc is None):
            yield f"line {node.lineno} catches BaseException and does not raise it again"


def spawns(path: str, module: ast.Module) -> Iterator[str]:
    """Tasks are made by the clock, which holds them; making is told from naming the type by the call."""
    if path == "gateway/clock.py":
        return
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SPAWNING:
            yield f"line {node.lineno} spawns a task past Clock.spawn"
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            yield f"line {node.lineno} takes names out of asyncio, where this rule cannot see them"


def imports_tests(_path: str, module: ast.Module) -> Iterator[str]:
    """The product knows nothing of its tests."""
    for node in ast.walk(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] in _TEST_CODE:
                yield f"line {node.lineno} imports {name}"


def ignores_types(text: str) -> bool:
    """Whether a comment tells the type checker to look away."""
    comments = (
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    )
    return any(re.search(r"type:\s*ignore", comment) for comment in comments)


def tests_without_sentence(_path: str, module: ast.Module) -> Iterator[str]:
    """The docstring of a test states a behaviour."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            sentence = ast.get_docstring(node) or ""
            if not sentence.partition("\n\n")[0].rstrip().endswith("."):
                yield f"{node.name} has no docstring that is a sentence"


def refusal_codes(module: ast.Module) -> set[str]:
    """The codes of all refusals that a module makes; `?` stands for one that is no literal."""
    codes = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
            codes |= _literals(node.args[0]) if node.args else {"?"}
    return codes


def numeric_bounds(path: str, module: ast.Module) -> dict[str, float]:
    """Module constants with a number as value, evaluated, by `path NAME`; a range counts with its last member."""
    found: dict[str, float] = {}
    for node in module.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if isinstance(target, ast.Name) and target.id.isupper() and isinstance(node, ast.Assign | ast.AnnAssign):
            value = _number(node.value)
            if value is not None:
                found[f"{path.removeprefix('gateway/')} {target.id}"] = value
    return found


def _literals(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return _literals(node.body) | _literals(node.orelse)
    return {"?"}


def _number(node: ast.expr | None) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.BinOp(left, operator, right):
            sides = _number(left), _number(right)
            if None in sides or not isinstance(operator, ast.Mult | ast.LShift | ast.Pow | ast.Add | ast.Sub):
                return None
            return eval(compile(ast.Expression(node), "<bound>", "eval"), {"__builtins__": {}})  # noqa: S307 numbers and operators only
    return None


def _is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text
