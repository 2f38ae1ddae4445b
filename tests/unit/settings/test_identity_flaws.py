"""What a configuration says of identities is tried on the files and the listeners that it needs, each mistake at its place."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.spiffe import TrustDomain

from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.identity import workload_api
from gateway.settings.compile import compile_configuration
from gateway.settings.load import load_text

TLS = "tls: {certificate: own.pem, key: own.key}, issuer: 'https://doorward.test'"
BASE = """\
version: 1
tenant: acme
authority: {listen: LISTEN, TLS}
identities:
  one:
    IDENTITY
upstreams:
  billing: {url: 'https://api.example', credential: key}
credentials:
  key:
    secret: {env: SECRET}
    inject: {header: X-Api-Key}
    exception: {owner: tests, reason: tests, expires: EXPIRES, review_every: 30d, reviewed: TODAY}
intents:
  all: {upstream: billing, operations: [GET /items]}
grants:
  - {name: all, agents: [AGENTS], intents: [all]}
audit: {sinks: {out: {file: {path: audit.jsonl}, required: true}}}
"""

Flaws = Callable[..., list[str]]


@pytest.fixture
def flaws(tmp_path: Path) -> Flaws:
    """What is wrong with a configuration of one identity, beside the files of a trust domain and an issuer."""
    acme = TrustDomain("acme.example")
    acme.write(tmp_path / "bundle.json")
    (tmp_path / "jwt.json").write_text(json.dumps({"keys": [acme.jwk()]}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text('{"keys": []}')
    Certificates(tmp_path).write("own", "doorward.test")

    def found(identity: str, tls: str = TLS, listen: str = "['127.0.0.1:0', 'unix:a.sock']", agents: str = "") -> list[str]:
        agents = agents or ("spiffe://acme.example/*" if "acme.example" in identity else "spiffe://a/*")
        text = (
            BASE.replace("IDENTITY", identity)
            .replace("TLS", tls)
            .replace("LISTEN", listen)
            .replace(", }", "}")
            .replace("AGENTS", agents)
        )
        now = Clock().now()
        text = text.replace("TODAY", Clock().stamp(now)[:10]).replace("EXPIRES", Clock().stamp(now + 30 * 86_400)[:10])
        try:
            compile_configuration(load_text(text, tmp_path / "doorward.yaml", {"SECRET": "x"}), now)
        except ConfigurationError as error:
            return [f"{flaw.line}:{flaw.column}: {flaw.message}".replace(str(tmp_path), "") for flaw in error.flaws]
        return []

    return found


JWT = "spiffe_jwt: {trust_domain: acme.example, audience: doorward, bundle: {file: FILE}}"
X509 = "spiffe_x509: {trust_domain: acme.example, bundle: {file: FILE}}"
OIDC = "oidc: {issuer: 'https://a.example', audience: doorward, agent: claims.sub, WHAT}\n    mints: spiffe://a/*"
GITHUB = "oidc: {issuer: 'https://token.actions.githubusercontent.com', audience: doorward, agent: claims.sub}\n    mints: spiffe://a/*"
DOORWARD = "doorward: {issuer: 'https://doorward.test', tenant: acme, audience: doorward}\n    mints: spiffe://a/*"
SOCKET = "spiffe_jwt: {trust_domain: acme.example, audience: doorward, bundle: {workload_api: 'unix:/run/a.sock'}}"


@pytest.mark.parametrize(
    "identity",
    [JWT.replace("FILE", "bundle.json"), JWT.replace("FILE", "jwt.json"), X509.replace("FILE", "bundle.json"), SOCKET],
)
def test_a_good_one_has_none(flaws: Flaws, identity: str) -> None:
    """Nothing is asked, and no agent has to be there."""
    assert flaws(identity) == []


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (JWT.replace("FILE", "gone.json"), "6:5: the trust bundle of acme.example in /gone.json cannot be used: no such file"),
        (JWT.replace("FILE", "broken.json"), "6:5: the trust bundle of acme.example in /broken.json cannot be used: it is"),
        (JWT.replace("FILE", "empty.json"), "6:5: /empty.json holds no key for JWT-SVIDs of acme.example (use: jwt-svid)"),
        (JWT.replace("FILE", "own.pem"), "6:5: /own.pem holds no key for JWT-SVIDs of acme.example"),
        (X509.replace("FILE", "jwt.json"), "6:5: /jwt.json holds no certificate for X.509-SVIDs of acme.example"),
        (OIDC.replace("WHAT", "jwks: {file: gone.json}"), "6:5: the issuer's key set in /gone.json cannot be used"),
        (OIDC.replace("WHAT", "jwks: {ca: gone.pem}"), "6:5: /gone.pem cannot be used as ca"),
        (OIDC.replace("WHAT", "review: {ca: own.pem, bearer: gone}"), "6:5: /gone cannot be read as a file with one token"),
        (DOORWARD, "6:5: this Doorward is no other: the issuer is its own"),
        (GITHUB, "GitHub Actions gives tokens to everybody, and `require` is missing: compare claims.repository_owner_id"),
        ("spiffe_jwt: {trust_domain: a, audience: d, bundle: {}}", "exactly one of file, url and workload_api"),
        (JWT.replace("FILE", "jwt.json") + "\n    mints: spiffe://other.example/*", "mints is outside the trust domain"),
        ("unix: {users: {nobody-is-called-so: spiffe://a/b}}", "this machine has no user nobody-is-called-so"),
    ],
)
def test_a_mistake_is_told_at_its_place(flaws: Flaws, identity: str, told: str) -> None:
    """With the file that is meant, and what to do."""
    found = flaws(identity)
    assert any(told in each for each in found), found
    assert all(re.match(r"\d+:\d+: ", each) for each in found)


@pytest.mark.parametrize(
    ("listen", "tls", "told"),
    [
        ("['127.0.0.1:0', 'unix:a.sock']", "", "6:5: client certificates are shown over the TLS of the authority"),
        ("['unix:a.sock']", "", "6:5: client certificates are shown over the TLS of the authority"),
        ("['unix:a.sock']", TLS, "6:5: client certificates are shown over TLS, and `authority.listen` names only Unix"),
    ],
)
def test_certificates_need_a_listener_that_asks_for_them(flaws: Flaws, listen: str, tls: str, told: str) -> None:
    """Or nobody could ever show one."""
    found = flaws(X509.replace("FILE", "bundle.json"), tls, listen)
    assert any(each.startswith(told) for each in found), found


def test_users_need_a_unix_socket(flaws: Flaws) -> None:
    """The kernel says who calls nowhere else."""
    found = flaws("unix: {users: {'4000000': spiffe://a/b}}", TLS, "['127.0.0.1:0']")
    assert found == [
        "6:5: the kernel tells users on Unix sockets alone; add one to `authority.listen`: unix:var/authority.sock"
    ]


def test_grpc_that_is_missing_is_told(flaws: Flaws, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(workload_api, "find_spec", lambda _name: None)
    (found,) = flaws(SOCKET)
    assert found == "6:5: a bundle from a SPIFFE agent needs grpcio and protobuf: pip install 'doorward[spiffe]'"


def test_both_kinds_of_svid_are_of_the_same_agents(flaws: Flaws) -> None:
    """One trust domain may have an identity for each, with `mints` or without; another kind may not mint the same agents."""
    svids = [JWT.replace("FILE", "bundle.json"), X509.replace("FILE", "bundle.json")]
    for mints in ("", "\n    mints: spiffe://acme.example/ns/*"):
        assert flaws(f"{svids[0]}{mints}\n  two:\n    {svids[1]}{mints}", agents="spiffe://acme.example/ns/*") == []
    oidc = OIDC.replace("WHAT", "jwks: {file: jwt.json}").replace("spiffe://a/*", "spiffe://acme.example/ns/*")
    (found,) = flaws(f"{svids[0]}\n  two:\n    {oidc}", agents="spiffe://acme.example/ns/*")
    assert found.endswith("identity 'one' mints the same agents; each agent comes from one identity")


def test_a_trust_domain_mints_what_grants_name(flaws: Flaws) -> None:
    """Without `mints` it is all of it, and nothing outside."""
    svid = JWT.replace("FILE", "bundle.json")
    assert flaws(svid, agents="spiffe://acme.example/any") == []
    (found,) = flaws(svid, agents="spiffe://other.example/any")
    assert "no identity mints 'spiffe://other.example/any'" in found
