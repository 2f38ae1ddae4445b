"""Shows before anything is measured that a peer refuses a bad token and a wrong intent, and swaps the key; knows no figure."""

import urllib.error
import urllib.request

from benchmarks.scene import Peer

PATH = "/v1/items/1"


def prove(peer: Peer) -> None:
    """Raise AssertionError if the peer does not do the job. The upstream answers 401 unless the key was swapped."""
    good = peer.headers()
    assert status(peer, good) == 200, f"{peer.name} does not swap"
    if peer.checks_tokens:
        token = peer.scene.token
        broken = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
        assert status(peer, peer.headers(broken)) == 401, f"{peer.name} takes a bad token"
        del good["Authorization"]
        assert status(peer, good) == 401, f"{peer.name} takes no token for one"
    if peer.name != "direct":
        wrong = {**peer.headers(), "Agent-Intent": "items.write"}
        assert status(peer, wrong) == 403, f"{peer.name} takes a wrong intent"
        assert status(peer, peer.headers(), method="DELETE") == 403, f"{peer.name} takes a wrong method"


def status(peer: Peer, headers: dict[str, str], method: str = "GET") -> int:
    url = f"http://127.0.0.1:{peer.port}{peer.prefix}{PATH}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
