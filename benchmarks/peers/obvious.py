"""The proxy that one would write first, on aiohttp; it is honest work and no straw man, but knows no trick."""

import json

from benchmarks.scene import INTENT, ISSUER, KEY, Peer, Scene, free_port


def aiohttp(scene: Scene) -> Peer:
    """One process on uvloop."""
    port = free_port()
    (scene.folder / "jwks.json").write_text(json.dumps(scene.jwks))
    words = scene.program("obvious_proxy", port, f"http://127.0.0.1:{scene.upstream_port}")
    environment = {"JWKS": "jwks.json", "ISSUER": ISSUER, "INTENT": INTENT, "KEY": KEY, "LOG": "aiohttp.log"}
    return Peer("aiohttp", scene, port, words, environment=environment)
