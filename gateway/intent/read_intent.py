"""The fourth step: what the caller says it does beside what it really does; knows nothing of whether it may."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.http.downstream import Downstream
from gateway.http.fields import Field
from gateway.http.head import RequestHead
from gateway.http.memory import Memory
from gateway.intent.declaration import parse
from gateway.intent.index import OperationIndex
from gateway.intent.look import read_content
from gateway.intent.reader import Reader
from gateway.model import DeclaredIntent, Upstream, Use


class Readable(NamedTuple):
    """One upstream's way of being read."""

    reader: Reader
    operations: OperationIndex


class Intents(NamedTuple):
    """How intents are declared, and how each upstream's operations are read."""

    header: str
    """The canonical name of the intent header."""
    by_upstream: Mapping[str, Readable]
    declarations: Memory[DeclaredIntent]
    """Declarations that were read before, by their bytes."""
    inspect: int = 64 * 1024
    """The largest body that is looked at, in bytes."""

    def ready(self, key: bytes) -> "Intents":
        """The same for one installation, whose key seals what readers give out."""
        by_upstream = {
            name: Readable(reader.ready(key, self.inspect), operations)
            for name, (reader, operations) in self.by_upstream.items()
        }
        return self._replace(by_upstream=by_upstream)


async def read_intent(head: RequestHead, upstream: Upstream, caller: Downstream, intents: Intents) -> Use:
    """Compare nothing yet: return both sides. Raises `Refusal` for a declaration or an operation that cannot be read."""
    use = head.use
    if use is None:
        declared = _declaration(head.watched.get(intents.header), intents.declarations)
        reader, operations = intents.by_upstream[upstream.name]
        operation, observed = await reader.read(head, upstream, caller, operations)
        use = Use(declared, operation, observed)
        use.reads_labels = operations.reads_labels(observed)
        if reader.by_head_alone:
            use.reads_body = operations.reads_body(observed)
            head.use = use
    if use.reads_body:
        return await _with_body(use, head, caller, intents.by_upstream[upstream.name].operations, intents.inspect)
    return use


async def _with_body(use: Use, head: RequestHead, caller: Downstream, operations: OperationIndex, most: int) -> Use:
    """The same request with its body, which can leave it fewer intents."""
    content = await read_content(head, caller, most)
    operation = use.operation
    observed = operations.covering(operation.method, operation.segments, head.target.query, content)
    whole = Use(use.declared, operation, observed, content)
    whole.reads_labels = operations.reads_labels(observed)
    return whole


def _declaration(fields: list[Field] | None, read_before: Memory[DeclaredIntent]) -> DeclaredIntent | None:
    if fields is None:
        return None
    if len(fields) > 1:
        raise Refusal("intent_malformed", "The request carries more than one intent header.")
    value = fields[0].value
    declared = read_before.known.get(value)
    if declared is None:
        declared = parse(value)
        read_before.keep(value, declared)
    return declared
