"""All targets by name, each with the modules whose lines it is to reach and the words that mean something there; no logic."""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from fuzz import bodies, connections, declarations, paths, responses, token_places, tokens

Check = Callable[[bytes], Hashable]

_BYTES_OF_HTTP = (
    "http/downstream",
    "http/head",
    "http/response_head",
    "http/hop",
    "http/fields",
    "http/framing",
    "http/target",
    "http/chunked",
    "http/body",
    "http/relay",
    "http/answer",
)
_STEPS_OF_A_REQUEST = ("handle_request", "credentials/apply", "identity/authenticate", "intent/read_intent")


class Target(NamedTuple):
    """One way into the product.

    `check` says what came of an input, or raises; `verdict` says it in a word. `reaches` are modules below `gateway/`,
    `words` files of `fuzz/words/`. `weight` is a share of the time, `longest` is in bytes.
    """

    check: Check
    verdict: Callable[[bytes], str]
    reaches: tuple[str, ...]
    words: tuple[str, ...]
    weight: int = 1
    longest: int = 1024


TARGETS: Mapping[str, Target] = {
    "connections": Target(
        connections.check,
        connections.verdict,
        (*_BYTES_OF_HTTP, *_STEPS_OF_A_REQUEST),
        ("requests", "wire"),
        weight=6,
        longest=6000,
    ),
    "responses": Target(
        responses.check,
        responses.verdict,
        (*_BYTES_OF_HTTP, "http/upstream"),
        ("responses", "wire"),
        weight=4,
        longest=6000,
    ),
    "bodies": Target(bodies.check, bodies.verdict, ("http/chunked",), ("wire",), weight=2),
    "declarations": Target(declarations.check, declarations.verdict, ("intent/declaration",), ("declarations",), longest=1100),
    "token_places": Target(
        token_places.check,
        token_places.verdict,
        ("identity/authenticate", "http/head", "http/hop", "http/fields"),
        ("token_places",),
    ),
    "paths": Target(paths.check, paths.verdict, ("http/target",), ("paths",)),
    "tokens": Target(tokens.check, tokens.verdict, ("identity/jose",), ("tokens",), weight=2, longest=9000),
}
