"""No proxy at all, so that what the load generator and the upstream cost is known; checks nothing."""

import sys

from benchmarks.scene import Peer, Scene


def direct(scene: Scene) -> Peer:
    """A process that sleeps stands in for the proxy; the load goes to the upstream."""
    words = [sys.executable, "-c", "import time; time.sleep(86400)"]
    return Peer("direct", scene, scene.upstream_port, words, checks_tokens=False)
