"""Target: chunked bodies through the gateway's follower, judged by the content that h11 and llhttp alone find in them."""

from collections.abc import Hashable
from dataclasses import dataclass

from fuzz.pieces import cut
from fuzz.witnesses import requests_by_h11, requests_by_llhttp

from gateway.http.chunked import BrokenChunkError, ChunkedBody

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Followed:
    """How far a body was followed."""

    passed: bytes
    content: int
    done: bool
    rest: bytes
    why: str


def check(raw: bytes) -> Hashable:
    """Follow the bytes whole and in pieces. What came of them; raises `AssertionError` where an invariant broke."""
    followed = _follow([raw])
    for pieces in cut(raw):
        other = _follow(pieces)
        assert (followed.done, bool(followed.why)) == (other.done, bool(other.why))
        if followed.done:
            assert followed == other
        elif not followed.why:
            assert (followed.passed, followed.content) == (other.passed, other.content)
    if not followed.why:
        _check_against_witnesses(raw, followed)
    return followed.done, followed.why


def verdict(raw: bytes) -> str:
    """In words, for a named case."""
    followed = _follow([raw])
    return "broken" if followed.why else "whole" if followed.done else "waits"


def _follow(pieces: list[bytes]) -> Followed:
    body = ChunkedBody()
    passed, rest = b"", b""
    try:
        for piece in pieces:
            if body.done:
                rest += piece
                continue
            passed += body.feed(piece)
            rest += body.rest
    except BrokenChunkError as error:
        return Followed(passed, body.payload, done=False, rest=b"", why=str(error))
    return Followed(passed, body.payload, done=body.done, rest=rest, why="")


def _check_against_witnesses(raw: bytes, followed: Followed) -> None:
    """Both find the same content in what came, and in what was passed on, and nothing after its end."""
    for witness in (requests_by_h11, requests_by_llhttp):
        came, went = witness(HEAD + raw), witness(HEAD + followed.passed)
        assert came.messages, came.error
        assert went.error is None, went.error
        assert len(went.messages) == 1
        assert came.messages[0].body == went.messages[0].body
        assert len(went.messages[0].body) == followed.content
        if followed.done:
            assert came.messages[0].whole, came.error
            assert went.messages[0].whole
            assert went.rest == b""
        else:
            assert not went.messages[0].whole
            assert not came.messages[0].whole
    if followed.done:
        assert raw.endswith(followed.rest)
        assert b";" not in b"".join(followed.passed.split(b"\r\n")[:1]), "a chunk extension was passed on"
