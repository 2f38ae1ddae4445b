"""What a task is to be, read in the one way it can be meant."""

import json

import pytest

from gateway.authority.refused import INVALID_DETAILS
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.details import (
    DETAILS_CHARACTERS,
    LONGEST_DURATION,
    LONGEST_PARAM,
    MOST_PARAMS,
    Details,
    read_details,
)
from gateway.task_limits import MOST, MOST_CONCURRENT


def details(**members: object) -> str:
    """One element, as a starter sends it."""
    return json.dumps([{"type": "agent_task", **members}])


def test_params_are_texts_by_name() -> None:
    """With the intents of the scope beside them, or without."""
    params = {f"p{number}": "x" * LONGEST_PARAM for number in range(MOST_PARAMS)}
    assert read_details(None, ["a"]) == read_details(details(), ["a"]) == Details()
    assert read_details(details(params=params, intents=["a", "b"]), ["a", "b"]).params == params
    assert read_details(details(params={"customer": "Ä 42"}), ["a"]).params == {"customer": "Ä 42"}


def test_a_task_may_be_bounded() -> None:
    """By limits, by a duration, and by the one agent that may work below it."""
    limits = {"requests": MOST, "bytes": 1, "rate": "20/s", "concurrent": MOST_CONCURRENT}
    read = read_details(details(limits=limits, duration=LONGEST_DURATION, may_act="spiffe://acme.example/b"), ["a"])
    assert read == Details({}, limits, float(LONGEST_DURATION), "spiffe://acme.example/b")
    assert read.of_a_task
    assert not read_details(details(may_act="spiffe://acme.example/b"), ["a"]).of_a_task


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[[]]",
        details()[:-1] + ", {}]",
        details() + ', "more": []',
        '[{"type": "agent_task", "params": {"a": "1", "a": "2"}}]',
        '[{"type": "agent_task", "params": {"a": "\\ud800"}}]',
        json.dumps([{"params": {}}]),
        json.dumps([{"type": "payment"}]),
        details(locations=[]),
        details(intents=["other"]),
        details(params=[]),
        details(params={"a": 42}),
        details(params={"a": None}),
        details(params={"a": "line\nline"}),
        details(params={"a": "nul\0"}),
        details(params={"A": "1"}),
        details(params={"": "1"}),
        details(params={"a" * 65: "1"}),
        details(params={"a": "x" * (LONGEST_PARAM + 1)}),
        details(params={f"p{number}": "" for number in range(MOST_PARAMS + 1)}),
        details() + " " * DETAILS_CHARACTERS,
        details(limits=[]),
        details(limits={"requests": 0}),
        details(limits={"requests": True}),
        details(limits={"requests": 1.5}),
        details(limits={"requests": "5"}),
        details(limits={"bytes": MOST + 1}),
        details(limits={"concurrent": MOST_CONCURRENT + 1}),
        details(limits={"rate": "0/s"}),
        details(limits={"rate": 5}),
        details(limits={"calls": 5}),
        details(duration=0),
        details(duration=True),
        details(duration=1.5),
        details(duration="5m"),
        details(duration=LONGEST_DURATION + 1),
        details(may_act="b"),
        details(may_act=["spiffe://acme.example/b"]),
        details(may_act="spiffe://acme.example/*"),
        details(starter="spiffe://acme.example/b"),
        details(above=[]),
        details(met=[]),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """In OAuth's own word for it, and without repeating what came."""
    with pytest.raises(AnswerError) as caught:
        read_details(text, ["a"])
    assert (caught.value.status, caught.value.code) == (400, INVALID_DETAILS)
