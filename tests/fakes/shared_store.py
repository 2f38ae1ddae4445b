"""Two installations with one issuer and one Redis, each with authority and gateway; knows no single fault."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakes.installation import Installation
from fakes.redis_server import RedisProcess, need_redis

STALE = 2.0
"""Seconds after which a gateway that has heard nothing refuses: beyond them no revocation may be unknown anywhere."""


@dataclass
class Shared:
    """Two installations, each with authority and gateway, and the server that both keep their state in."""

    first: Installation
    second: Installation
    redis: RedisProcess

    def serve(self) -> None:
        self.first.serve()
        self.second.serve()

    def edit(self, made: Installation, change: Callable[[str], str]) -> None:
        file = made.folder / "doorward.yaml"
        before = file.read_text()
        after = change(before)
        assert after != before
        file.write_text(after)


@contextmanager
def two_on_one_store(installation: Installation, folder: Path) -> Iterator[Shared]:
    """Configured, with one issuer, and with a signing key each; nothing serves yet."""
    need_redis()
    second = Installation(folder / "second")
    second.folder.mkdir()
    second.upstream_port = installation.upstream_port
    second.initialise()
    redis = RedisProcess(folder / "redis").start()
    made = Shared(installation, second, redis)
    for each in (installation, second):
        made.edit(
            each,
            lambda text: (
                re.sub(r"issuer: \S+", f"issuer: http://127.0.0.1:{installation.authority_port}", text).replace(
                    "{sqlite: var/doorward.db}", f"{{redis: {{url: '{redis.url}', folder: var/state}}}}"
                )
                + f"\nfeed: {{max_staleness: {STALE:g}s}}\n"
            ),
        )
    try:
        yield made
    finally:
        redis.go_on()
        second.stop()
        redis.kill()
