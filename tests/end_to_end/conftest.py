"""The fixture that makes an installation; what it is stands in `fakes/installation.py`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A configuration made by `doorward init`, with its upstream running; `serve` is the test's own step."""
    if shutil.which("curl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("install curl")
        pytest.skip("install curl")
    made = Installation(tmp_path)
    try:
        made.start_upstream()
        made.initialise()
        yield made
    finally:
        made.stop()
