"""What the documents say of the project's files, names and tests is so; knows nothing of how it is said."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house_rules import ROOT

DOCS = ROOT / "docs"
EXPLANATION = DOCS / "explanation"
DECISIONS = sorted((EXPLANATION / "decisions").glob("*.md"))
CHECKED = [
    EXPLANATION / "architecture.md",
    EXPLANATION / "performance.md",
    EXPLANATION / "threat-model.md",
    DOCS / "how-to" / "add-an-injector.md",
    DOCS / "reference" / "limits.md",
    *DECISIONS,
]
_WORDS_OF_A_PAGE = 650
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w./-]+/|[\w./-]*\.(?:py|md|toml|yaml|in|txt)|Makefile")
_TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\(\)")


def text_of(file: Path) -> str:
    """The document without its code blocks, which are examples."""
    return re.sub(r"^```.*?^```", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)


def names_defined() -> set[str]:
    """Every function, class and method of the product, methods also with their class in front."""
    names: set[str] = set()
    for file in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {
                    f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                }
    return names


def exists(path: str) -> bool:
    """Whether a path means a file here: from the root, or inside the product, the tests or the documents."""
    return any((folder / path).exists() for folder in (ROOT, ROOT / "gateway", ROOT / "tests", DOCS, EXPLANATION))


def missing(text: str, names: set[str]) -> Iterator[str]:
    """What a document names in code quotes and what is not there: paths, tests, and functions written with `()`."""
    for quoted in _CODE.findall(text):
        test = _TEST.fullmatch(quoted)
        if test is not None:
            file = ROOT / "tests" / test[1]
            if not file.is_file() or f"def {test[2]}(" not in file.read_text():
                yield f"the test {quoted} is not there"
        elif _PATH.fullmatch(quoted) is not None and not exists(quoted):
            yield f"the file {quoted} is not there"
        elif (call := _CALL.fullmatch(quoted)) is not None and call[1] not in names:
            yield f"the function {quoted} is not there"


@pytest.mark.parametrize("file", CHECKED, ids=lambda file: file.name)
def test_what_a_document_names_is_there(file):
    """A file, function or test that a document names can be opened."""
    assert list(missing(text_of(file), names_defined())) == []


def test_what_is_not_there_is_found():
    """The check can fail for a path, a test, and a function."""
    text = "`http/gone.py` `gone/` `flows/test_exchange.py::test_gone` `flows/gone.py::test_x` `gone()` `Pool.gone()`"
    assert len(list(missing(text, {"Pool.take"}))) == 6
    fine = "`http/pool.py` `credentials/` `flows/test_exchange.py::test_bodies_go_both_ways` `Pool.take()` `X-Api-Key` `a/b c`"
    assert list(missing(fine, {"Pool.take"})) == []


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.name)
def test_a_decision_is_short_and_whole(file):
    """A decision has a date, a context, a decision and a consequence, on less than a page."""
    text = file.read_text()
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequence"]
    assert re.search(r"^Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert len(text.split()) < 400
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", file.name)


def test_the_architecture_fits_on_two_pages():
    """What is longer is not read."""
    assert len((EXPLANATION / "architecture.md").read_text().split()) <= 2 * _WORDS_OF_A_PAGE


def test_the_map_leads_to_every_document():
    """Each page below docs is linked from docs/README.md, and each link leads somewhere."""
    text = (DOCS / "README.md").read_text()
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)}
    there = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")} - {"README.md"}
    assert there - linked == set()
    assert linked - there == set()


def links(file: Path) -> Iterator[str]:
    """The relative links of a document."""
    for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if not link.startswith(("http:", "https:", "#")):
            yield link.partition("#")[0]


@pytest.mark.parametrize("file", sorted(DOCS.rglob("*.md")), ids=lambda file: file.relative_to(DOCS).as_posix())
def test_no_link_is_dead(file):
    """A link from one document to another leads to a file."""
    assert [link for link in links(file) if not (file.parent / link).exists()] == []


def required(file: Path) -> set[str]:
    """The requirements that a file of `requirements/` states itself."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("-")}


def explained(text: str) -> set[str]:
    """The requirements that have a line with a reason on the page about them."""
    return set(re.findall(r"^\| `([\w-]+)` \| \S.{10,} \|$", text, re.MULTILINE))


def test_each_dependency_has_its_reason():
    """The page about dependencies lists exactly what requirements/*.in state."""
    stated = set().union(*map(required, (ROOT / "requirements").glob("*.in")))
    assert explained((EXPLANATION / "dependencies.md").read_text()) == stated
    assert explained("| `aiohttp` | |\n| `yarl` | because it is pulled in |\n") == {"yarl"}
