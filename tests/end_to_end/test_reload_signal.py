"""SIGHUP to a real process: the configuration is read again, and nothing else happens to it."""

import signal
import time
from pathlib import Path

from fakes.installation import Installation


def test_a_signal_has_the_configuration_read_again(installation: Installation) -> None:
    """It takes what is right, keeps serving after what is wrong, and writes both down."""
    installation.serve()
    token = installation.token("billing.read")
    assert installation.call("/billing/items", token).status == 200
    file: Path = installation.folder / "doorward.yaml"
    text = file.read_text()
    assert installation.served is not None
    for changed, event in (("nonsense: [\n" + text, "refused"), (text + "\nx-note: changed\n", "loaded")):
        file.write_text(changed)
        installation.served.send_signal(signal.SIGHUP)
        until = time.monotonic() + 20
        while event not in [record.get("event") for record in installation.records() if record["type"] == "config"]:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert installation.served.poll() is None
    assert installation.call("/billing/items", token).status == 200
    assert installation.end() == 0
