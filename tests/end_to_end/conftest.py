"""The fixtures that make installations; what they are stands in `fakes/`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.installation import Installation
from fakes.shared_store import Shared, two_on_one_store


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


@pytest.fixture
def shared(installation: Installation, tmp_path: Path) -> Iterator[Shared]:
    """Two of them on one store; `serve` is the test's own step."""
    with two_on_one_store(installation, tmp_path) as made:
        yield made
