"""The SPIFFE ID vectors of go-spiffe against the one parser of agents' ids."""

import json
from pathlib import Path

from gateway.model import spiffe_id


def is_agent(text: str) -> bool:
    """Whether the parser takes the text as it is."""
    try:
        return spiffe_id(text) == text
    except ValueError:
        return False


def test_every_vector_is_judged_as_it_says_except_for_a_bare_trust_domain(corpora: Path) -> None:
    """An agent is a workload, so an id without a path, which names the trust domain itself, is the one valid id refused."""
    vectors = json.loads((corpora / "spiffe" / "spiffe-id-vectors.json").read_text())["vectors"]
    assert len(vectors) == 279
    differing = [vector["in"] for vector in vectors if is_agent(vector["in"]) != vector["valid"]]
    assert differing == ["spiffe://trustdomain"]


def test_upper_case_is_refused_in_scheme_and_trust_domain_only(corpora: Path) -> None:
    """The vectors refuse upper case outside the path too, so nothing has to be folded and no id has two spellings."""
    vectors = json.loads((corpora / "spiffe" / "spiffe-id-vectors.json").read_text())["vectors"]
    upper = [vector for vector in vectors if vector["in"][:20] != vector["in"][:20].lower()]
    assert upper
    assert not any(vector["valid"] or is_agent(vector["in"]) for vector in upper)
    assert is_agent("spiffe://trustdomain/Path")
