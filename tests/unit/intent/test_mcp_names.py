"""Names of tools, prompts and resources as operators and clients write them; knows no request."""

import pytest

from gateway.intent.index import OperationIndex
from gateway.intent.names import LONGEST_NAME, LONGEST_URI, UnfitNameError, segments_of
from gateway.intent.rules import IntentRule, Template

OPERATIONS = {
    "one": ["tool look", "prompt review", "resource note://boards/rain"],
    "some": ["resource note://people/{name}/{part}", "resource file:///projects/{project}/{path...}"],
    "all": ["tool {any}"],
}
INDEX = OperationIndex({name: IntentRule(upstream="x", operations=each) for name, each in OPERATIONS.items()})


def covering(kind: str, name: str) -> dict[str, dict[str, str]]:
    return {coverage.intent: coverage.captures for coverage in INDEX.covering(kind, segments_of(kind, name))}


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("tool", "look", {"one": {}, "all": {"any": "look"}}),
        ("tool", "Look", {"all": {"any": "Look"}}),
        ("prompt", "look", {}),
        ("prompt", "review", {"one": {}}),
        ("resource", "note://boards/rain", {"one": {}}),
        ("resource", "note://boards/rain/", {}),
        ("resource", "note://boards/rain?x", {}),
        ("resource", "note:boards/rain", {}),
        ("resource", "note://people/ada/l", {"some": {"name": "ada", "part": "l"}}),
        ("resource", "note://people/a%20b/l", {"some": {"name": "a b", "part": "l"}}),
        ("resource", "note://people/ada", {}),
        ("resource", "file:///projects/p/a/b.txt", {"some": {"project": "p", "path": "a/b.txt"}}),
        ("resource", "file:///projects/p", {}),
        ("resource", "file://projects/p/a", {}),
    ],
)
def test_an_operation_covers_what_it_names(kind, name, expected):
    """Tools and prompts by their name, resources by the segments of their URI."""
    assert covering(kind, name) == expected


@pytest.mark.parametrize(
    "text",
    ["tool", "tool ", "tool a b", "tool ä", "tool {x}y", "prompt {a}/{b}", "resource", "resource boards/rain", "resource NOTE://x/y",
     "resource note://a/../b", "resource note://a//b/c", "resource note://a/x{y}", "resource note://a/{y}/{y}",
     "resource note://a/{y...}/b", "resource note://a/%2e%2e/b", "toolbox x", "tool " + "x" * 129],
)  # fmt: skip
def test_an_operation_that_no_request_could_be_is_an_error(text):
    """The operator hears of it when the configuration is loaded."""
    with pytest.raises(ValueError, match=r"\w"):
        Template.parse(text)


def test_one_capture_stands_for_everything_of_its_kind():
    """`{any}` is every tool or prompt, `{any...}` every resource."""
    index = OperationIndex({"all": IntentRule(upstream="x", operations=["prompt {any}", "resource {any...}"])})
    assert index.covering("prompt", segments_of("prompt", "x"))
    assert index.covering("resource", segments_of("resource", "a://b/c/d"))
    assert not index.covering("tool", segments_of("tool", "x"))


def test_names_have_a_longest_form():
    """What is longer is no name."""
    assert segments_of("tool", "x" * LONGEST_NAME)
    assert segments_of("resource", "a:" + "x" * (LONGEST_URI - 2))
    for kind, name in (("tool", "x" * (LONGEST_NAME + 1)), ("resource", "a:" + "x" * (LONGEST_URI - 1))):
        with pytest.raises(UnfitNameError):
            segments_of(kind, name)
