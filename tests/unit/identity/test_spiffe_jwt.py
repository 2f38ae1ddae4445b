"""Workloads known by a JWT-SVID: whose bundle counts, how it changes, and what go-spiffe's rules demand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes.spiffe import PATH, TrustDomain, b64
from pydantic import ValidationError

from gateway.identity.kept import FRESH, INTERVAL, STALE
from gateway.identity.provider import JWT_TYPE, IdentityRefusedError, IdentityUnavailableError, Presented, Provider, Tools
from gateway.identity.providers.spiffe_jwt import Config, build

Make = Callable[..., Provider]


@pytest.fixture
def acme(clock: Any) -> TrustDomain:
    """A trust domain whose clock is that of the test."""
    return TrustDomain("acme.example", clock.now())


@pytest.fixture
def make(acme: TrustDomain, tools: Tools, tmp_path: Path) -> Make:
    """Build a provider for it, with its bundle in a file, and some of its configuration replaced."""
    acme.write(tmp_path / "bundle.json")
    basis = {"trust_domain": acme.name, "bundle": {"file": "bundle.json"}, "audience": "doorward"}
    return lambda **other: build(Config.model_validate({**basis, **other}), "mesh", tools)


async def refusal(provider: Provider, token: str) -> str:
    with pytest.raises(IdentityRefusedError) as caught:
        await provider.verify(Presented(token, JWT_TYPE))
    return caught.value.sentence


async def test_a_good_svid_names_its_workload(make: Make, acme: TrustDomain, clock: Any) -> None:
    """By its sub; the identity ends with it, and its other claims are there for policy."""
    identity = await make().verify(Presented(acme.jwt_svid(team="billing"), JWT_TYPE))
    assert (identity.agent, identity.provider) == (f"spiffe://acme.example{PATH}", "mesh")
    assert (identity.expires, identity.claims["team"]) == (clock.now() + 300, "billing")


@pytest.mark.parametrize("typ", ["JWT", "JOSE", None])
async def test_a_typ_is_jwt_or_jose_or_absent(make: Make, acme: TrustDomain, typ: str | None) -> None:
    """JWT-SVID §2.3."""
    assert await make().verify(Presented(acme.jwt_svid(header={"typ": typ}), JWT_TYPE))


@pytest.mark.parametrize("iss", [None, "https://spire.acme.example", "spiffe://other.example"])
async def test_an_issuer_changes_nothing(make: Make, acme: TrustDomain, iss: str | None) -> None:
    """Trust follows from the trust domain of sub; iss is optional and says nothing (JWT-SVID §3)."""
    assert (await make().verify(Presented(acme.jwt_svid(iss=iss), JWT_TYPE))).agent.startswith("spiffe://acme.example/")


@pytest.mark.parametrize("audience", ["doorward", ["doorward"], ["other", "doorward"]])
async def test_any_audience_may_match(make: Make, acme: TrustDomain, audience: Any) -> None:
    """One of them has to be this authority."""
    assert await make().verify(Presented(acme.jwt_svid(aud=audience), JWT_TYPE))


async def test_an_rsa_key_serves_one_algorithm(make: Make, acme: TrustDomain, tmp_path: Path) -> None:
    """RS256, unless the operator says another; a JWK with an alg serves that one."""
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "rsa", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB", "use": "jwt-svid"}
    claims = jwt.decode(acme.jwt_svid(), options={"verify_signature": False})
    signed = {name: jwt.encode(claims, key, name, headers={"kid": "rsa"}) for name in ("RS256", "PS256")}
    (tmp_path / "bundle.json").write_text(json.dumps({"keys": [jwk]}))
    assert await make().verify(Presented(signed["RS256"], JWT_TYPE))
    assert "another algorithm than its key" in await refusal(make(), signed["PS256"])
    assert await make(algorithms=["PS256"]).verify(Presented(signed["PS256"], JWT_TYPE))
    (tmp_path / "bundle.json").write_text(json.dumps({"keys": [{**jwk, "alg": "PS256"}]}))
    assert await make().verify(Presented(signed["PS256"], JWT_TYPE))


async def test_a_bundle_is_read_again_when_it_changes(make: Make, acme: TrustDomain, tmp_path: Path) -> None:
    """A rotated key counts with the next SVID, and the one before no more; an emptied bundle ends everything."""
    provider = make()
    old = acme.jwt_svid()
    assert await provider.verify(Presented(old, JWT_TYPE))
    acme.rotate("jwt-2")
    acme.write(tmp_path / "bundle.json")
    assert await provider.verify(Presented(acme.jwt_svid(), JWT_TYPE))
    assert "not in its trust domain's bundle" in await refusal(provider, old)
    (tmp_path / "bundle.json").write_text('{"keys": []}')
    assert "not in its trust domain's bundle" in await refusal(provider, acme.jwt_svid())


async def test_a_broken_bundle_serves_on_for_a_bounded_time(make: Make, acme: TrustDomain, tmp_path: Path, clock: Any) -> None:
    """Then nobody is known any more, and it is said to be no fault of the SVID."""
    provider = make(max_lifetime="1d")
    (tmp_path / "bundle.json").write_text("{")
    svid = acme.jwt_svid(exp=int(clock.now() + 4000))
    clock.seconds += STALE
    assert await provider.verify(Presented(svid, JWT_TYPE))
    clock.seconds += 1
    with pytest.raises(IdentityUnavailableError, match="cannot be read from its file any more"):
        await provider.verify(Presented(svid, JWT_TYPE))


class Endpoint:
    """A bundle endpoint on loopback."""

    def __init__(self, acme: TrustDomain) -> None:
        self.acme, self.asked, self.status, self.url = acme, 0, 200, ""
        self.document: dict[str, Any] | None = None

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.document or self.acme.bundle(), status=self.status)


@pytest.fixture
async def endpoint(acme: TrustDomain) -> Any:
    """It gives the bundle as it is now."""
    made = Endpoint(acme)
    application = web.Application()
    application.router.add_get("/bundle.json", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/bundle.json"
    yield made
    await runner.cleanup()


async def test_a_bundle_endpoint_is_asked_when_it_is_needed(
    make: Make, acme: TrustDomain, endpoint: Endpoint, clock: Any
) -> None:
    """Once for many SVIDs; a new key is fetched at once, though not more than once an interval, and a removed one goes."""
    provider = make(bundle={"url": endpoint.url})
    assert endpoint.asked == 0
    old = acme.jwt_svid(exp=int(clock.now() + 4000))
    for _ in range(5):
        assert await provider.verify(Presented(old, JWT_TYPE))
    assert endpoint.asked == 1
    acme.rotate("jwt-2")
    assert "not in its trust domain's bundle" in await refusal(provider, acme.jwt_svid())
    clock.seconds += INTERVAL
    assert await provider.verify(Presented(acme.jwt_svid(), JWT_TYPE))
    assert "not in its trust domain's bundle" in await refusal(provider, old)
    clock.seconds += FRESH
    assert await provider.verify(Presented(acme.jwt_svid(exp=int(clock.now() + 60)), JWT_TYPE))
    assert endpoint.asked == 3


async def test_an_endpoint_that_fails_leaves_its_bundle_for_a_bounded_time(
    make: Make, acme: TrustDomain, endpoint: Endpoint, clock: Any
) -> None:
    """The last good one serves on, then none, and it says why."""
    provider = make(bundle={"url": endpoint.url}, max_lifetime="1d")
    svid = acme.jwt_svid(exp=int(clock.now() + 8000))
    assert await provider.verify(Presented(svid, JWT_TYPE))
    endpoint.status = 503
    clock.seconds += STALE
    assert await provider.verify(Presented(svid, JWT_TYPE))
    clock.seconds += INTERVAL
    with pytest.raises(IdentityUnavailableError, match=r"of acme\.example cannot be had: the bundle endpoint .* status 503"):
        await provider.verify(Presented(svid, JWT_TYPE))


async def test_an_older_bundle_never_follows_a_newer_one(make: Make, acme: TrustDomain, endpoint: Endpoint, clock: Any) -> None:
    """An endpoint that was set back, or whoever plays an old answer again, brings no removed key back."""
    provider = make(bundle={"url": endpoint.url}, max_lifetime="1d")
    old, before = acme.jwt_svid(exp=int(clock.now() + 4000)), acme.bundle()
    acme.rotate("jwt-2")
    assert await provider.verify(Presented(acme.jwt_svid(), JWT_TYPE))
    endpoint.document = before
    clock.seconds += FRESH
    assert "not in its trust domain's bundle" in await refusal(provider, old)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bundle": {}}, "exactly one of file, url and workload_api"),
        ({"bundle": {"file": "a", "url": "https://a.example"}}, "exactly one of file, url and workload_api"),
        ({"bundle": {"file": "a", "ca": "b"}}, "`ca` is for a bundle from a url"),
        ({"bundle": {"url": "http://bundle.example"}}, "a trust bundle is asked over https"),
        ({"bundle": {"workload_api": "tcp://127.0.0.1:8081"}}, "expected unix: and the path"),
        ({"bundle": {"workload_api": "unix:"}}, "expected unix: and the path"),
        ({"bundle": {"workload_api": "unix:/" + "a" * 100}}, "expected unix: and the path"),
        ({"trust_domain": "spiffe://acme.example"}, "expected a trust domain such as acme.example"),
        ({"trust_domain": "ACME.example"}, "expected a trust domain"),
        ({"trust_domain": ""}, "expected a trust domain"),
        ({"audience": ""}, "at least 1"),
        ({"algorithms": ["EdDSA"]}, "a JWT-SVID is never signed with this; known: ES256"),
        ({"algorithms": ["HS256"]}, "a JWT-SVID is never signed with this"),
        ({"algorithms": []}, "at least 1"),
        ({"agent": "claims.sub"}, "Extra inputs"),
    ],
)
def test_every_mistake_is_said_in_words(make: Make, change: dict[str, Any], told: str) -> None:
    """When the configuration is read."""
    with pytest.raises(ValidationError) as caught:
        make(**change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "neither one JSON object"),
        ('{"keys": []}', r"holds no key for JWT-SVIDs of acme\.example"),
    ],
)
def test_a_bundle_that_verifies_nothing_is_a_mistake(make: Make, tmp_path: Path, content: str | None, told: str) -> None:
    """When the configuration is read; later an empty bundle is the word of its trust domain."""
    (tmp_path / "bundle.json").unlink()
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("text", ["unix:/run/spire/agent.sock", "unix:///run/spire/agent.sock"])
def test_a_socket_may_be_written_as_spiffe_does(text: str) -> None:
    """SPIFFE_ENDPOINT_SOCKET has two slashes more."""
    config = Config.model_validate({"trust_domain": "a", "bundle": {"workload_api": text}, "audience": "doorward"})
    assert config.bundle.workload_api == "/run/spire/agent.sock"


def test_a_private_authority_of_an_endpoint_is_named(acme: TrustDomain, tools: Tools) -> None:
    """By a file that is read when the configuration is."""
    rule = {"trust_domain": acme.name, "bundle": {"url": "https://127.0.0.1:1", "ca": "gone.pem"}, "audience": "doorward"}
    with pytest.raises(ValueError, match=r"gone\.pem cannot be used as ca: this is no readable file"):
        build(Config.model_validate(rule), "mesh", tools)
