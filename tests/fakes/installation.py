"""Real processes: `doorward serve` made by `doorward init`, an upstream beside it, and curl; knows no single behaviour."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECRET = "upstream-canary-8f3a1c5e7d9b2046"
MASKED = "*" * len(SECRET)

UPSTREAM = """
import http.server, json, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/slow"):
            time.sleep(1.0)
        if self.path.endswith("/stream"):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(12):
                self.wfile.write(b"8\\r\\nevent %d\\n\\r\\n" % (number % 10))
                self.wfile.flush()
                time.sleep(0.25)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        told = json.dumps({"line": self.requestline, "headers": self.headers.items(), "received": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    do_GET = do_POST = do_PUT = do_DELETE = answer
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


PORTS = range(10_000, 30_000)
"""Below those that the kernel gives to connections, of which one could come between a look and whoever listens then."""
_next_port = itertools.count(os.getpid() * 7919)


def free_port() -> int:
    """Each process of the tests begins to look somewhere else, and none finds one twice before it has been through them all."""
    for number in itertools.islice(_next_port, len(PORTS)):
        port = PORTS[number % len(PORTS)]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(1200):
        assert process.poll() is None, f"the process ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


@dataclass
class Curled:
    """What curl printed."""

    status: int
    body: str

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Installation:
    """One folder with a configuration, and the processes that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority_port = free_port()
        self.upstream_port = free_port()
        self.environment = {**os.environ, "BILLING_KEY": SECRET, "NO_COLOR": "1"}
        self.outputs: list[str] = []
        self.echoes: list[str] = []
        self.served: subprocess.Popen | None = None
        self.upstream: subprocess.Popen | None = None

    def doorward(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr or done.stdout
        if words[0] != "token":
            self.outputs += [done.stdout, done.stderr]
        return done

    def start_upstream(self) -> None:
        self.upstream = subprocess.Popen([sys.executable, "-c", UPSTREAM, str(self.upstream_port)])
        wait_for(self.upstream_port, self.upstream)

    def initialise(self) -> None:
        url = f"http://127.0.0.1:{self.upstream_port}"
        self.doorward("init", "--upstream", url, "--name", "billing", "--header", "X-Api-Key", "--secret-env", "BILLING_KEY")
        file = self.folder / "doorward.yaml"
        text = file.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        file.write_text(text.replace("127.0.0.1:8081", f"127.0.0.1:{self.authority_port}"))

    def measured(self) -> int:
        """Give it an `admin.listen`, before it serves; the port."""
        port, file = free_port(), self.folder / "doorward.yaml"
        text, at = file.read_text(), "  socket: unix:var/admin.sock\n"
        assert text.count(at) == 1
        file.write_text(text.replace(at, f"{at}  listen: 127.0.0.1:{port}\n"))
        return port

    def serve(self) -> subprocess.Popen:
        log = (self.folder / "serve.log").open("a")
        self.served = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )
        log.close()
        wait_for(self.port, self.served)
        return self.served

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.served is not None
        self.served.send_signal(number)
        return self.served.wait(60)

    def token(self, *intents: str) -> str:
        words = [word for intent in intents or ("billing.read",) for word in ("--intent", intent)]
        return self.doorward("token", *words).stdout.strip()

    def issue(self, *intents: str) -> dict:
        words = [word for intent in intents for word in ("--intent", intent)]
        return json.loads(self.doorward("token", "--json", *words).stdout)

    def curl(self, path: str, *words: str) -> Curled:
        curl = shutil.which("curl")
        assert curl is not None
        done = subprocess.run(
            [curl, "-sS", "--max-time", "20", "-w", "\n%{http_code}", f"http://127.0.0.1:{self.port}{path}", *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        said_by = self.echoes if MASKED in done.stdout else self.outputs
        said_by += [done.stdout, done.stderr]
        body, _, status = done.stdout.rpartition("\n")
        return Curled(int(status), body)

    def call(self, path: str, token: str, intent: str = "billing.read", *words: str) -> Curled:
        return self.curl(path, "-H", f"Authorization: Bearer {token}", "-H", f"Agent-Intent: {intent}", *words)

    def records(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "var/audit.jsonl").read_text().splitlines()]

    def end_upstream(self) -> None:
        assert self.upstream is not None
        self.upstream.kill()
        self.upstream.wait()

    def stop(self) -> None:
        for process in (self.served, self.upstream):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
