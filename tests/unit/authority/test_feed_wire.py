"""The feed as text, and what waits for a gateway elsewhere."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authority import wire
from gateway.authority.outlet import Outlet
from gateway.model import Restoration, Revocation

REVOCATION = Revocation(7, 1.5, "task", "t" * 32, "failed", 2.5, "acme")


class Reads:
    """A reader that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def started(self, start: wire.Start) -> None:
        self.heard.append(start)

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        self.heard.append((issuer, jwks))

    def beaten(self, beat: wire.Beat) -> None:
        self.heard.append(beat)

    def revoked(self, revocation: Revocation) -> None:
        self.heard.append(revocation)

    def restored(self, restoration: Restoration) -> None:
        self.heard.append(restoration)

    def renewed(self, task: str, until: float) -> None:
        self.heard.append((task, until))


def read(*pieces: bytes) -> list[Any]:
    reader, waiting = Reads(), bytearray()
    for piece in pieces:
        waiting += piece
        for name, members in wire.events(waiting):
            wire.tell(reader, name, members)
    return reader.heard


RESTORATION = Restoration(8, 6.5, "agent", "spiffe://a/\u2028\n\nevent: beat\n", "acme")
WRITTEN = (
    wire.start(epoch_kept=True, at=4.25)
    + wire.keys("http://issuer", {"keys": []})
    + wire.revoked(REVOCATION)
    + wire.restored(RESTORATION)
    + wire.renewed("t", 7.5)
    + wire.beat(wire.Beat("e", 8, 9.5, 7.25, "abc"))
)
READ = [
    wire.Start(True, 4.25),
    ("http://issuer", {"keys": []}),
    REVOCATION,
    RESTORATION,
    ("t", 7.5),
    wire.Beat("e", 8, 9.5, 7.25, "abc"),
]


@given(st.lists(st.integers(0, len(WRITTEN)), max_size=8))
def test_events_are_read_as_they_were_written_in_any_pieces(cuts: list[int]):
    """Each event comes out once and in order, however the bytes are cut, and a name cannot break out of its line."""
    ends = [0, *sorted(cuts), len(WRITTEN)]
    assert read(*[WRITTEN[begin:end] for begin, end in itertools.pairwise(ends)]) == READ


@pytest.mark.parametrize(
    "text",
    [
        b"data: {}\n\n",
        b"event: quarantined\ndata: {}\n\n",
        b"event: beat\ndata: []\n\n",
        b"event: beat\ndata: {\n\n",
        b"event: b\xff\ndata: {}\n\n",
        b'event: beat\ndata: {"epoch":"e","seq":"1","at":1,"horizon":1,"policy":""}\n\n',
        b'event: beat\ndata: {"epoch":"e","seq":true,"at":1,"horizon":1,"policy":""}\n\n',
        b'event: beat\ndata: {"epoch":"e","seq":-1,"at":1,"horizon":1,"policy":""}\n\n',
        b'event: beat\ndata: {"epoch":"e","seq":1,"at":null,"horizon":1,"policy":""}\n\n',
        b'event: beat\ndata: {"epoch":"e","seq":1,"at":1,"policy":""}\n\n',
        b'event: beat\ndata: {"epoch":"e","seq":1,"at":1,"horizon":"1","policy":""}\n\n',
        b'event: restored\ndata: {"seq":1,"time":1,"kind":"galaxy","id":"x","tenant":"a"}\n\n',
        b'event: restored\ndata: {"seq":1,"time":1,"kind":"agent","tenant":"a"}\n\n',
        b'event: restored\ndata: {"seq":1,"time":1,"kind":"agent","id":"x"}\n\n',
        b'event: restored\ndata: {"seq":1,"time":1,"kind":"agent","tenant":"a","id":"' + b"x" * 2049 + b'"}\n\n',
        b'event: revoked\ndata: {"seq":1,"kind":"task","id":"x"}\n\n',
        b'event: keys\ndata: {"issuer":"i","jwks":[]}\n\n',
        b'event: start\ndata: {"version":2,"resumed":true,"at":1}\n\n',
        b'event: start\ndata: {"version":3,"resumed":1,"at":1}\n\n',
        b"x" * (wire.LONGEST_EVENT + 1),
        b"event: beat\ndata: " + b" " * wire.LONGEST_EVENT + b"{}\n\n",
    ],
)
def test_what_is_no_event_is_never_skipped(text: bytes):
    """Unknown names and kinds, missing and wrong members, and what is too long: each breaks the stream."""
    with pytest.raises(wire.MalformedEventError):
        read(text)


async def test_a_gateway_that_takes_nothing_is_cut():
    """What waits is bounded: one event more, and nothing is kept and the line has to end."""
    outlet = Outlet(lambda: "p", most=2 * len(wire.revoked(REVOCATION)))
    outlet.revoked(REVOCATION)
    outlet.revoked(REVOCATION)
    assert await outlet.waiting() == wire.revoked(REVOCATION) * 2
    for _ in range(3):
        outlet.revoked(REVOCATION)
    assert outlet.cut
    assert await outlet.waiting() == b""
    outlet.beat("e", 7, 1.0, 0.0)
    assert outlet.take() == b""
