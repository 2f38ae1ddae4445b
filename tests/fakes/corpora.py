"""The public test vectors as named cases, one test for each; knows no outcome."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("DOORWARD_CORPORA") or os.devnull)


def document(file: str) -> Any:
    """One JSON file of the corpora; an empty document where there are none, for then the tests are skipped, or fail in CI."""
    path = FOLDER / file
    return json.loads(path.read_text()) if path.is_file() else {}


def named(cases: Iterable[Any], name: Callable[[Any], str]) -> list[Any]:
    """Each case as a parameter with its name. Without corpora there is one, so that their lack is seen."""
    found = [pytest.param(case, id=name(case)) for case in cases]
    return found or [pytest.param({}, id="no corpora")]
