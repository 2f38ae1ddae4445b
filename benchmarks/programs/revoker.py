"""Ends tasks over admin sockets and says when each end was acknowledged; knows nothing of who asks with their tokens.

Reads lines from standard input: the path of an admin socket and the id of a task. Prints for each the id, the status of the
answer, and the time at which the whole answer had been read, in nanoseconds of the monotonic clock. It is a process of its own, and runs before
others where it may, so that nothing else that is measured makes an acknowledgement look later than it was.
"""

import contextlib
import os
import socket
import sys
import time

REQUEST = "POST /tasks/%s/revoke HTTP/1.1\r\nHost: doorward\r\nContent-Length: 0\r\n\r\n"


class Operator:
    """One kept connection to an admin socket, dialled anew when its server has let go of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line: socket.socket | None = None

    def end(self, task: str) -> tuple[int, int]:
        """The status of the answer, and when it had come. Raises `OSError`."""
        for _ in range(2):
            if self.line is None:
                self.line = socket.socket(socket.AF_UNIX)
                self.line.connect(self.path)
            with contextlib.suppress(ConnectionError):
                self.line.sendall((REQUEST % task).encode())
                if answer := self._answer(self.line):
                    return int(answer.split(b" ", 2)[1]), time.monotonic_ns()
            self.line.close()
            self.line = None
        raise ConnectionError(f"{self.path} does not answer")

    def _answer(self, line: socket.socket) -> bytes:
        answer = b""
        while piece := line.recv(65536):
            answer += piece
            head, separator, body = answer.lower().partition(b"\r\n\r\n")
            if separator and len(body) >= int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]):
                return answer
        return b""


def main() -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    operators: dict[str, Operator] = {}
    for line in sys.stdin:
        path, task = line.split()
        status, at = operators.setdefault(path, Operator(path)).end(task)
        print(task, status, at, flush=True)


if __name__ == "__main__":
    main()
