"""An addon of mitmproxy that does the job of the comparison; knows no policy language. JWKS, ISSUER, INTENT, KEY and LOG come from the environment."""

import json
import os
import time
from pathlib import Path

import jwt
from mitmproxy import http


class Swap:
    """Verify, allow, swap, log."""

    def __init__(self) -> None:
        jwks = json.loads(Path(os.environ["JWKS"]).read_text())
        self.public = {each["kid"]: jwt.PyJWK(each).key for each in jwks["keys"]}
        self.remembered: dict[str, dict] = {}
        self.log = Path(os.environ["LOG"]).open("a", buffering=1)  # noqa: SIM115 open as long as the proxy runs

    def claims_of(self, authorization: str) -> dict:
        """The verified claims of a token, remembered until it expires. Raises `jwt.InvalidTokenError`."""
        token = authorization.removeprefix("Bearer dwt_")
        claims = self.remembered.get(token)
        if claims is None:
            key = self.public.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise jwt.InvalidTokenError
            claims = jwt.decode(token, key, algorithms=["ES256"], audience="doorward", issuer=os.environ["ISSUER"])
            self.remembered[token] = claims
        if claims["exp"] <= time.time():
            raise jwt.ExpiredSignatureError
        return claims

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        request = flow.request
        try:
            flow.metadata["claims"] = self.claims_of(request.headers.get("Authorization", ""))
        except jwt.InvalidTokenError:
            flow.response = http.Response.make(401)
            return
        intent = request.headers.get("Agent-Intent")
        if intent != os.environ["INTENT"] or request.method != "GET" or not request.path.startswith("/v1/"):
            flow.response = http.Response.make(403)
            return
        flow.metadata["intent"] = intent
        del request.headers["Authorization"]
        del request.headers["Agent-Intent"]
        request.headers["X-Api-Key"] = os.environ["KEY"]

    def response(self, flow: http.HTTPFlow) -> None:
        claims = flow.metadata.get("claims", {})
        request, response = flow.request, flow.response
        line = {
            "ts": time.time(),
            "sub": claims.get("sub"),
            "task": claims.get("txn"),
            "intent": flow.metadata.get("intent"),
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "bytes": len(response.raw_content or b""),
            "duration": time.time() - request.timestamp_start,
        }
        self.log.write(json.dumps(line) + "\n")


addons = [Swap()]
