"""What a newcomer does by hand with curl, against a configuration that `doorward init` wrote."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.installation import MASKED, Installation
from jwt.algorithms import ECAlgorithm


def test_the_right_call_is_swapped_and_the_wrong_ones_refused(installation: Installation) -> None:
    """The upstream sees its own key, which comes back masked, and nothing of the caller's; each refusal has code and remedy."""
    installation.serve()
    token = installation.token("billing.read")
    seen = installation.call("/billing/v1/x?limit=3", token, "billing.read", "-H", "Cookie: a=b", "-H", "X-Api-Key: mine")
    assert seen.status == 200
    headers = {name.lower(): value for name, value in seen.json["headers"]}
    assert headers["x-api-key"] == MASKED
    assert not {"authorization", "cookie", "agent-intent"} & headers.keys()
    assert seen.json["line"] == "GET /v1/x?limit=3 HTTP/1.1"

    def refused(answer, status: int, code: str) -> None:
        assert (answer.status, answer.json["code"]) == (status, code)
        assert answer.json["remedy"]

    refused(installation.curl("/billing/v1/x"), 401, "token_missing")
    refused(installation.call("/billing/v1/x", token + "x"), 401, "token_invalid")
    refused(installation.call("/billing/v1/x", token, "billing.write"), 403, "intent_not_granted")
    refused(installation.call("/billing/v1/x", token, "billing.read", "-X", "POST"), 403, "intent_mismatch")
    refused(installation.call("/billing/../x", token, "billing.read", "--path-as-is"), 400, "request_malformed")
    refused(installation.call("/nothing", token), 404, "upstream_unknown")


def test_a_large_upload_with_expect_works(installation: Installation, tmp_path: Path) -> None:
    """A large body, which curl announces with Expect: 100-continue, arrives whole."""
    installation.serve()
    token = installation.token("billing.write")
    body = tmp_path / "body"
    body.write_bytes(os.urandom(3 << 20))
    answer = installation.call("/billing/up", token, "billing.write", "--data-binary", f"@{body}", "-X", "POST")
    assert (answer.status, answer.json["received"]) == (200, 3 << 20)


def test_tasks_end_on_request(installation: Installation) -> None:
    """`task complete`, `fail` and `revoke` end access at once; `list` and `show` say so."""
    installation.serve()
    for command, state in (("complete", "completed"), ("fail", "failed"), ("revoke", "revoked")):
        issued = installation.issue("billing.read")
        assert installation.call("/billing/x", issued["access_token"]).status == 200
        installation.doorward("task", command, issued["task"])
        answer = installation.call("/billing/x", issued["access_token"])
        assert (answer.status, answer.json["code"]) == (401, "token_revoked")
        shown = json.loads(installation.doorward("task", "show", issued["task"], "--json").stdout)
        assert shown["state"] == state
    assert installation.doorward("task", "list").stdout.count("billing.read") == 3


def test_the_log_verifies_and_answers_questions(installation: Installation) -> None:
    """Who did what for which task: from the log alone, after it was verified."""
    installation.serve()
    issued = installation.issue("billing.read")
    installation.call("/billing/v1/x", issued["access_token"], 'billing.read;reason="month end"')
    installation.curl("/billing/v1/x")
    assert installation.end() == 0
    assert installation.doorward("audit", "verify").stdout.startswith("intact: ")
    shown = installation.doorward("audit", "show", "--task", issued["task"]).stdout
    assert "billing.read" in shown
    assert "/v1/x" in shown
    text = (installation.folder / "var/audit.jsonl").read_text()
    (installation.folder / "var/audit.jsonl").write_text(text.replace("month end", "month-end"))
    assert installation.doorward("audit", "verify", check=False).returncode == 1


def test_an_agent_with_an_oidc_identity_gets_a_token(installation: Installation) -> None:
    """A workload's signed identity, verified with keys from a file, is exchanged over TCP (RFC 8693)."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "ES256"}
    (installation.folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    file = installation.folder / "doorward.yaml"
    text = file.read_text()
    text = text.replace(
        "\nupstreams:",
        """
  cluster:
    oidc:
      issuer: https://kubernetes.default.svc
      audience: doorward
      jwks: {file: jwks.json}
      agent: |
        "spiffe://cluster.test/ns/" + segment(claims["kubernetes.io"].namespace)
      require: |
        claims["kubernetes.io"].namespace in ["agents"]
    mints: spiffe://cluster.test/ns/*

upstreams:""",
        1,
    ).replace("    agents: [", "    agents: [spiffe://cluster.test/ns/agents, ")
    file.write_text(text)
    installation.serve()

    def identity(namespace: str, **changes: object) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://kubernetes.default.svc",
            "aud": "doorward",
            "sub": "system:serviceaccount:x",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "kubernetes.io": {"namespace": namespace},
        }
        return jwt.encode({**claims, **changes}, key, "ES256", headers={"kid": "k1"})

    def exchange(identity_token: str) -> subprocess.CompletedProcess[str]:
        (installation.folder / "identity").write_text(identity_token)
        environment = {**installation.environment, "DOORWARD_AUTHORITY": f"http://127.0.0.1:{installation.authority_port}"}
        words = ("token", "--intent", "billing.read", "--identity-token", "identity")
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            cwd=installation.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    good = exchange(identity("agents"))
    assert good.returncode == 0, good.stderr
    assert installation.call("/billing/x", good.stdout.strip()).status == 200
    for bad in (identity("others"), identity("agents", exp=int(time.time()) - 1), identity("agents", aud="x"), "no.token.here"):
        refused = exchange(bad)
        assert refused.returncode == 1
        assert bad not in refused.stderr
