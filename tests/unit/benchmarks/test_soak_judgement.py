"""The soak finds what is wrong with memory, descriptors and records; knows no load."""

import zlib

from benchmarks.large_bodies import Pieces
from benchmarks.programs.body_upstream import BLOCK, body_checksum
from benchmarks.soak import grown
from benchmarks.soak_log import Records, faults

FINE = {"status": 0, "intact": True, "open": 0, "repeated_or_unopened": 0}


def request(name: str, method: str | None = "GET") -> dict:
    return {"type": "request", "request_id": name, "method": method}


def response(name: str) -> dict:
    return {"type": "response", "request_id": name, "ending": "complete"}


def counted(*records: dict) -> Records:
    """All records taken, as `read` takes those of a log."""
    found, opened = Records(), set()
    for record in records:
        found.take(record, opened)
    found.alone += len(opened)
    return found


def test_two_records_for_each_request_and_one_for_nonsense_are_fine():
    """Requests may overlap; counted refusals stand for those that were not recorded one by one."""
    records = counted(
        request("a"), request("b"), response("b"), response("a"), request("c", None), {"type": "refusals", "codes": {"x": 2}}
    )
    assert (records.requests, records.responses, records.unparsed, records.counted, records.alone) == (2, 2, 1, 2, 0)
    assert records.endings == {"complete": 2}
    assert faults(records, FINE, answered=2, asked=3, malformed=3) == []


def test_a_record_alone_is_found():
    """A request without a response, a response without a request, and one request id twice."""
    assert counted(request("a")).alone == 1
    assert counted(response("a")).alone == 1
    assert counted(request("a"), request("a"), response("a")).alone == 1
    assert faults(counted(request("a")), FINE, answered=1, asked=1, malformed=0)


def test_numbers_that_cannot_be_are_found():
    """More answered than recorded, more recorded than asked, nonsense unrecorded, a log that does not verify."""
    records = counted(request("a"), response("a"))
    assert faults(records, FINE, answered=1, asked=1, malformed=0) == []
    assert faults(records, FINE, answered=2, asked=2, malformed=0)
    assert faults(records, FINE, answered=0, asked=0, malformed=0)
    assert faults(records, FINE, answered=1, asked=1, malformed=1)
    assert faults(records, {**FINE, "status": 1, "intact": False}, answered=1, asked=1, malformed=0)


def test_growth_beyond_the_noise_is_found():
    """Some memory and some descriptors come and go; more than that is a leak."""
    early = {"at": 300, "kib": 80_000, "descriptors": 100}
    assert grown(early, {"at": 1800, "kib": 83_000, "descriptors": 110}) == []
    assert len(grown(early, {"at": 1800, "kib": 90_000, "descriptors": 200})) == 2


def test_chunks_are_taken_apart_wherever_reads_divide_them():
    """One byte at a time gives what all at once gives."""
    wire = b"3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n"
    pieces = Pieces()
    assert b"".join(piece for at in range(len(wire)) for piece in pieces.of(wire[at : at + 1])) == b"abc0123456789"
    assert b"".join(Pieces().of(wire)) == b"abc0123456789"


def test_the_checksum_is_that_of_the_repeated_block():
    """Both sides make the same bytes without holding them."""
    assert body_checksum(len(BLOCK) + 5) == zlib.crc32(BLOCK + BLOCK[:5])
