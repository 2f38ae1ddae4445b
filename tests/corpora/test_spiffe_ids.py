"""The SPIFFE ID vectors of go-spiffe, each a test, against the one parser of agents' ids; knows no token."""

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.corpora import document, named

from gateway.spiffe import spiffe_id


def is_agent(text: str) -> bool:
    """Whether the parser takes the text as it is."""
    try:
        return spiffe_id(text) == text
    except ValueError:
        return False


VECTORS = document("spiffe/spiffe-id-vectors.json").get("vectors", ())
NO_WORKLOAD = "spiffe://trustdomain"
"""Valid, and refused here: it names the trust domain itself, and an agent is a workload."""


@pytest.mark.parametrize("vector", named(VECTORS, lambda vector: repr(vector["in"])))
def test_a_vector_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    """What go-spiffe accepts is an agent, and nothing else is."""
    assert is_agent(vector["in"]) == (vector["valid"] and vector["in"] != NO_WORKLOAD)


def test_the_vectors_are_all_there() -> None:
    """None was lost on the way."""
    assert len(VECTORS) == 279


def test_upper_case_is_refused_in_scheme_and_trust_domain_only(corpora: Path) -> None:
    """The vectors refuse upper case outside the path too, so nothing has to be folded and no id has two spellings."""
    vectors = json.loads((corpora / "spiffe" / "spiffe-id-vectors.json").read_text())["vectors"]
    upper = [vector for vector in vectors if vector["in"][:20] != vector["in"][:20].lower()]
    assert upper
    assert not any(vector["valid"] or is_agent(vector["in"]) for vector in upper)
    assert is_agent("spiffe://trustdomain/Path")
