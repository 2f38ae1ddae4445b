"""Chunked bodies: followed byte for byte, whatever the pieces they arrive in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.chunked import LARGEST_TRAILER, MOST_TRAILERS, BrokenChunkError, ChunkedBody, as_chunk
from gateway.http.fields import response_vocabulary
from gateway.http.trailers import Trailers
from gateway.model import Outcome


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
    """Unless trailers were agreed on; parsers differ over both (RFC 9112 §7.1.1, §7.1.2)."""
    body, passed = feed(b'3;name="v;\\"";q\r\nabc\r\n0;x=y\r\nX-Trailer: 1\r\nAuthorization: stolen\r\n\r\n')
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
        b"5 ;a\r\nhello\r\n",
        b"5; a\r\nhello\r\n",
        b"5;\r\nhello\r\n",
        b"5;;a\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b'5;a="b"c\r\nhello\r\n',
        b"5;a\nb\r\nhello\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\ncontent_length: 5\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
        b"0\r\nHost: other\r\n\r\n",
        b"5\r\nhello0",
        b"5" + b";" + b"a" * 2000,
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 500,
    ],
)
def test_broken_chunks_are_refused(wire: bytes) -> None:
    """Whatever is not exactly RFC 9112 §7.1, or has no bound, ends the message."""
    with pytest.raises(BrokenChunkError):
        feed(wire)


def test_content_passes_without_its_framing() -> None:
    """For a receiver that knows no chunks."""
    body = ChunkedBody(framed=False)
    passed = [body.feed(piece) for piece in (b"3;x\r\nab", b"c\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nrest")]
    assert (b"".join(passed), body.done, body.payload, body.rest) == (b"abcde", True, 5, b"rest")


def test_agreed_trailers_pass_as_they_came() -> None:
    """The others are dropped, however they are split and spelled."""
    for size in (1, 5, 100):
        body = ChunkedBody(trailers=Trailers(frozenset(("x-sum",)), response_vocabulary(), None, Outcome()))
        wire = b"1\r\na\r\n0\r\nX-Sum: 1 \r\nX-Other: 2\r\nx_sum: 3\r\n\r\n"
        passed = b"".join(body.feed(wire[at : at + size]) for at in range(0, len(wire), size))
        assert (passed, body.done) == (b"1\r\na\r\n0\r\nX-Sum: 1 \r\nx_sum: 3\r\n\r\n", True)


def test_trailers_are_bounded_in_size_and_number() -> None:
    """As many lines as allowed and not one more, and so for their bytes; dropped ones count."""
    for lines in ([b"X: y"] * MOST_TRAILERS, [b"X: " + b"a" * (LARGEST_TRAILER // 16 - 5)] * 16):
        assert feed(b"0\r\n" + b"\r\n".join([*lines, b"\r\n"]))[0].done
        with pytest.raises(BrokenChunkError, match="too large or too many"):
            feed(b"0\r\n" + b"\r\n".join([*lines, b"X:", b"\r\n"]))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_splits_make_no_difference(contents: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into reads, the same goes on and the same is counted."""
    wire = b"".join(map(as_chunk, contents)) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    body, passed = feed(*pieces)
    assert (passed, body.done, body.payload) == (wire, True, sum(map(len, contents)))
