"""What is kept of an answer until it is whole; knows no server and no policy."""

import tracemalloc
from typing import Any, cast

import pytest

from gateway.intent.answers import GatheredList, SeenAnswer
from gateway.model import Outcome


@pytest.mark.parametrize("kind", [GatheredList, SeenAnswer])
@pytest.mark.interpreted("only interpreted lines are told with what they allocate")
def test_what_is_gathered_takes_its_bytes_and_little_more(kind: Any) -> None:
    """However small the parts in which it comes."""
    answer = kind(cast("Any", None), cast("Any", None), Outcome())
    tracemalloc.start()
    try:
        for number in range(1000):
            answer.pass_on(b"%03d" % (number % 1000), last=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= 3 * 1000 * 1.5 + 1000
