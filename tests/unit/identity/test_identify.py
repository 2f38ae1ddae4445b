"""How the provider of a proof is found, what it may vouch for, and how an identity is written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.cli.schema import schema_text
from gateway.identity.identify import Identities, Minter
from gateway.identity.provider import (
    ID_TOKEN_TYPE,
    JWT_TYPE,
    MTLS_PEER_TYPE,
    UNIX_PEER_TYPE,
    Identity,
    IdentityRefusedError,
    Peer,
    Presented,
    Tools,
)
from gateway.identity.providers import PROVIDERS, oidc, unix
from gateway.identity.rules import IdentityRule
from gateway.model import AgentPattern

OIDC = {"issuer": "https://issuer.example", "audience": "doorward", "agent": '"spiffe://acme.example/" + claims.sub'}
UNIX = {"users": {"54321": "spiffe://acme.example/host/alice"}}


def minter(tools: Tools, path: Path, issuer: Any, mints: str) -> Minter:
    """An OIDC provider of this issuer, held to a pattern."""
    path.write_bytes(issuer.jwks())
    config = oidc.Config.model_validate({**OIDC, "issuer": issuer.url, "jwks": {"file": str(path)}})
    return Minter(oidc.build(config, path.stem, tools), (AgentPattern.parse(mints),))


@pytest.fixture
def other(issuer: Any) -> Any:
    """Another issuer, whose key has the same kid."""
    other = type(issuer)()
    other.url = "https://other.example"
    return other


@pytest.fixture
def identities(tools: Tools, tmp_path: Path, issuer: Any, other: Any) -> Identities:
    """Two issuers and the users of this machine."""
    host = unix.Config.model_validate(UNIX)
    return Identities(
        {
            "cluster": minter(tools, tmp_path / "cluster", issuer, "spiffe://acme.example/ns/*"),
            "ci": minter(tools, tmp_path / "ci", other, "spiffe://acme.example/ci/*"),
            "host": Minter(unix.build(host, "host", tools), host.implied()),
        }
    )


async def refusal(identities: Identities, presented: Presented) -> str:
    """The sentence of a refusal."""
    with pytest.raises(IdentityRefusedError) as caught:
        await identities.identify(presented)
    return caught.value.sentence


async def test_the_issuer_of_a_token_selects_its_provider(identities: Identities, issuer: Any, other: Any) -> None:
    """Each issuer's tokens are verified with its own keys, under both names for a JWT."""
    for token_type in (JWT_TYPE, ID_TOKEN_TYPE):
        first = await identities.identify(Presented(issuer.token(issuer.claims(sub="ns/a")), token_type))
        second = await identities.identify(Presented(other.token(other.claims(sub="ci/b")), token_type))
        assert (first.provider, second.provider) == ("cluster", "ci")
    peer = await identities.identify(Presented("peer", UNIX_PEER_TYPE, Peer(1, 54321, 0)))
    assert peer.agent == "spiffe://acme.example/host/alice"


async def test_the_unverified_issuer_is_only_a_lookup_key(identities: Identities, issuer: Any, other: Any) -> None:
    """Checklist 2: a token that names issuer A and is signed by B is refused, though B is trusted and the kid is the same."""
    forged = other.token(issuer.claims(sub="ns/a"))
    assert "does not verify" in await refusal(identities, Presented(forged, JWT_TYPE))


async def test_a_provider_may_vouch_only_for_its_own_agents(identities: Identities, issuer: Any) -> None:
    """Outside mints, even a verified token is refused; a prefix of a name is no path boundary."""
    for subject in ("ci/b", "host/alice", "ns2/a", "ns"):
        assert "outside its mints" in await refusal(identities, Presented(issuer.token(issuer.claims(sub=subject)), JWT_TYPE))
    assert "no agent" in await refusal(identities, Presented(issuer.token(issuer.claims(sub="ns/../ci/b")), JWT_TYPE))


async def test_a_provider_s_word_is_checked_too() -> None:
    """Whatever a provider says, an agent is a SPIFFE ID before it is compared with mints."""

    class Careless:
        token_types = frozenset((UNIX_PEER_TYPE,))
        issuer = None

        async def verify(self, _presented: Presented) -> Identity:
            return Identity("spiffe://acme.example/ns/../ci", "careless", {}, None)

    careless = Identities({"careless": Minter(Careless(), (AgentPattern.parse("spiffe://acme.example/ns/*"),))})
    assert "careless gave no agent" in await refusal(careless, Presented("peer", UNIX_PEER_TYPE))


@pytest.mark.parametrize("name", ["https://nobody.example", "", None, 1, ["https://issuer.example"], {}])
async def test_an_unknown_issuer_is_refused(identities: Identities, issuer: Any, name: Any) -> None:
    """Whatever a token puts in iss, nobody answers for it."""
    sentence = await refusal(identities, Presented(issuer.token(issuer.claims(iss=name)), JWT_TYPE))
    assert sentence == "no identity provider is configured for the issuer of this token"


async def test_an_unknown_type_is_refused_with_those_that_are_known(identities: Identities) -> None:
    """A caller learns what it could present instead."""
    sentence = await refusal(identities, Presented("x", "urn:ietf:params:oauth:token-type:saml2"))
    assert sentence.endswith(f"accepted: {UNIX_PEER_TYPE}, {ID_TOKEN_TYPE}, {JWT_TYPE}")
    assert (await refusal(Identities({}), Presented("x", UNIX_PEER_TYPE))).endswith("accepted: none")


async def test_what_is_no_token_is_refused_before_anyone_is_asked(identities: Identities) -> None:
    """The reading itself refuses."""
    for token in (None, "", "a.b.c", "x" * 9000):
        assert (await refusal(identities, Presented(token, JWT_TYPE))).startswith("the identity token")


def test_nothing_secret_shows_in_a_repr() -> None:
    """What is presented is a credential."""
    assert "canary" not in repr(Presented("canary", JWT_TYPE, Peer(1, 2, 3)))


def test_two_identities_cannot_claim_one_agent_or_one_proof(tools: Tools, tmp_path: Path, issuer: Any, other: Any) -> None:
    """Overlapping mints and a shared issuer are refused when the configuration is compiled."""
    first = minter(tools, tmp_path / "a", issuer, "spiffe://acme.example/ns/*")
    within = minter(tools, tmp_path / "b", other, "spiffe://acme.example/ns/x")
    same = minter(tools, tmp_path / "c", issuer, "spiffe://acme.example/c/*")
    with pytest.raises(ValueError, match="identities a and b could both vouch for one agent"):
        Identities({"a": first, "b": within})
    with pytest.raises(ValueError, match="identities a and c verify the same tokens"):
        Identities({"a": first, "c": same})
    with pytest.raises(ValueError, match="vouches for no agent"):
        Identities({"a": Minter(first.provider, ())})


def test_an_identity_is_written_as_one_provider_beside_its_mints() -> None:
    """As in the design: the provider is a key, and mints stands beside it."""
    rule = IdentityRule.model_validate({"oidc": OIDC, "mints": "spiffe://acme.example/ns/*"})
    assert (rule.choice.name, rule.choice.config.audience) == ("oidc", "doorward")
    assert rule.patterns == (AgentPattern("spiffe://acme.example/ns/", below=True),)


def test_the_listed_users_are_what_unix_vouches_for() -> None:
    """A list of users implies mints, which may be left out, and if it is given, nobody stands outside it."""
    rule = IdentityRule.model_validate({"unix": UNIX, "same_user": True})
    assert rule.patterns == (AgentPattern("spiffe://acme.example/host/alice", below=False),)
    assert IdentityRule.model_validate({"unix": UNIX, "mints": "spiffe://acme.example/*"}).patterns == rule.patterns


@pytest.mark.parametrize(
    ("written", "place", "expected"),
    [
        ({}, (), "expected exactly one identity provider; known: doorward, oidc, spiffe_jwt,"),
        ({"mints": "spiffe://a/*"}, (), "expected exactly one identity provider"),
        ({"oidc": OIDC, "unix": UNIX}, (), "expected exactly one identity provider"),
        ({"oicd": OIDC, "mints": "spiffe://a/*"}, ("oicd",), "Extra inputs are not permitted"),
        ({"oidc": OIDC}, (), "mints is missing"),
        ({"oidc": {**OIDC, "issuer": "x"}, "mints": "spiffe://a/*"}, ("oidc", "issuer"), "at least 8"),
        ({"oidc": OIDC, "mints": "spiffe://a"}, ("mints",), "has a path"),
        ({"oidc": OIDC, "mints": "*"}, ("mints",), "begins with spiffe://"),
        ({"unix": UNIX, "mints": "spiffe://acme.example/ns/*"}, (), "a listed agent is outside mints"),
        ({"oidc": OIDC, "mints": "spiffe://a/*", "same_user": True}, (), "same_user is only for providers that list users"),
        ("oidc", (), "valid dictionary"),
        ({"oidc": None, "mints": "spiffe://a/*"}, ("oidc",), "valid dictionary"),
    ],
)
def test_every_mistake_in_an_identity_has_its_place(written: Any, place: tuple[str, ...], expected: str) -> None:
    """The path leads to the key that is wrong, without a level that the operator did not write."""
    with pytest.raises(ValidationError) as caught:
        IdentityRule.model_validate(written)
    assert [(error["loc"], expected in error["msg"]) for error in caught.value.errors()] == [(place, True)]


def test_the_schema_names_every_provider() -> None:
    """What editors complete comes from the registry."""
    schema = json.dumps(TypeAdapter(dict[str, IdentityRule]).json_schema())
    for name in PROVIDERS:
        assert f'"{name}"' in schema
    assert "How agents prove what they are" in schema
    assert "segment(text)" in schema_text()


def test_an_agent_that_is_doorward_s_own_user_must_be_accepted_knowingly() -> None:
    """There is no isolation between processes of one user, so the operator has to say that it is known."""
    users = {"unix": {"users": {str(os.getuid()): "spiffe://acme.example/host/me"}}}
    with pytest.raises(ValueError, match="accept it with same_user: true"):
        IdentityRule.model_validate(users).check_isolation({os.getuid()})
    IdentityRule.model_validate({**users, "same_user": True}).check_isolation({os.getuid()})
    IdentityRule.model_validate(users).check_isolation({os.getuid() + 1})
    IdentityRule.model_validate({"oidc": OIDC, "mints": "spiffe://a/*"}).check_isolation({os.getuid()})


def test_identities_of_two_tenants_share_no_agent(tools: Tools, tmp_path: Path, issuer: Any) -> None:
    """Not even those of one trust domain, which are the same agents within one tenant."""
    first = minter(tools, tmp_path / "a", issuer, "spiffe://acme.example/*")

    class Peers:
        """Of the same issuer, for another type of proof."""

        token_types = frozenset((MTLS_PEER_TYPE,))
        issuer = first.provider.issuer

    for tenant, fits in (("acme", True), ("globex", False)):
        named = {"a": Minter(first.provider, first.mints, "acme"), "b": Minter(Peers(), first.mints, tenant)}  # type: ignore[arg-type]
        if fits:
            Identities(named)
            continue
        with pytest.raises(ValueError, match="could both vouch"):
            Identities(named)


async def test_the_tenant_is_that_of_the_provider(tools: Tools, tmp_path: Path, issuer: Any) -> None:
    """Whatever the token says of it."""
    known = minter(tools, tmp_path / "a", issuer, "spiffe://acme.example/*")
    identities = Identities({"a": Minter(known.provider, known.mints, "acme")})
    identity = await identities.identify(Presented(issuer.token(issuer.claims(sub="x", tenant="globex")), JWT_TYPE))
    assert identity.tenant == "acme"
