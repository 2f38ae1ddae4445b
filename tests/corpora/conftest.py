"""Every test of this folder needs the public test vectors; knows nothing of what is in them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _needed(corpora: Path) -> None:
    """Skips without them, or fails where CI=true, before a test looks at its case."""
    assert corpora.is_dir()
