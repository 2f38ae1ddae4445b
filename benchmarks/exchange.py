"""How many identities a second does the authority exchange for task tokens, and what does a flood of bad ones cost? Knows no gateway.

200 connections over TCP, each of an agent of its own, exchange an OIDC identity token for the token of a new task, one after the
other, until there are 10,000. Each exchange verifies a signature, asks policy, signs, stores the task and the token in SQLite with
`synchronous=FULL`, and writes two records before it answers; nothing is switched off. The settings:

- `memory`: store and log are in a memory file system, so that the processor is what is measured
- `disk`: they are on this machine's disk, and every exchange waits for it
- `flood`: as `memory`, while 64 connections from another address send assertions that are not accepted, as fast as they are answered:
  garbage, a foreign issuer, a wrong audience, an expired one, and well-formed ones whose signature does not verify

No valid exchange may fail, in any setting.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.peers.doorward import configured, use_compiled
from benchmarks.scene import INTENT, Peer, Scene, free_port
from benchmarks.settings import measured, parser_of
from benchmarks.table import Rows

SETTINGS = ("memory", "disk", "flood")
EXCHANGES, CONNECTIONS, FLOODING, STRANGER = 10_000, 200, 64, "127.0.0.2"
MEMORY = "/dev/shm"  # noqa: S108 a folder of its own is made in it, with a name that nobody can guess
CORES = ("0", "1")
OIDC = "https://issuer.bench.test"
_AUTHORITY = re.compile(r"(?<=\n)authority:\n.*?(?=\nadmin:)", re.DOTALL)
_IDENTITIES = re.compile(r"(?<=\n)identities: [^\n]*")


def main() -> int:
    """1 if a setting does not hold what it has to."""
    every = [*measured("exchange", SETTINGS, parsed(), measure, rows_of)]
    return int(any(found["failed"] > 0 for found in every))


def parsed() -> argparse.Namespace:
    parser = parser_of("exchange", __doc__, SETTINGS)
    parser.add_argument("--exchanges", type=int, default=EXCHANGES, help=f"exchanges in each round ({EXCHANGES})")
    return parser.parse_args()


def measure(setting: str, arguments: argparse.Namespace) -> dict:
    """One setting: the round with the median rate, and what failed in all of them."""
    rounds = sorted((measure_once(setting, arguments) for _ in range(arguments.rounds)), key=lambda seen: seen["per_second"])
    return {
        **rounds[len(rounds) // 2],
        "failed": sum(seen["failed"] for seen in rounds),
        "rounds": len(rounds),
        "exchanges": arguments.exchanges,
        "connections": CONNECTIONS,
        "compiled": arguments.compiled,
    }


def measure_once(setting: str, arguments: argparse.Namespace) -> dict:
    """One authority, started anew, and what its clients have seen."""
    with tempfile.TemporaryDirectory(dir=None if setting == "disk" else MEMORY) as place:
        Path(place).chmod(0o755)
        scene = Scene(Path(place), *CORES)
        peer, port, key = authority(scene)
        if arguments.compiled:
            use_compiled(peer)
        peer.start()
        try:
            busy = peer.cpu_seconds()
            seen = loaded(scene, order(port, key, arguments.exchanges, flood=setting == "flood"))
            busy = peer.cpu_seconds() - busy
        finally:
            peer.stop()
    return {**seen, "per_second": round(seen["answered"] / seen["seconds"]), "cores_busy": round(busy / seen["seconds"], 2)}


def authority(scene: Scene) -> tuple[Peer, int, ec.EllipticCurvePrivateKey]:
    """A Doorward whose authority listens on a port for the agents of one issuer; returns the port and the issuer's key."""
    port, key = free_port(), ec.generate_private_key(ec.SECP256R1())
    grants = f'[{{name: agents read, agents: ["spiffe://bench.test/sa/*"], intents: [{INTENT}]}}]'
    intents = f'{{{INTENT}: {{upstream: api, operations: ["GET /v1/{{rest...}}"]}}}}'
    scene.upstream_port = free_port()
    peer = configured(scene, free_port(), intents=intents, grants=grants)
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": "bench", "use": "sig", "alg": "ES256"}
    file = scene.folder / peer.name / "doorward.yaml"
    (file.parent / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    text = _AUTHORITY.sub(
        f'authority:\n  listen: ["127.0.0.1:{port}"]\n  issuer: http://127.0.0.1:{port}\n  store: {{sqlite: doorward.db}}',
        file.read_text(),
    )
    agent = '"spiffe://bench.test/sa/" + segment(claims.name)'
    identity = {"issuer": OIDC, "audience": "doorward", "jwks": {"file": "jwks.json"}, "agent": agent}
    identities = f"identities: {json.dumps({'agents': {'oidc': identity, 'mints': 'spiffe://bench.test/sa/*'}})}"
    file.write_text(_IDENTITIES.sub(lambda _found: identities, text))
    return peer, port, key


def order(port: int, key: ec.EllipticCurvePrivateKey, exchanges: int, *, flood: bool) -> dict:
    """What the load is to do."""
    now = int(time.time())

    def signed(by: ec.EllipticCurvePrivateKey = key, **changes: object) -> str:
        claims = {"iss": OIDC, "aud": "doorward", "sub": "a", "name": "a", "iat": now, "exp": now + 3600, **changes}
        return jwt.encode(claims, by, "ES256", headers={"kid": "bench"})

    other = ec.generate_private_key(ec.SECP256R1())
    bad = [
        "a.b.c",
        signed(iss="https://elsewhere.test"),
        signed(aud="elsewhere"),
        signed(exp=now - 60),
        *(signed(other, name=f"forged-{number}") for number in range(4)),
    ]
    return {
        "port": port,
        "exchanges": exchanges,
        "bodies": [body(signed(sub=f"agent-{number}", name=f"agent-{number}")) for number in range(CONNECTIONS)],
        "bad": [body(token) for token in bad],
        "flooding": FLOODING if flood else 0,
        "stranger": STRANGER,
    }


def body(token: str) -> str:
    """The form of one exchange."""
    return urlencode({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "scope": INTENT,
    })  # fmt: skip


def loaded(scene: Scene, what: dict) -> dict:
    """What the load has seen."""
    words = ["taskset", "-c", scene.load_core, *scene.program("exchange_load")]
    done = subprocess.run(words, input=json.dumps(what), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows_of(settings: dict) -> Rows:
    """A line for each setting."""
    rows = [["exchanges", "a second", "p50 ms", "p99 ms", "max ms", "failed", "bad ones refused a second", "cores busy"]]
    for setting, found in settings.items():
        times = (f"{found[name]:,.1f}" for name in ("p50_ms", "p99_ms", "max_ms"))
        refused = f"{found['refused'] / found['seconds']:,.0f}"
        rows.append(
            [setting, f"{found['per_second']:,}", *times, f"{found['failed']:,}", refused, f"{found['cores_busy']:.2f}"]
        )
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
