"""The response corpus of llhttp as the answer of an upstream, each case a test; knows nothing of requests.

Every case goes through the real life of a request. What a strict reader takes, the caller gets whole; what it refuses is a
refusal, or is cut so that the caller can tell.
"""

from typing import Any

import http1_differences as differences
import pytest
from fakes.corpora import document, named
from fuzz import responses

CASES = [case for case in document("http1-llhttp/llhttp-cases.json").get("cases", ()) if case["type"].startswith("response")]


def completed(raw: bytes) -> bytes:
    """The case with a whole head: many stop after the last header line."""
    if b"\r\n\r\n" in raw:
        return raw
    return raw + (b"\r\n" if raw.endswith(b"\r\n") else b"\r\n\r\n")


@pytest.mark.parametrize("case", named(CASES, lambda case: f"{case['id']} {case['title']}"))
def test_a_case_of_llhttp(case: dict[str, Any]) -> None:
    """Strict expectations are met, what needs leniency is refused, and h11 and llhttp read what the caller gets."""
    raw = completed(case["raw"].encode("latin-1"))
    strict = case["strict_error"] is None and case["type"] == "response"
    reason = differences.LLHTTP_RESPONSES.get(case["id"])
    assert (responses.passes(raw) == strict) == (reason is None), (responses.verdict(raw), reason)
    responses.check(raw)


def test_every_difference_is_of_a_case_that_is_there() -> None:
    """The table holds no name that stands for nothing."""
    assert set(differences.LLHTTP_RESPONSES) <= {case["id"] for case in CASES}
    assert len(CASES) == 85
