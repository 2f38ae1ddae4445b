"""What a program holds in memory, and loads before it does anything, is what its configuration has a use for, and no more."""

import os
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from house_rules import ROOT

LINE = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
CONFIGURATION = """
version: 1
tenant: acme
gateway: {{listen: ["127.0.0.1:0"]}}
authority: {{listen: ["unix:authority.sock"], store: {{sqlite: doorward.db}}}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: spiffe://acme.example/agent}}}}, same_user: true}}}}
upstreams: {{api: {{url: "http://127.0.0.1:9", credential: key, networks: [127.0.0.0/8]}}}}
credentials:
  key:
    secret: {{file: key}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: test, reason: test, expires: 2999-01-31, review_every: 365000d, reviewed: 2026-11-20}}
intents: {{items.read: {{upstream: api, operations: ["GET /{{rest...}}"]}}}}
grants: [{{name: reads, agents: [spiffe://acme.example/agent], intents: [items.read]}}]
exceptions: {{max: 365000d}}
audit: {{sinks: {{local: {{file: {{path: audit.jsonl}}, required: true}}}}}}
"""

NEVER = {
    "cel_expr_python": "no expression stands in the configuration",
    "cryptography.x509": "no certificate does",
    "gateway.settings.schema": "it has no mistake that would have to be explained",
    "grpc": "no identity comes from a Workload API",
    "jwt": "tokens are signed and verified by cryptography alone",
    "redis": "the store is a file",
}
"""What nobody loads for this configuration, each with the reason."""
NO_SERVER = {"aiohttp": "it speaks to nobody", "gateway.handle_request": "it serves nobody", "uvloop": "the same"}
SERVE = {
    "gateway.outgoing": "nothing is fetched: no keys of an issuer, no feed of an authority elsewhere",
    "gateway.sidecar": "the authority is in this process",
    "gateway.worker": "and so is the gateway",
    "gateway.workers": "the same",
}
NO_AUTHORITY = {
    "gateway.app": "the authority is elsewhere",
    "gateway.authority.authority": "the same",
    "gateway.authority.exchange": "the same",
    "gateway.authority.tokens": "the same",
    "gateway.authority_side": "the same",
    "gateway.endpoints.token": "the same",
    "gateway.workers": "it has none",
}
SIDECAR = {**NO_AUTHORITY, "gateway.worker": "it is no worker"}
WORKER = {
    **NO_AUTHORITY,
    "aiohttp.web": "its parent answers operators",
    "gateway.endpoints": "the same",
    "gateway.sidecar": "it is a worker",
}
COMMAND = {
    **NO_SERVER,
    "cryptography": "it verifies and signs nothing",
    "orjson": "the standard library reads one answer",
    "pydantic": "the variable names the authority, so no configuration is read",
    "sqlite3": "its store is the authority's",
    "structlog": "it has nothing to log",
    "yaml": "no configuration is read",
}


def loaded(told: str) -> set[str]:
    """The modules of which Python tells with `-X importtime`, and the packages that they are in."""
    names = set(LINE.findall(told))
    return {".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 2)}


def held(told: str, unwanted: Mapping[str, str]) -> list[str]:
    """A sentence for each module that is there without need."""
    return [f"{name} is loaded, though {reason}" for name, reason in unwanted.items() if name in loaded(told)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the smallest useful configuration."""
    (tmp_path / "doorward.yaml").write_text(CONFIGURATION.format(user=pwd.getpwuid(os.getuid()).pw_name))
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    return tmp_path


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start `doorward`, which tells what it loads."""
    with (folder / "told").open("w") as told:
        return subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "gateway", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env={**os.environ, **environment},
        )


def told_by_server(folder: Path) -> str:
    """What `doorward serve` loads up to the moment when it serves."""
    with start(folder, "serve", "--json") as server:
        assert server.stdout is not None
        assert "127.0.0.1" in server.stdout.readline(), (folder / "told").read_text()[-2000:]
        told = (folder / "told").read_text()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    return told


def test_a_server_holds_what_its_configuration_needs(folder: Path):
    """From the start to the moment when it serves; what is seldom needed comes with its first use."""
    told = told_by_server(folder)
    assert {"gateway.handle_request", "gateway.authority.exchange"} <= loaded(told)
    assert held(told, {**NEVER, **SERVE}) == []


def test_a_sidecar_holds_no_authority(folder: Path):
    """Nor what only an authority has a use for."""
    text = (folder / "doorward.yaml").read_text()
    remote = 'authority: {remote: "unix:nowhere.sock"}'
    (folder / "doorward.yaml").write_text(re.sub("authority: .*", remote, text, count=1))
    told = told_by_server(folder)
    assert {"gateway.handle_request", "gateway.authority.remote"} <= loaded(told)
    assert held(told, {**NEVER, **SIDECAR}) == []


def test_a_worker_holds_neither_an_authority_nor_a_server_of_its_own(folder: Path):
    """There are many of them, so what one of them holds counts as often."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import gateway.outgoing, gateway.worker"],
        cwd=folder, stderr=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stderr  # fmt: skip
    assert held(told, {**NEVER, **WORKER}) == []


def test_a_check_loads_no_server(folder: Path):
    """It reads the configuration and says that it is good."""
    with start(folder, "check") as check:
        assert check.wait(30) == 0
    told = (folder / "told").read_text()
    assert "gateway.settings.compile" in loaded(told)
    assert held(told, {**NEVER, **NO_SERVER}) == []


@pytest.mark.parametrize("words", [("token", "--intent", "items.read"), ("task", "complete", "0" * 32)])
def test_a_command_of_an_agent_loads_next_to_nothing(folder: Path, words: tuple[str, ...]):
    """It is typed often, so it is over as soon as it has its answer: here, that nobody listens."""
    with start(folder, *words, DOORWARD_AUTHORITY="unix:nowhere.sock") as command:
        assert command.wait(30) == 1
    told = (folder / "told").read_text()
    assert "cannot be reached" in told
    assert held(told, {**NEVER, **COMMAND}) == []


def test_what_is_loaded_without_need_is_found():
    """A package counts when one of its modules does."""
    told = "import time:       100 |        200 |         redis.asyncio\nredis\n"
    assert held(told, NEVER) == ["redis is loaded, though the store is a file"]
