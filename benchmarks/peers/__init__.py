"""The proxies that are measured beside Doorward, each made to do the same job as far as it can; `PEERS` is the list of them.

The job: verify an ES256 task token (issuer, audience, expiry, signature or a cache of it), allow one intent for one method
and path prefix, take the caller's Authorization off, put the upstream's key on, keep connections, write a JSON line.
Every peer gets the very same token and the same upstream, which answers 401 unless it sees its key and no Authorization.
"""

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.peers import doorward, envoy, haproxy, intercepting, nginx, obvious
from benchmarks.peers.direct import direct
from benchmarks.scene import Peer, Scene

PEERS: Mapping[str, Callable[[Scene], Peer]] = {
    "direct": direct,
    "doorward": doorward.doorward,
    "doorward-compiled": doorward.compiled,
    "envoy": partial(envoy.envoy, cache=True),
    "envoy-no-cache": partial(envoy.envoy, cache=False),
    "haproxy": haproxy.haproxy,
    "nginx": nginx.nginx,
    "mitmproxy": intercepting.mitmproxy,
    "aiohttp": obvious.aiohttp,
}
"""By name, each writes its configuration and returns a peer that can be started. Raises `LackingError`."""

REMARKS: Mapping[str, str] = {
    "direct": "no proxy: what the load generator and the upstream can do",
    "doorward": "all checks, two chained records for each request, written before it is forwarded",
    "doorward-compiled": "the same source, its hot modules compiled (`make compiled`)",
    "envoy": "jwt_authn with its cache of tokens, RBAC, JSON access log",
    "envoy-no-cache": "the same, each signature verified",
    "haproxy": "jwt_verify has no cache, so each signature is verified",
    "nginx": "checks no token: header rule, swap and log; the floor of C",
    "mitmproxy": "an addon, tokens cached",
    "aiohttp": "the obvious proxy: a server, a client session, PyJWT with a cache, structlog",
}
"""What a reader has to know beside the figures of a peer."""
