"""Mitmproxy as a reverse proxy with an addon that does the job; it lives in an environment of its own, for its pins clash with ours."""

import json
from pathlib import Path

from benchmarks.scene import INTENT, ISSUER, KEY, PROGRAMS, LackingError, Peer, Scene, free_port

PLACE = Path(__file__).parents[2] / ".venv" / "mitmproxy"


def mitmproxy(scene: Scene) -> Peer:
    """One process; flows are not kept or printed."""
    program = PLACE / "bin" / "mitmdump"
    if not program.exists():
        raise LackingError("mitmproxy is missing: make bench-peers")
    port = free_port()
    (scene.folder / "jwks.json").write_text(json.dumps(scene.jwks))
    words = [
        str(program), "--quiet", "--mode", f"reverse:http://127.0.0.1:{scene.upstream_port}", "--listen-host", "127.0.0.1",
        "--listen-port", str(port), "--set", "flow_detail=0", "--set", f"confdir={scene.folder}/mitmproxy",
        "--scripts", str(PROGRAMS / "swap_addon.py"),
    ]  # fmt: skip
    environment = {"JWKS": "jwks.json", "ISSUER": ISSUER, "INTENT": INTENT, "KEY": KEY, "LOG": "mitmproxy.log"}
    return Peer("mitmproxy", scene, port, words, environment=environment)
