"""Bytes that a network cuts anywhere mean what they mean in one piece, in both directions; knows no single message."""

from fuzz import connections, responses
from fuzz.written import named_cases
from hypothesis import given
from hypothesis import strategies as st

SHORT = 1500
REQUESTS = [case.raw for case in named_cases("connections") if len(case.raw) < SHORT]
RESPONSES = [case.raw for case in named_cases("responses") if len(case.raw) < SHORT]


def cuts(raw: bytes, data: st.DataObject) -> list[bytes]:
    """The bytes in some pieces, none of them empty."""
    places = data.draw(st.sets(st.integers(1, max(len(raw) - 1, 1)), max_size=12))
    ends = [*sorted(place for place in places if place < len(raw)), len(raw)]
    return [raw[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True) if start < end]


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3).map(b"".join), st.data())
def test_requests_are_the_same_in_any_pieces(raw: bytes, data: st.DataObject) -> None:
    """Good and hostile ones, one after the other on a connection."""
    connections.same(connections.play([raw]), connections.play(cuts(raw, data)))


@given(
    st.sampled_from(RESPONSES),
    st.sampled_from([responses.GET, responses.HEAD, responses.OLD, responses.TAKES_TRAILERS]),
    st.booleans(),
    st.data(),
)
def test_responses_are_the_same_in_any_pieces(raw: bytes, request: bytes, hang_up: bool, data: st.DataObject) -> None:
    """Good and broken ones, with the end of the connection after them or not."""
    whole = responses.play([raw], request, hang_up=hang_up)
    responses.same(whole, responses.play(cuts(raw, data), request, hang_up=hang_up))
