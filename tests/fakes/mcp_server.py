"""A server of MCP made with the official SDK, as a process of its own; knows nothing of who stands before it.

`python mcp_server.py` prints the port that it listens on and serves until it is ended.
"""

import asyncio
import socket

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage

server = MCPServer("fixture")


class Remembered(EventStore):
    """Events in the order in which they came, for clients that ask for what they missed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        seen = int(last_event_id)
        if not 0 < seen <= len(self._events):
            return None
        stream = self._events[seen - 1][0]
        for number, (of, message) in enumerate(self._events[seen:], seen + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


@server.tool()
def look(issue: int) -> str:
    """Say what an issue is about."""
    return f"issue {issue} is about rain"


@server.tool()
def write(issue: int, text: str) -> str:
    """Write a comment."""
    return f"wrote {len(text)} letters to {issue}"


@server.tool()
def burn(issue: int) -> str:
    """Delete an issue."""
    return f"burnt {issue}"


@server.tool()
def fail() -> str:
    """Never succeed."""
    raise ValueError("it rains")


@server.tool()
def echo_key(context: Context) -> str:
    """Say what secret the server was shown."""
    return str((context.headers or {}).get("x-api-key"))


@server.tool()
async def count(to: int, context: Context) -> str:
    """Report progress, then say that it is done."""
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"step {number}")
    return f"counted to {to}"


@server.tool()
async def forever(context: Context) -> str:
    """Report that it has begun, and end only when it is cancelled."""
    await context.report_progress(1, 2, "begun")
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append(context.request_id)
    return "never"


@server.tool()
def cancellations() -> int:
    """Say how many calls were cancelled."""
    return len(cancelled)


@server.tool()
async def interrupted(context: Context) -> str:
    """End the stream before the answer, which has to be asked for again."""
    await context.close_sse_stream()
    return "came late"


@server.prompt()
def review(issue: str) -> str:
    """Ask for a review."""
    return f"Review issue {issue}."


@server.prompt()
def gossip() -> str:
    """Ask for gossip."""
    return "Tell me."


@server.resource("note://boards/rain")
def rain() -> str:
    """What is noted about rain."""
    return "It is wet."


@server.resource("note://boards/secrets")
def secrets() -> str:
    """What nobody should read."""
    return "psst"


@server.resource("note://people/{name}")
def person(name: str) -> str:
    """What is noted about a person."""
    return f"{name} is fine."


cancelled: list[str] = []


def main() -> None:
    """Serve on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = server.streamable_http_app(event_store=Remembered(), retry_interval=50)
    print(listening.getsockname()[1], flush=True)  # noqa: T201 whoever started it reads this
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])


if __name__ == "__main__":
    main()
