"""Doorward itself with all checks and full audit, in pure Python and with its hot modules compiled; nothing is switched off."""

import os
import pwd
import shutil
import sqlite3
import sys
import time
from pathlib import Path

from benchmarks.scene import AGENT, INTENT, ISSUER, KEY, LackingError, Peer, Scene, free_port

NAME = "doorward"
ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "build" / "compiled"
"""Where `make compiled` puts it."""
SERVING = ROOT / ".venv" / "serving" / "bin" / "python"
"""A Python with a server's requirements alone: what libraries find of the developers' they load as well, which no user holds in memory."""
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}
"""An installation has its modules as bytecode; where Python is told to write none, each start would compile them anew."""
PARAM = "1"
"""The param of the task, where the grant has a condition."""


def compiled(scene: Scene) -> Peer:
    """The same, compiled, with the key and the store of the first, so that one token is good at both."""
    peer = use_compiled(doorward(scene, "doorward-compiled"))
    first, folder = scene.folder / NAME, scene.folder / peer.name
    shutil.copytree(first / "keys", folder / "keys")
    with sqlite3.connect(first / "doorward.db") as store, sqlite3.connect(folder / "doorward.db") as copy:
        store.backup(copy)
    (folder / "doorward.db").chmod(0o600)
    return peer


def use_compiled(peer: Peer) -> Peer:
    """Start it on the compiled modules. Raises `LackingError`."""
    if not (COMPILED / ".done").exists():
        raise LackingError("the compiled Doorward is missing: make compiled")
    peer.environment["PYTHONPATH"] = str(COMPILED)
    return peer


def doorward(scene: Scene, name: str = NAME) -> Peer:
    """One process with gateway and authority, in pure Python."""
    port = free_port()
    operations = '"GET /v1/{rest...}"'
    condition = ""
    if scene.with_condition:
        operations = '"GET /v1/items/{id}", "GET /v1/items/{id}/{rest...}"'
        condition = f""", start: {{by: ["{AGENT}"], when: 'task.params.id == "{PARAM}"'}}, when: path.id == task.params.id"""
    return configured(
        scene,
        port,
        name=name,
        intents=f"{{{INTENT}: {{upstream: api, operations: [{operations}], touches: [item]}}}}",
        grants=f'[{{name: the agent reads, agents: ["{AGENT}"], intents: [{INTENT}]{condition}}}]',
    )


def configured(
    scene: Scene,
    port: int,
    *,
    name: str = NAME,
    intents: str,
    grants: str,
    limits: str = "",
    upstreams: dict[str, int] | None = None,
    keep: int = 2,
) -> Peer:
    """Doorward before one upstream or more, with these intents and grants."""
    folder = scene.folder / name
    folder.mkdir(exist_ok=True)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 60 * 86400))
    user = pwd.getpwuid(os.getuid()).pw_name
    lines = "\n".join(
        f'  {upstream}: {{url: "http://127.0.0.1:{number}", credential: key, networks: [127.0.0.0/8], limits: {{concurrent: 4096}}}}'
        for upstream, number in (upstreams or {"api": scene.upstream_port}).items()
    )
    (folder / "doorward.yaml").write_text(f"""
version: 1
tenant: bench
gateway: {{listen: ["127.0.0.1:{port}"]{limits}}}
authority:
  listen: ["unix:authority.sock"]
  issuer: {ISSUER}
  store: {{sqlite: doorward.db}}
  tokens: {{ttl: 2h, max_ttl: 2h}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: {AGENT}}}}}, same_user: true}}}}
upstreams:
{lines}
credentials:
  key:
    secret: {{env: BENCH_KEY}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: bench, reason: bench, expires: {later}, review_every: 30d, reviewed: {day}}}
intents: {intents}
grants: {grants}
audit: {{sinks: {{local: {{file: {{path: audit.jsonl, rotate: 256MiB, keep: {keep}}}, required: true}}}}}}
""")
    python = str(SERVING) if SERVING.exists() else sys.executable
    words = [python, "-m", "gateway", "serve", "-c", str(folder / "doorward.yaml")]
    return Peer(
        name, scene, port, words, prefix="/api", environment={"BENCH_KEY": KEY, "PYTHONPATH": str(ROOT), **AS_INSTALLED}
    )
