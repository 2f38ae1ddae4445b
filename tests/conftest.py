"""What every folder of tests may use: the corpora of public test vectors; knows nothing of what is in them."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Programs that are started here can be interrupted, also where a shell has put the whole run into the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of public test vectors that DOORWARD_CORPORA names. Without it the test is skipped, or fails where CI=true."""
    folder = os.environ.get("DOORWARD_CORPORA", "")
    if folder and Path(folder).is_dir():
        return Path(folder)
    lack = "set DOORWARD_CORPORA to the folder of the public test vectors"
    if os.environ.get("CI") == "true":
        pytest.fail(lack)
    pytest.skip(lack)


settings.register_profile("fuzz", max_examples=20_000, deadline=None)
settings.register_profile("default", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
