"""A changed configuration comes to all workers or to none, and to those that are started later."""

import os
import signal
from collections import Counter

import pytest
from fakes.installation import Installation
from test_many_workers import Load, children, codes, until, workers_of


def config_events(installation: Installation) -> list[str | None]:
    return [record.get("event") for record in installation.records() if record["type"] == "config"]


def change(installation: Installation, before: str, after: str) -> None:
    file = installation.folder / "doorward.yaml"
    text = file.read_text()
    assert before in text
    draft = file.with_name("draft.yaml")
    draft.write_text(text.replace(before, after, 1))
    draft.rename(file)


@pytest.mark.parametrize("asked", [signal.SIGHUP, None], ids=["by a signal", "by the watch"])
def test_a_change_comes_to_all_workers_or_to_none(installation: Installation, asked: signal.Signals | None) -> None:
    """A wrong one changes nothing; a right one is in force everywhere at once; a worker that is started later has it too."""
    workers_of(installation, 2)
    installation.serve()
    token = installation.token("billing.read")
    served = installation.served
    assert served is not None

    def told(event: str, times: int) -> None:
        if asked is not None:
            served.send_signal(asked)
        until(lambda: config_events(installation).count(event) == times)

    load = Load(installation, token)
    try:
        change(installation, "version: 1", "version: 1\nnonsense: 1")
        told("refused", 1)
        assert codes(installation, token) == {200: 12}
        change(installation, "nonsense: 1", "x-note: 1")
        told("loaded", 1)
        assert codes(installation, token) == {200: 12}
    finally:
        answers = load.stop()
    assert set(answers) <= {200, "again"}
    before = children(installation)
    change(installation, "\n    credential: billing-key", "\n    at: {prefix: /invoices}\n    credential: billing-key")
    told("loaded", 2)
    until(lambda: codes(installation, token) == Counter({"upstream_unknown": 12}))
    assert children(installation) == before, "nobody had to be replaced"
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(children(installation)) == 2 and not set(before) & set(children(installation)))
    assert codes(installation, token) == {"upstream_unknown": 12}
    assert installation.end() == 0
    installation.doorward("audit", "verify")
