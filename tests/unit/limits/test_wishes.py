"""What gateways and lenders say, in its form on the wire: read back as it was said, and nothing else is read."""

import json

import pytest

from gateway.limits.wishes import (
    LARGEST_AMOUNT,
    LONGEST_KEY,
    Answer,
    Back,
    Hold,
    Recall,
    UnreadableEventError,
    Wish,
    as_wire,
    read_event,
    read_reply,
)

WISH = Wish(7, "requests", "requests/k", 64, 0, 500, 0.0)


@pytest.mark.parametrize("event", [WISH, Back("k", "k#1", 12), Hold("k", 4, 1)])
def test_events_survive_the_wire(event: object) -> None:
    """As JSON and back."""
    assert read_event(json.loads(json.dumps(as_wire(event)))) == event


@pytest.mark.parametrize("reply", [Answer(7, 64, "k", 0.25, 0.0), Recall("rate", "k")])
def test_replies_survive_the_wire(reply: object) -> None:
    """As JSON and back."""
    assert read_reply(json.loads(json.dumps(as_wire(reply)))) == reply


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"wish": []},
        {"wish": {}, "back": {}},
        {"answer": Answer(7, 64, "k", 0.25, 0.0)._asdict()},
        {"wish": {**WISH._asdict(), "more": 1}},
        {"wish": {**WISH._asdict(), "kind": "coffee"}},
        {"wish": {**WISH._asdict(), "wanted": -1}},
        {"wish": {**WISH._asdict(), "wanted": True}},
        {"wish": {**WISH._asdict(), "wanted": 1.5}},
        {"wish": {**WISH._asdict(), "wanted": LARGEST_AMOUNT + 1}},
        {"wish": {**WISH._asdict(), "window": float("nan")}},
        {"wish": {**WISH._asdict(), "window": "0"}},
        {"wish": {**WISH._asdict(), "key": "k" * (LONGEST_KEY + 1)}},
        {"hold": {"key": "k", "most": 1}},
    ],
)
def test_anything_else_is_no_event(document: object) -> None:
    """Neither in part nor with more, nor with a number that nothing has."""
    with pytest.raises(UnreadableEventError):
        read_event(document)


@pytest.mark.parametrize(
    "document", [None, {"wish": WISH._asdict()}, {"recall": {"key": "k"}}, {"recall": {"kind": 1, "key": "k"}}]
)
def test_anything_else_is_no_reply(document: object) -> None:
    """The same for what comes from a lender."""
    with pytest.raises(UnreadableEventError):
        read_reply(document)
