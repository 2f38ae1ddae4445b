"""What the guides in docs/how-to tell a developer to do is done in a copy of the project, and works; knows no variant."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from house_rules import ROOT

GUIDE = ROOT / "docs" / "how-to" / "add-an-injector.md"
COPIED = ("gateway", "tests", "docs", "requirements", "pyproject.toml", "Makefile")


@pytest.fixture
def project(tmp_path):
    """A copy of the project."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def run(folder, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy of the project, on its own modules and no others."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def add_example(folder) -> None:
    """Do what the guide says: one file and one line, and the import that belongs to it."""
    file, line = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    injectors = folder / "gateway" / "credentials" / "injectors"
    (injectors / "basic.py").write_text(file)
    registry = injectors / "__init__.py"
    text = registry.read_text().replace("injectors import bearer", "injectors import basic, bearer")
    registry.write_text(text.replace("= {\n", "= {\n" + line, 1))


CONTRACT = ("-m", "pytest", "-p", "no:cacheprovider", "tests/contracts/test_injectors.py", "-k", "basic")
AGREEMENT = (
    "-m",
    "pytest",
    "-p",
    "no:cacheprovider",
    "tests/architecture/test_registries.py",
    "-k",
    "injectors or configuration",
)


def test_the_worked_example_becomes_an_injector(project):
    """The file and the line of the guide pass the contract and appear in schema, check and reference without another change."""
    add_example(project)
    contract = run(project, *CONTRACT)
    assert contract.returncode == 0, contract.stdout
    assert "passed" in contract.stdout
    schema = run(project, "-m", "gateway", "schema")
    assert '"basic"' in schema.stdout, schema.stderr
    before = run(project, *AGREEMENT)
    assert before.returncode == 1, "a variant without its reference page must be found"
    written = run(project, "-m", "tests.architecture.write_reference")
    assert written.returncode == 0, written.stderr
    after = run(project, *AGREEMENT)
    assert after.returncode == 0, after.stdout


def test_a_careless_injector_breaks_the_contract(project):
    """The contract can fail: an injector that does not look at its secret lets it break out, and is found."""
    add_example(project)
    file = project / "gateway" / "credentials" / "injectors" / "basic.py"
    careless = 'return b"Authorization: Basic " + password + b"\\r\\n"'
    text = file.read_text()
    start = text.index("        if _CONTROL")
    file.write_text(text[:start] + f"        {careless}\n\n" + text[text.index("    def loggable") :])
    contract = run(project, *CONTRACT)
    assert contract.returncode == 1
    assert "test_no_secret_breaks_out_of_its_lines" in contract.stdout
