"""Workloads known by a token of an OpenID Connect issuer."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.identity.claims import LEEWAY
from gateway.identity.provider import JWT_TYPE, IdentityRefusedError, Presented, Provider, Tools
from gateway.identity.providers.oidc import Config, build

AGENT = (
    '"spiffe://acme.example/ns/" + segment(claims["kubernetes.io"].namespace)'
    ' + "/sa/" + segment(claims["kubernetes.io"].serviceaccount.name)'
)


def config(published: Any, **other: Any) -> Config:
    """A configuration for the issuer, with its keys in a file."""
    basis = {"issuer": published.url, "audience": "doorward", "agent": AGENT, "jwks": {"file": "jwks.json"}}
    return Config.model_validate({name: value for name, value in {**basis, **other}.items() if value is not None})


@pytest.fixture
def make(issuer: Any, tools: Tools, tmp_path: Path) -> Any:
    """Build a provider for the issuer with some of its configuration replaced."""
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    return lambda **other: build(config(issuer, **other), "cluster", tools)


@pytest.fixture
def provider(make: Any) -> Provider:
    """A provider for the issuer."""
    built: Provider = make()
    return built


async def refusal(provider: Provider, token: str | None) -> str:
    """The sentence with which a token is refused."""
    with pytest.raises(IdentityRefusedError) as caught:
        await provider.verify(Presented(token, JWT_TYPE))
    assert token is None or len(token) < 20 or token[:20] not in caught.value.sentence
    return caught.value.sentence


async def test_a_good_token_names_its_agent(provider: Provider, issuer: Any, clock: Any) -> None:
    """The claims give the id, the provider its name, and the token the end."""
    identity = await provider.verify(Presented(issuer.token(), JWT_TYPE))
    assert identity.agent == "spiffe://acme.example/ns/agents/sa/reconciler"
    assert (identity.provider, identity.expires) == ("cluster", clock.now() + 600)
    assert identity.claims["sub"] == "system:serviceaccount:agents:reconciler"


async def test_keys_are_discovered_at_the_issuer_without_a_file(published: Any, tools: Tools) -> None:
    """Nothing but the issuer's address is needed."""
    provider = build(config(published, jwks=None), "cluster", tools)
    assert (await provider.verify(Presented(published.token(), JWT_TYPE))).agent.endswith("/sa/reconciler")


async def test_an_issuer_that_cannot_be_asked_is_a_refusal(published: Any, tools: Tools) -> None:
    """No key, no identity; the sentence says whose keys are missing."""
    published.status = 500
    provider = build(config(published, jwks=None), "cluster", tools)
    assert "cannot be had" in await refusal(provider, published.token())


async def test_the_key_of_one_issuer_cannot_vouch_for_another(provider: Provider, issuer: Any) -> None:
    """Checklist 2: the key must belong to the issuer that the token names, to the letter."""
    for name in (
        "https://other.example",
        "https://issuer.example/",
        "HTTPS://issuer.example",
        "",
        None,
        1,
        ["https://issuer.example"],
    ):
        assert await refusal(provider, issuer.token(issuer.claims(iss=name))) == "the identity token is from another issuer"
    stranger = type(issuer)()
    assert "does not verify" in await refusal(provider, stranger.token())


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "application/jwt"])
async def test_a_plain_jwt_may_say_so(provider: Provider, issuer: Any, typ: str | None) -> None:
    """The typ of an identity is absent or JWT, in any case (RFC 7519 §5.1)."""
    assert await provider.verify(Presented(issuer.token(typ=typ), JWT_TYPE))


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "secevent+jwt", "logout+jwt", "wit+jwt", "JOSE+JSON", "jwt2"])
async def test_a_token_of_another_kind_is_no_identity(provider: Provider, issuer: Any, typ: str) -> None:
    """Checklist 1: wrong typ."""
    assert "of another kind" in await refusal(provider, issuer.token(typ=typ))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"alg": "none"}, "algorithm that is not accepted; accepted: RS256, ES256"),
        ({"alg": "nOnE"}, "algorithm that is not accepted"),
        ({"alg": "HS256"}, "algorithm that is not accepted"),
        ({"alg": "RS256"}, "another algorithm than its key"),
        ({"kid": None}, "has no kid"),
        ({"kid": ""}, "has no kid"),
        ({"kid": "../../../etc/passwd"}, "does not publish"),
        ({"kid": "' OR 1=1 --"}, "does not publish"),
        ({"jku": "https://evil.example"}, "brings its own key"),
        ({"jwk": {"kty": "oct"}}, "brings its own key"),
        ({"crit": ["x"], "x": 1}, "critical extension"),
    ],
)
async def test_a_header_cannot_choose_how_it_is_verified(
    provider: Provider, issuer: Any, header: dict[str, Any], expected: str
) -> None:
    """Checklist 1: alg none and HS256, kid as a path or query, jku, jwk and crit."""
    assert expected in await refusal(provider, issuer.token(**header))


@pytest.mark.parametrize(
    "token", [None, "", "peer", "a.b", "a.b.c.d.e", '{"payload":"e30","signatures":[]}', "é.é.é", "\ud800"]
)
async def test_what_is_no_compact_token_is_refused(provider: Provider, token: str | None) -> None:
    """Checklist 1: the JSON serialisation, an encrypted token and nonsense."""
    assert "not a signed JWT in compact form" in await refusal(provider, token)


async def test_a_duplicate_member_is_refused_though_the_signature_is_good(provider: Provider, issuer: Any) -> None:
    """Checklist 1: in the header and in the claims."""
    claims = json.dumps(issuer.claims())
    twice = issuer.sign('{"alg":"ES256","kid":"first","kid":"first"}', claims)
    assert "duplicate" in await refusal(provider, twice)
    assert "duplicate" in await refusal(provider, issuer.signed(claims[:-1] + ',"aud":"doorward"}'))


@pytest.mark.parametrize("audience", ["doorward", ["doorward"], ["other", "doorward"]])
async def test_an_audience_may_stand_alone_or_in_a_list(provider: Provider, issuer: Any, audience: Any) -> None:
    """Checklist 3: RFC 7519 §4.1.3 knows both forms."""
    assert await provider.verify(Presented(issuer.token(issuer.claims(aud=audience)), JWT_TYPE))


@pytest.mark.parametrize(
    "audience",
    [
        None,
        "other",
        "Doorward",
        "doorward ",
        "",
        [],
        ["other"],
        [["doorward"]],
        ["doorward", 1],
        {"doorward": 1},
        1,
        True,
        ["doorward"] * 101,
    ],
)
async def test_a_token_for_somebody_else_is_refused(provider: Provider, issuer: Any, audience: Any) -> None:
    """Checklist 3: a missing or foreign audience, and one that is no list of texts."""
    assert "aud" in await refusal(provider, issuer.token(issuer.claims(aud=audience)))


@pytest.mark.parametrize("moment", [True, False, "1800000600", "soon", [], {}, -1, 1e300, 10**30])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
async def test_a_time_is_a_finite_number(provider: Provider, issuer: Any, name: str, moment: Any) -> None:
    """Checklist 3: no boolean, no text, nothing beyond the calendar."""
    assert f"the {name} of the identity token is not a time" in await refusal(
        provider, issuer.token(issuer.claims(**{name: moment}))
    )


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "null"])
async def test_an_expiry_that_is_no_number_is_refused(provider: Provider, issuer: Any, text: str) -> None:
    """Checklist 3: NaN and its like never reach a comparison, which they would pass; null is no time either."""
    payload = json.dumps(issuer.claims(exp=0.5)).replace("0.5", text)
    assert await refusal(provider, issuer.signed(payload))


async def test_an_expiry_has_no_leeway(make: Any, issuer: Any, clock: Any) -> None:
    """A token is good until its second of expiry and not in it."""
    provider = make()
    token = issuer.token(issuer.claims(exp=clock.now() + 10))
    clock.seconds += 9.999
    assert await provider.verify(Presented(token, JWT_TYPE))
    clock.seconds += 0.001
    assert "has expired" in await refusal(provider, token)
    assert "has no exp" in await refusal(provider, issuer.token(issuer.claims(exp=None)))


@pytest.mark.parametrize(("name", "expected"), [("iat", "in the future"), ("nbf", "not valid yet")])
async def test_an_issuer_s_clock_may_run_a_little_ahead(
    provider: Provider, issuer: Any, clock: Any, name: str, expected: str
) -> None:
    """Thirty seconds for iat and nbf, and no more."""
    assert await provider.verify(Presented(issuer.token(issuer.claims(**{name: clock.now() + LEEWAY})), JWT_TYPE))
    assert expected in await refusal(provider, issuer.token(issuer.claims(**{name: clock.now() + LEEWAY + 1})))


async def test_a_token_s_life_is_bounded(make: Any, issuer: Any, clock: Any) -> None:
    """A legacy token that lives for a year is refused, with or without a time of issue."""
    provider = make(max_lifetime="1h")
    now = clock.now()
    assert await provider.verify(Presented(issuer.token(issuer.claims(iat=now, exp=now + 3600)), JWT_TYPE))
    assert "longer than the 3600 seconds" in await refusal(provider, issuer.token(issuer.claims(iat=now - 1, exp=now + 3600)))
    assert "longer than the 3600 seconds" in await refusal(provider, issuer.token(issuer.claims(iat=None, exp=now + 3601)))
    assert "longer than the 86400 seconds" in await refusal(make(), issuer.token(issuer.claims(exp=now + 86401)))


@pytest.mark.parametrize("subject", [None, "", 1, []])
async def test_a_token_has_a_subject(provider: Provider, issuer: Any, subject: Any) -> None:
    """A token about nobody is no identity."""
    assert "has no sub" in await refusal(provider, issuer.token(issuer.claims(sub=subject)))


@pytest.mark.parametrize("namespace", ["a/b", "..", ".", "", "a b", "a%2fb", "a\n", "a\x00b", "ä", 1, None, ["a"], "a" * 3000])
async def test_a_claim_cannot_reach_another_path(provider: Provider, issuer: Any, namespace: Any) -> None:
    """segment() takes one legal segment and nothing else, so a namespace cannot name another's agents."""
    claims = issuer.claims(**{"kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": "x"}}})
    assert "name no agent" in await refusal(provider, issuer.token(claims))


async def test_an_agent_is_a_whole_spiffe_id(make: Any, issuer: Any) -> None:
    """Whatever the expression gives is checked, also without segment()."""
    provider = make(agent="claims.sub")
    assert "begins with spiffe://" in await refusal(provider, issuer.token())
    assert "gave int, not string" in await refusal(make(agent="claims.number"), issuer.token(issuer.claims(number=1)))
    identity = await provider.verify(Presented(issuer.token(issuer.claims(sub="spiffe://a/b")), JWT_TYPE))
    assert identity.agent == "spiffe://a/b"


async def test_a_requirement_must_be_met(make: Any, issuer: Any) -> None:
    """False is a refusal, and so is a requirement that cannot be evaluated."""
    required = 'claims["kubernetes.io"].namespace in ["agents"]'
    assert await make(require=required).verify(Presented(issuer.token(), JWT_TYPE))
    other = issuer.token(issuer.claims(**{"kubernetes.io": {"namespace": "other", "serviceaccount": {"name": "x"}}}))
    assert "does not meet" in await refusal(make(require=required), other)
    assert "name no agent" in await refusal(make(require="claims.missing == 1"), issuer.token())
    assert "gave string, not bool" in await refusal(make(require="claims.sub"), issuer.token())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"algorithms": ["HS256"]}, "known: ES256"),
        ({"algorithms": ["none"]}, "known: ES256"),
        ({"algorithms": []}, "at least 1"),
        ({"issuer": "http://issuer.example"}, "over https"),
        ({"audience": ""}, "at least 1"),
        ({"agent": '"spiffe://acme.example/everyone"'}, "reads no claim"),
        ({"agent": "claims."}, "line 1, column 8"),
        ({"agent": "claims.size()"}, "gives int, but string is needed"),
        ({"require": "true"}, "reads no claim"),
        ({"require": "claim.sub == 'x'"}, "undeclared reference to 'claim.sub' (line 1, column 6"),
        ({"require": "claims.sub.size()"}, "but bool is needed"),
        ({"jwks": {"url": "x"}}, "a key set has a URL"),
        ({"jwks": {"file": "a", "url": "https://a.example"}}, "neither `url` nor `ca`"),
        ({"jwks": {"bearer": "token"}}, "`bearer` needs `url`"),
        ({"max_lifetime": 5}, "expected a duration"),
        ({"leeway": "30s"}, "Extra inputs"),
    ],
)
def test_a_provider_that_checks_nothing_or_too_little_cannot_be_configured(
    issuer: Any, change: dict[str, Any], expected: str
) -> None:
    """Every mistake is found when the configuration is read, and said in words."""
    with pytest.raises(ValidationError) as caught:
        config(issuer, **change)
    assert expected in str(caught.value)


def test_a_missing_file_of_keys_is_found_when_it_is_built(issuer: Any, tools: Tools) -> None:
    """The sentence names the file."""
    with pytest.raises(ValueError, match=r"jwks\.json cannot be used: no such file"):
        build(config(issuer), "cluster", tools)
