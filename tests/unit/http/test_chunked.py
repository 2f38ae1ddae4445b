"""Chunked bodies: followed byte for byte, whatever the pieces they arrive in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.chunked import BrokenChunkError, ChunkedBody, as_chunk


def feed(*pieces: bytes) -> tuple[ChunkedBody, bytes]:
    body = ChunkedBody()
    return body, b"".join(body.feed(piece) for piece in pieces)


def test_a_whole_body_passes_as_it_came() -> None:
    """Sizes, content and the end go through unchanged."""
    whole = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n"
    body, passed = feed(whole)
    assert (passed, body.done, body.payload, body.rest) == (whole, True, 15, b"")


def test_what_follows_is_kept_apart() -> None:
    """Bytes after the end belong to the next message."""
    body, passed = feed(b"1\r\na\r\n0\r\n\r\nGET /")
    assert (passed, body.rest) == (b"1\r\na\r\n0\r\n\r\n", b"GET /")


def test_extensions_and_trailers_are_dropped() -> None:
    """Nobody here allows them, and parsers differ over them (RFC 9112 §7.1.1, §7.1.2)."""
    body, passed = feed(b'3;name="v"\r\nabc\r\n0 ;x\r\nX-Trailer: 1\r\nAuthorization: stolen\r\n\r\n')
    assert (passed, body.done) == (b"3\r\nabc\r\n0\r\n\r\n", True)


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"g\r\n",
        b"0x5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n",
        b"1000000000000000\r\n",
        b"5;a\x00\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"5\r\nhello0",
        b"5" + b";" + b"a" * 2000,
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 500,
    ],
)
def test_broken_chunks_are_refused(wire: bytes) -> None:
    """Whatever is not exactly RFC 9112 §7.1, or has no bound, ends the message."""
    with pytest.raises(BrokenChunkError):
        feed(wire)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_splits_make_no_difference(contents: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into reads, the same goes on and the same is counted."""
    wire = b"".join(map(as_chunk, contents)) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    body, passed = feed(*pieces)
    assert (passed, body.done, body.payload) == (wire, True, sum(map(len, contents)))
