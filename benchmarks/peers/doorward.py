"""Doorward itself with all checks and full audit: two chained records for each request; nothing is switched off."""

import os
import pwd
import sys
import time

from benchmarks.scene import AGENT, INTENT, ISSUER, KEY, Peer, Scene, free_port

PARAM = "1"
"""The param of the task, where the grant has a condition."""


def doorward(scene: Scene) -> Peer:
    """One process with gateway and authority."""
    port = free_port()
    operations = '"GET /v1/{rest...}"'
    condition = ""
    if scene.with_condition:
        operations = '"GET /v1/items/{id}", "GET /v1/items/{id}/{rest...}"'
        condition = f""", start: {{by: ["{AGENT}"], when: 'task.params.id == "{PARAM}"'}}, when: path.id == task.params.id"""
    return configured(
        scene,
        port,
        intents=f"{{{INTENT}: {{upstream: api, operations: [{operations}], touches: [item]}}}}",
        grants=f'[{{name: the agent reads, agents: ["{AGENT}"], intents: [{INTENT}]{condition}}}]',
    )


def configured(
    scene: Scene,
    port: int,
    *,
    intents: str,
    grants: str,
    limits: str = "",
    upstreams: dict[str, int] | None = None,
    keep: int = 2,
) -> Peer:
    """Doorward before one upstream or more, with these intents and grants."""
    folder = scene.folder / "doorward"
    folder.mkdir(exist_ok=True)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 60 * 86400))
    user = pwd.getpwuid(os.getuid()).pw_name
    lines = "\n".join(
        f'  {name}: {{url: "http://127.0.0.1:{number}", credential: key, networks: [127.0.0.0/8], limits: {{concurrent: 4096}}}}'
        for name, number in (upstreams or {"api": scene.upstream_port}).items()
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
    words = [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "doorward.yaml")]
    return Peer("doorward", scene, port, words, prefix="/api", environment={"BENCH_KEY": KEY})
