"""Which modules are compiled: those that are said to be, when the compiled tests run, and none otherwise; compiles nothing."""

import importlib
import os
import tomllib

from house_rules import ROOT

CHOSEN = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["doorward"]["compiled"]


def test_what_is_tested_is_what_was_compiled() -> None:
    """Else the tests of compiled modules would pass without having seen one: `make test-compiled` sets the variable."""
    modules = [importlib.import_module(path.removesuffix(".py").replace("/", ".")) for path in CHOSEN]
    compiled = {str(module.__file__).endswith(".so") for module in modules}
    assert compiled == {os.environ.get("DOORWARD_TESTED") == "compiled"}


def test_what_is_compiled_exists_and_stands_in_order() -> None:
    """A module that was renamed would be left out in silence."""
    assert sorted(set(CHOSEN)) == CHOSEN
    assert all((ROOT / path).is_file() for path in CHOSEN)
