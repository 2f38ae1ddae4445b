"""What an operation demands of query and body besides its path; knows nothing of intents."""

from collections.abc import Mapping, Sequence
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.content import Content
from gateway.http.query import AmbiguousPairsError, read_pairs, spelled_otherwise

Scalar = str | int | bool
Values = Scalar | Sequence[Scalar]


@final
class Demands:
    """Names with the values that they may have. All demands have to be met.

    What stands twice, or in a spelling that some server takes for the name, is refused: the upstream could go by another
    value than the one that was compared.
    """

    __slots__ = ("_body", "_query")

    def __init__(self, query: Mapping[str, Values], body: Mapping[str, Values]) -> None:
        """A name in `body` may be a path of members: `payment.currency`."""
        self._query: Final = {name: frozenset(map(_text, _listed(values))) for name, values in query.items()}
        self._body: Final = [(name, _listed(values)) for name, values in body.items()]

    def met(self, query: str | None, content: Content | None) -> bool:
        """Whether they are met; without `content` the body meets its own. Raises `Refusal` for what has two readings."""
        if self._query and not self._query_meets(query or ""):
            return False
        if content is None or not self._body:
            return True
        if content.is_form:
            return _pairs_meet(content.form, {name: frozenset(map(_text, values)) for name, values in self._body}, "body")
        return all(_holds(content.json, name.split("."), values) for name, values in self._body)

    def _query_meets(self, query: str) -> bool:
        try:
            pairs = read_pairs(query)
        except AmbiguousPairsError as error:
            raise Refusal("request_malformed", f"A rule reads the query, which {error}.") from None
        return _pairs_meet(pairs, self._query, "query")


def _pairs_meet(pairs: dict[str, list[str]], demanded: Mapping[str, frozenset[str]], where: str) -> bool:
    if spelled_otherwise(pairs, demanded) or any(len(pairs.get(name, ())) > 1 for name in demanded):
        raise Refusal("request_malformed", f"A rule reads a name in the {where} that stands there twice.")
    return all(not allowed.isdisjoint(pairs.get(name, ())) for name, allowed in demanded.items())


def _holds(value: object, path: Sequence[str], allowed: Sequence[Scalar]) -> bool:
    for name in path:
        if not isinstance(value, dict):
            return False
        if name not in value:
            if name.casefold() in map(str.casefold, value):
                raise Refusal("request_malformed", "A rule reads a name in the body that stands there in other letters.")
            return False
        value = value[name]
    return any(type(value) is type(each) and value == each for each in allowed)


def _listed(values: Values) -> tuple[Scalar, ...]:
    return (values,) if isinstance(values, (str, int)) else tuple(values)


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
