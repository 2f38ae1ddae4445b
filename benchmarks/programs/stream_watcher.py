"""Opens event streams and says when each one ended; knows nothing of who ends them, or when.

Reads lines from standard input: the name of a stream, a port of this machine and a token. Prints for each stream its name and
the status of its answer, and at its end the name and the time, in nanoseconds of the monotonic clock. It is a process of its
own, and runs before others where it may, as the one that reads acknowledgements: so that nothing else that is measured makes an
end look later than it was.
"""

import contextlib
import os
import selectors
import socket
import sys
import time

REQUEST = "GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nAgent-Intent: items.read\r\n\r\n"
STATUS_LINE = len(b"HTTP/1.1 200")


class Stream:
    """One connection, of which only the status and the end are of interest."""

    def __init__(self, name: str, port: str, token: str) -> None:
        self.name = name
        self.line = socket.create_connection(("127.0.0.1", int(port)))
        self.line.sendall((REQUEST % token).encode())
        self.seen = b""

    def read(self) -> bool:
        """Take what has come; false at the end, and after it has been told."""
        try:
            piece = self.line.recv(65536)
        except ConnectionError:
            piece = b""
        at = time.monotonic_ns()
        if not piece:
            print(self.name, at, flush=True)
            self.line.close()
        elif len(self.seen) < STATUS_LINE:
            self.seen += piece
            if len(self.seen) >= STATUS_LINE:
                print(self.name, self.seen[9:STATUS_LINE].decode(), flush=True)
        return bool(piece)


def main() -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    orders = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not orders:
                    if not key.data.read():
                        selector.unregister(key.fileobj)
                elif line := orders.readline():
                    stream = Stream(*line.decode().split())
                    selector.register(stream.line, selectors.EVENT_READ, stream)
                else:
                    return


if __name__ == "__main__":
    main()
