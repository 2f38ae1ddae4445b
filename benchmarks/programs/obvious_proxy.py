"""The obvious proxy: an aiohttp server, an aiohttp client session, PyJWT with a cache, a structlog line; knows no policy language.

Usage: obvious_proxy.py PORT UPSTREAM, with JWKS, ISSUER, INTENT, KEY and LOG in the environment.
"""

import json
import os
import sys
import time
from collections import OrderedDict
from pathlib import Path

import aiohttp
import jwt
import structlog
import uvloop
from aiohttp import web

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
NEVER_SENT = HOP_BY_HOP | {"authorization", "agent-intent", "host", "x-api-key", "content-length"}
REMEMBERED = 10_000


class Proxy:
    """One upstream, one intent, one key."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.key = os.environ["KEY"]
        self.issuer = os.environ["ISSUER"]
        self.intent = os.environ["INTENT"]
        jwks = json.loads(Path(os.environ["JWKS"]).read_text())
        self.public = {each["kid"]: jwt.PyJWK(each).key for each in jwks["keys"]}
        self.remembered: OrderedDict[str, dict] = OrderedDict()
        self.log = structlog.wrap_logger(
            structlog.PrintLogger(Path(os.environ["LOG"]).open("a", buffering=1)),  # noqa: SIM115 open as long as the proxy runs
            processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()],
        )

    def claims_of(self, authorization: str) -> dict:
        """The verified claims of a token, remembered until it expires. Raises `jwt.InvalidTokenError`."""
        token = authorization.removeprefix("Bearer dwt_")
        claims = self.remembered.get(token)
        if claims is None:
            key = self.public.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise jwt.InvalidTokenError
            claims = jwt.decode(token, key, algorithms=["ES256"], audience="doorward", issuer=self.issuer)
            self.remembered[token] = claims
            if len(self.remembered) > REMEMBERED:
                self.remembered.popitem(last=False)
        if claims["exp"] <= time.time():
            raise jwt.ExpiredSignatureError
        return claims

    async def handle(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        try:
            claims = self.claims_of(request.headers.get("Authorization", ""))
        except jwt.InvalidTokenError:
            return web.json_response({"error": "token_invalid"}, status=401)
        intent = request.headers.get("Agent-Intent")
        if intent != self.intent or request.method != "GET" or not request.path.startswith("/v1/"):
            return web.json_response({"error": "intent_mismatch"}, status=403)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in NEVER_SENT]
        headers.append(("X-Api-Key", self.key))
        body = request.content if request.body_exists else None
        async with self.session.request(
            request.method, self.upstream + request.path_qs, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            sent = 0
            async for part in answer.content.iter_any():
                sent += len(part)
                await response.write(part)
            await response.write_eof()
        self.log.info(
            "request",
            sub=claims["sub"],
            task=claims["txn"],
            intent=intent,
            method=request.method,
            path=request.path,
            status=answer.status,
            bytes=sent,
            duration=time.perf_counter() - started,
        )
        return response

    async def with_session(self, _application: web.Application):
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self.session:
            yield


def main() -> None:
    port, upstream = sys.argv[1:]
    proxy = Proxy(upstream)
    application = web.Application(client_max_size=1 << 30)
    application.cleanup_ctx.append(proxy.with_session)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    uvloop.install()
    web.run_app(application, host="127.0.0.1", port=int(port), access_log=None, print=None, keepalive_timeout=600)


if __name__ == "__main__":
    main()
