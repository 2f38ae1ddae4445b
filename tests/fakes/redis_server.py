"""A real Redis (or Valkey) server that a test starts, kills, empties and sets back; knows no store."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


def need_redis() -> None:
    """Skip where no server is installed, save where nothing may be skipped."""
    if PROGRAM is None:
        if os.environ.get("CI") == "true":
            raise AssertionError("redis-server has to be installed: apt-get install redis-server")
        pytest.skip("no redis-server is installed")


class RedisProcess:
    """One server on a Unix socket and a port of this host, with everything on the disk before it answers."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.settings = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": "", **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.settings}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, *words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while self._word("PING") not in ("+PONG", "-NOAUTH Authentication required."):
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """As if the power had gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """It lives, and answers nothing until it may go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """Ask with the password, if there is one, and return the first line of the answer."""
        return self._word(*words)

    def keep(self, where: Path) -> None:
        """Copy what is on the disk now."""
        shutil.copytree(self.folder, where)

    def set_back(self, kept: Path) -> None:
        """Kill it and start it on what was kept before."""
        self.kill()
        shutil.rmtree(self.folder)
        shutil.copytree(kept, self.folder)
        self.start()

    def _word(self, *words: str) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                if password := self.settings.get("requirepass"):
                    line.sendall(f"AUTH {password}\r\n".encode())
                    line.recv(100)
                line.sendall("".join([f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]).encode())
                return line.makefile("rb").readline().decode().strip()
        except OSError:
            return ""
