"""`doorward schema` prints what editors read."""

import json

import pytest

from gateway.cli.main import main
from gateway.settings.schema import document_schema


@pytest.mark.parametrize("words", [["schema"], ["schema", "--json"]])
def test_it_prints_the_schema(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, and nothing else."""
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == document_schema()
    assert err == ""
