"""Checks that the operations of an intent are of the protocol that its upstream speaks; knows nothing of either protocol."""

from collections.abc import Iterator
from typing import Final

from gateway.errors import Flaw
from gateway.intent.names import KINDS
from gateway.settings.load import Loaded

MCP: Final = "mcp"


def protocol_flaws(loaded: Loaded) -> Iterator[Flaw]:
    """One for each operation that no request to its upstream could be."""
    document = loaded.document
    for name, rule in document.intents.items():
        speaks_mcp = document.upstreams[rule.upstream].protocol == MCP
        for number, operation in enumerate(rule.operations):
            where = ("intents", name, "operations", number)
            of_mcp = operation.operation.partition(" ")[0] in KINDS
            if of_mcp and not speaks_mcp:
                yield loaded.flaw(where, f"'{rule.upstream}' does not speak MCP; say `protocol: mcp` there, or name a path")
            elif speaks_mcp and not of_mcp:
                yield loaded.flaw(
                    where, f"'{rule.upstream}' speaks MCP, so name a tool, a prompt or a resource: `tool add_issue`"
                )
            elif of_mcp and (operation.query or operation.body):
                yield loaded.flaw(where, "an operation of MCP has no query and no body; compare `tool.arguments` in a `when`")
