"""A small API that wants a static key, as a program of its own for the demo and the tutorials; knows nothing of Doorward.

    python3 upstream.py PORT KEY_FILE

It answers 401 without the key that stands in KEY_FILE, and otherwise tells what it received; it never shows the key.
"""

import json
import sys
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY_HEADER = "X-Api-Key"
LARGEST_BODY = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Answers every path alike. The server that it is made for holds the key."""

    protocol_version = "HTTP/1.1"
    server: "Api"

    def do_GET(self) -> None:
        """Check the key, then tell what came."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._answer(413, {"error": "body_too_large"})
            return
        received = len(self.rfile.read(int(length)))
        given = self.headers.get_all(KEY_HEADER, [])
        if len(given) != 1:
            self._answer(401, {"error": "key_missing", "detail": f"this API wants one {KEY_HEADER}"})
        elif not compare_digest(given[0].encode(), self.server.key):
            self._answer(401, {"error": "key_wrong", "detail": f"this {KEY_HEADER} is not known here"})
        else:
            self._answer(200, {"request": f"{self.command} {self.path}", "headers": self._shown(), "body_bytes": received})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 the names that http.server looks for

    def log_message(self, *_words: object) -> None:
        """Keep quiet: what was received stands in the answer."""

    def _shown(self) -> dict[str, str]:
        """The headers as they came, with words in the place of the key."""
        mine = f"(this API's key, {len(self.server.key)} characters)"
        return {name: mine if name.lower() == KEY_HEADER.lower() else value for name, value in self.headers.items()}

    def _answer(self, status: int, members: dict[str, object]) -> None:
        body = json.dumps(members, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Api(ThreadingHTTPServer):
    """Listens on this machine only."""

    daemon_threads = True

    def __init__(self, port: int, key: bytes) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key


def main(port: str, key_file: str) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    try:
        api = Api(int(port), Path(key_file).read_bytes().strip())
    except OSError as error:
        sys.exit(f"this API cannot start with port {port} and key file {key_file}: {error.strerror}")
    try:
        api.serve_forever()
    except KeyboardInterrupt:
        api.server_close()


if __name__ == "__main__":
    if len(sys.argv) != len(("upstream.py", "PORT", "KEY_FILE")):
        sys.exit("usage: python3 upstream.py PORT KEY_FILE")
    main(sys.argv[1], sys.argv[2])
