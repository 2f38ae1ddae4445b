"""Where state can live: the registry of stores, one file each; knows nothing of what is stored."""

from collections.abc import Mapping

from gateway.kind import Kind
from gateway.stores.backends import redis, sqlite
from gateway.stores.store import Store

BACKENDS: Mapping[str, Kind[Store]] = {
    "sqlite": Kind(
        sqlite.Config,
        sqlite.build,
        posture="Trusts the file system of this host and everybody who may write in the file's folder.",
    ),
    "redis": Kind(
        redis.Config,
        redis.build,
        posture="Trusts the server, everybody who may write there, and its word that what it answered is on its disk.",
    ),
}
