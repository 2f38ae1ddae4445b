"""Which intents cover an operation: the index against a naive reading of the templates."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.intent.index import OperationIndex
from gateway.intent.rules import IntentRule, Template


def index(**operations: list[str]) -> OperationIndex:
    return OperationIndex({name: IntentRule(upstream="u", operations=texts) for name, texts in operations.items()})


def names(found: OperationIndex, method: str, path: str) -> list[str]:
    return [covering.intent for covering in found.covering(method, tuple(path[1:].split("/")))]


def test_literals_captures_and_rests_all_count() -> None:
    """Every intent whose template fits is found, in file order, not only the most literal one."""
    found = index(rest=["GET /{p...}"], one=["GET /v1/{id}"], exact=["GET /v1/me"], write=["POST /v1/me"])
    assert names(found, "GET", "/v1/me") == ["rest", "one", "exact"]
    assert names(found, "POST", "/v1/me") == ["write"]
    assert names(found, "DELETE", "/v1/me") == []


def test_a_trailing_slash_counts() -> None:
    """`/v1` and `/v1/` are two paths; a capture takes no empty segment, a rest may."""
    found = index(a=["GET /v1"], b=["GET /v1/"], c=["GET /v1/{x}"], d=["GET /v1/{x...}"])
    assert names(found, "GET", "/v1") == ["a"]
    assert names(found, "GET", "/v1/") == ["b", "d"]
    assert names(found, "GET", "/v1/z") == ["c", "d"]
    assert names(found, "GET", "/v1/z/") == ["d"]


def test_captures_are_told() -> None:
    """What a template captured comes with the intent, the rest joined by slashes."""
    (covering,) = index(a=["GET /c/{customer}/f/{path...}"]).covering("GET", ("c", "42", "f", "x", "y"))
    assert covering.captures == {"customer": "42", "path": "x/y"}


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}"])


@given(
    st.lists(st.tuples(st.lists(SEGMENTS, min_size=1, max_size=4, unique=True), st.booleans()), min_size=1, max_size=8),
    st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5),
)
def test_the_index_equals_a_naive_reading(templates: list[tuple[list[str], bool]], path: list[str]) -> None:
    """Each template alone, segment by segment, finds the same intents as the tree of all."""
    texts = ["GET /" + "/".join([*segments, *(["{r...}"] if rest else [])]) for segments, rest in templates]
    found = OperationIndex({f"i{n}": IntentRule(upstream="u", operations=[text]) for n, text in enumerate(texts)})
    expected = [f"i{n}" for n, text in enumerate(texts) if fits(Template.parse(text), path)]
    assert [covering.intent for covering in found.covering("GET", tuple(path))] == expected


def fits(template: Template, path: list[str]) -> bool:
    fixed = template.segments[:-1] if template.rest else template.segments
    if len(path) < len(template.segments) if template.rest else len(path) != len(fixed):
        return False
    return all(
        segment != "" if literal is None else segment == literal for (literal, _), segment in zip(fixed, path, strict=False)
    )
