"""Builds the distribution; everything it says stands in pyproject.toml.

With `DOORWARD_COMPILE=1` the modules that serve a request are compiled by mypyc from the same source. Without, and wherever
no compiled wheel fits, the very same modules run as plain Python.
"""

import os
import tomllib
from pathlib import Path

from setuptools import Extension, setup


def compiled() -> list[Extension]:
    """The extension modules of `[tool.doorward] compiled`, one for each file, sharing one library."""
    if os.environ.get("DOORWARD_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 needed for a compiled wheel alone

    chosen = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["doorward"]["compiled"]
    return mypycify(["--strict", *chosen], opt_level="3", debug_level="0")


setup(ext_modules=compiled())
