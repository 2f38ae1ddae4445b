"""The request corpora of llhttp and gunicorn against the gateway's reader, each case a test; knows no other kind of vector.

Of every case one of two things is expected: that it is read, or that it is refused. Where the gateway differs from the
source, a table says why. What is read at all, h11 and llhttp read as the same.
"""

import re
from dataclasses import dataclass
from typing import Any

import http1_differences as differences
import pytest
from fakes.corpora import document, named
from fakes.reading import Read, ours
from fuzz.pieces import cut
from fuzz.witnesses import SPOKEN_BY_LLHTTP, requests_by_h11, requests_by_llhttp


@dataclass
class Judged:
    """What the gateway makes of a case."""

    read: list[Read]
    refused: list[str]

    @property
    def verdict(self) -> str:
        """Refused if anything in it was; otherwise what is read is read, though it may not have ended."""
        return "refused" if self.refused else "read" if self.read else "waits"


def completed(raw: bytes) -> bytes:
    """The case with a whole head: many stop after the last header line, or name no host, which is not what they are about."""
    if b"\r\n\r\n" not in raw:
        raw += b"\r\n" if raw.endswith(b"\r\n") else b"\r\n\r\n"
    if re.search(rb"(?im)^host[ \t]*:", raw) is None:
        raw = re.sub(rb"( HTTP/1\.[01]\r\n)", rb"\1Host: corpus.test\r\n", raw, count=1)
    return raw


def origin_form(target: bytes) -> bytes:
    """Path and query of a target, which other readers pass on in whatever form it came."""
    path = re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", target)
    return path if path.startswith(b"/") else b"/" + path


def judged(raw: bytes, pieces: list[bytes] | None = None) -> Judged:
    """Through the gateway's own connection and parser."""
    reader = ours(raw, pieces)
    return Judged(reader.read, reader.refused)


def expected_by_llhttp(case: dict[str, Any]) -> str:
    """A case that needs leniency is one that a strict reader refuses."""
    return "read" if case["strict_error"] is None and case["type"] == "request" else "refused"


def expected_by_gunicorn(case: dict[str, Any]) -> str:
    """What needs other settings than gunicorn's strict ones is judged by the same words."""
    return "read" if case["verdict"] == "valid" else "refused"


def check(raw: bytes, expected: str, reason: str | None) -> None:
    """As the source says, or otherwise for the reason that stands in the table; the same in pieces; and as others read it."""
    whole = judged(raw)
    agrees = whole.verdict == expected
    assert agrees == (reason is None), (whole.verdict, whole.refused, reason)
    for pieces in cut(raw):
        assert judged(raw, pieces).verdict == whole.verdict
    for place, mine in enumerate(whole.read):
        for witness in (requests_by_h11(raw), requests_by_llhttp(raw)):
            if mine.method.encode() not in SPOKEN_BY_LLHTTP:
                continue
            theirs = witness.messages[place]
            assert (mine.method.encode(), mine.target.encode()) == (theirs.first, origin_form(theirs.target))
            if mine.whole:
                assert (mine.body, True) == (theirs.body, theirs.whole)


LLHTTP = [case for case in document("http1-llhttp/llhttp-cases.json").get("cases", ()) if case["type"].startswith("request")]
GUNICORN = document("http1-gunicorn/gunicorn-requests.json").get("cases", ())


@pytest.mark.parametrize("case", named(LLHTTP, lambda case: f"{case['id']} {case['title']}"))
def test_a_case_of_llhttp(case: dict[str, Any]) -> None:
    """Strict expectations are met, and what needs leniency is refused."""
    check(completed(case["raw"].encode("latin-1")), expected_by_llhttp(case), differences.LLHTTP.get(case["id"]))


@pytest.mark.parametrize("case", named(GUNICORN, lambda case: case["id"]))
def test_a_case_of_gunicorn(case: dict[str, Any]) -> None:
    """Valid ones are read and invalid ones refused."""
    check(completed(case["raw"].encode("latin-1")), expected_by_gunicorn(case), differences.GUNICORN.get(case["id"]))


def test_every_difference_is_of_a_case_that_is_there() -> None:
    """The tables hold no name that stands for nothing."""
    assert set(differences.LLHTTP) <= {case["id"] for case in LLHTTP}
    assert set(differences.GUNICORN) <= {case["id"] for case in GUNICORN}
    assert (len(LLHTTP), len(GUNICORN)) == (166, 143)
