"""Stores of each kind whose content a test keeps, empties and puts back, while they are open and while they are not."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from fakes.authority import StillClock, build_store
from fakes.redis_server import RedisProcess, need_redis

from gateway.stores import epochs, schema
from gateway.stores.backends import redis
from gateway.stores.store import Store


class KeptStore(Protocol):
    """What a store keeps of an installation, apart from what an authority remembers of it."""

    def build(self, name: str = "authority", /) -> Store:
        """The store as an authority of this name has it, still closed."""
        ...

    def keep(self) -> None: ...

    def put_back(self) -> None:
        """As it was when it was kept, whether an authority has it open or not."""
        ...

    def empty(self) -> None: ...

    def memory(self, name: str = "authority", /) -> Path:
        """The file with what this authority remembers."""
        ...

    def end(self) -> None: ...


class KeptFile:
    """A SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "store/doorward.db"
        self.kept = folder / "kept.db"

    def build(self, _name: str = "authority", /) -> Store:
        return build_store(self._folder, StillClock())

    def keep(self) -> None:
        _copy(self.file, self.kept)

    def put_back(self) -> None:
        if self.file.with_name("doorward.db-wal").exists():
            _copy(self.kept, self.file)
        else:
            shutil.copyfile(self.kept, self.file)

    def empty(self) -> None:
        new = self._folder / "new.db"
        with closing(sqlite3.connect(new, isolation_level=None)) as file:
            schema.prepare(file, "new", epochs.after("", "e" * 32), known=False)
        _copy(new, self.file)

    def memory(self, _name: str = "authority", /) -> Path:
        return self.file.with_name("memory-of-doorward.db.json")

    def end(self) -> None:
        pass


class KeptServer:
    """A Redis server of its own."""

    def __init__(self, folder: Path) -> None:
        need_redis()
        self._folder = folder
        self._server = RedisProcess(folder / "redis").start()

    def build(self, name: str = "authority", /) -> Store:
        config = redis.Config(url=self._server.url, folder=str(self._folder / name))
        return redis.build(config, resolve=Path, clock=StillClock())

    def keep(self) -> None:
        self._server.keep(self._folder / "kept")

    def put_back(self) -> None:
        self._server.set_back(self._folder / "kept")

    def empty(self) -> None:
        self._server.ask("FLUSHALL")

    def memory(self, name: str = "authority", /) -> Path:
        return self._folder / name / "redis.json"

    def end(self) -> None:
        self._server.kill()


KEPT = {"sqlite": KeptFile, "redis": KeptServer}


def _copy(one: Path, other: Path) -> None:
    with closing(sqlite3.connect(one)) as source, closing(sqlite3.connect(other)) as target:
        source.backup(target)
