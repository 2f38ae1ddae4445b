"""The line between the parent process and a worker: JSON objects, one a line, over a socket pair; knows no command."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final, Self, final

import orjson

LONGEST: Final = 64 * 1024 * 1024
"""Bytes of one message; the longest holds the texts of a configuration. What is longer, or is none, ends the line."""


@final
class Control:
    """One end. The other end's death is an end of the line, which both sides take for the other's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Made by `open`."""
        self._reader: Final = reader
        self._writer: Final = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Take one end of a pair."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LONGEST))

    def send(self, message: Mapping[str, Any]) -> None:
        """Say something; whoever has gone does not hear it."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def receive(self) -> Mapping[str, Any] | None:
        """What the other side says next; None when it has gone, or says what is no message."""
        try:
            line = await self._reader.readline()
            message = orjson.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
