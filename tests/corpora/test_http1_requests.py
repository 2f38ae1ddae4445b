"""The request corpora of llhttp and gunicorn against the gateway's reader, with h11 as the second opinion.

Two things must hold of every byte string. What an opted-in lenient parser would let pass, or a strict one refuses, is not
read as a request here. What is read as a request here, h11 reads as the same one.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from fakes.reading import Read, ours, theirs


def cases(corpora: Path, file: str) -> list[dict]:
    return json.loads((corpora / file).read_text())["cases"]


def completed(raw: bytes) -> bytes:
    """Many cases stop after the last header line; a reader that waits for more says nothing about them."""
    return raw if b"\r\n\r\n" in raw else raw + b"\r\n"


def origin_form(target: str) -> str:
    """Path and query of a target, which h11 passes on in whatever form it came."""
    parts = urlsplit(target)
    return parts._replace(scheme="", netloc="").geturl() if parts.scheme else target


def agree(case: dict, raw: bytes) -> bool:
    """True if the gateway reads a request; then h11 must read the same."""
    reader = ours(raw)
    if not reader.read:
        return False
    mine, other = reader.read[0], theirs(raw)
    assert other is not None, case["id"]
    assert (mine.method, mine.target) == (other.method, origin_form(other.target)), case["id"]
    if "request_malformed" not in reader.refused:
        assert (mine.body, mine.whole) == (other.body, other.whole), case["id"]
    return True


# llhttp tells of these by an error that lies beyond the first request, or that is a limit of its own (it knows methods by a
# list, and here ANNOUNCE is one of RTSP): the gateway may read the request that comes before it, and policy knows the method.
BEYOND_THE_REQUEST = {"Data after `Connection: close`", "Expected HTTP/", "Invalid method for HTTP/x.x request"}


async def test_llhttp_cases(corpora: Path) -> None:
    """251 cases: no lenient case is read, no strict error is passed over, and enough of the valid ones are served."""
    served, checked = 0, 0
    for case in cases(corpora, "http1-llhttp/llhttp-cases.json"):
        if case["type"] != "request":
            continue
        checked += 1
        raw = completed(case["raw"].encode("latin-1"))
        read = agree(case, raw)
        served += read
        error = case["strict_error"]
        if read and error is not None and error["reason"] not in BEYOND_THE_REQUEST:
            reader = ours(raw)
            assert "request_malformed" in reader.refused or not reader.read[0].whole, (case["id"], error)
        if case["lenient"]:
            reader = ours(raw)
            assert not read or "request_malformed" in reader.refused or same_as_strict(raw), case["id"]
    assert checked > 100
    assert served > 10


def same_as_strict(raw: bytes) -> bool:
    """A case that is run with a lenient flag but needs none: h11, which has no such flags, reads it whole."""
    other = theirs(raw)
    return other is not None and other.whole


async def test_gunicorn_cases(corpora: Path) -> None:
    """143 cases: nothing that gunicorn refuses by default is read, and what is read agrees with h11."""
    read: list[str] = []
    for case in cases(corpora, "http1-gunicorn/gunicorn-requests.json"):
        raw = case["raw"].encode("latin-1")
        if agree(case, raw):
            reader = ours(raw)
            read.append(case["id"])
            if case["verdict"] == "invalid" and not case["server_settings"]:
                assert reader.refused or not reader.read[0].whole or case["id"] in LEGAL_HERE, case["id"]
    assert len(read) > 10


# Trailers that would be dangerous if anybody merged them; here all trailers are dropped, and h11 agrees on the request.
LEGAL_HERE = {
    "gunicorn/invalid/rfc9110_trailer_forbidden_cl_01",
    "gunicorn/invalid/rfc9110_trailer_forbidden_host_01",
    "gunicorn/invalid/rfc9110_trailer_forbidden_te_01",
}


async def test_every_split_reads_the_same(corpora: Path) -> None:
    """However the bytes arrive, the same requests are read and the same is refused."""
    for case in cases(corpora, "http1-gunicorn/gunicorn-requests.json"):
        raw = case["raw"].encode("latin-1")
        if len(raw) > 2000:
            continue
        whole = outcome(ours(raw).read, ours(raw).refused)
        for size in (1, 2, 3, 7, 50):
            pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
            reader = ours(raw, pieces)
            assert outcome(reader.read, reader.refused) == whole, (case["id"], size)


def outcome(read: list[Read], refused: list[str]) -> tuple[Read | None, str | None]:
    """Whether the first request came in whole, and what was refused; how far a broken body went depends on the split."""
    return (read[0] if read and read[0].whole else None, refused[0] if refused else None)
