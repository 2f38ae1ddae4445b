"""What every identity provider of the registry promises, whichever it is."""

import asyncio
import re
import textwrap
from importlib import import_module
from typing import Any

import pytest
import yaml

from gateway.http.tls_peer import PeerCertificate
from gateway.identity.provider import (
    ACCESS_TOKEN_TYPE,
    JWT_TYPE,
    MTLS_PEER_TYPE,
    UNIX_PEER_TYPE,
    IdentityRefusedError,
    Peer,
    Presented,
    Provider,
    ProviderConfig,
    Tools,
)
from gateway.identity.providers import PROVIDERS
from gateway.identity.rules import IdentityRule
from gateway.settings.schema import meanings

CANARY = "canary-of-a-secret"
HOSTILE = [
    None,
    "",
    "peer",
    CANARY,
    f"{CANARY}.{CANARY}.{CANARY}",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
    "x" * 100_000,
    "\x00\ud800",
]


def example(name: str) -> dict[str, Any]:
    """The one identity in the YAML example of the provider's docstring."""
    documentation = import_module(f"gateway.identity.providers.{name}").__doc__ or ""
    (identities,) = yaml.load(textwrap.dedent(documentation.split("\n\n", 1)[1]), yaml.BaseLoader).values()  # noqa: S506 the loader that makes only texts
    (identity,) = identities.values()
    assert isinstance(identity, dict)
    return identity


@pytest.fixture(params=sorted(PROVIDERS))
def name(request: pytest.FixtureRequest) -> str:
    """Each provider of the registry."""
    return str(request.param)


@pytest.fixture
def provider(name: str, tools: Tools) -> Provider:
    """The provider of the documented example; its users are root, who is on every machine."""
    written = example(name)
    if "users" in written[name]:
        written[name]["users"] = {"root": "spiffe://acme.example/host/root"}
    rule = IdentityRule.model_validate(written)
    return PROVIDERS[name].build(rule.choice.config, "the name", tools)


def test_the_documented_example_is_a_valid_identity(name: str) -> None:
    """What the reference shows can be copied."""
    rule = IdentityRule.model_validate(example(name))
    assert rule.choice.name == name
    assert rule.patterns


def test_a_provider_says_what_it_trusts(name: str) -> None:
    """One sentence for the reference."""
    assert re.fullmatch(r"Trusts [^.]+\.", PROVIDERS[name].posture)
    assert issubclass(PROVIDERS[name].config, ProviderConfig)


def test_every_field_is_documented(name: str) -> None:
    """Field docstrings are the reference documentation."""
    config = PROVIDERS[name].config
    assert {field for field, meaning in meanings(config) if meaning} == config.model_fields.keys()


def test_a_provider_takes_a_known_type_of_proof(provider: Provider) -> None:
    """Types are URIs, and there is at least one."""
    assert provider.token_types
    assert all(token_type.startswith("urn:") for token_type in provider.token_types)


@pytest.mark.parametrize("token", HOSTILE)
@pytest.mark.parametrize("peer", [None, Peer(1, 4_000_000_000, 4_000_000_000)])
@pytest.mark.parametrize("certificate", [None, PeerCertificate(CANARY.encode(), (CANARY.encode(),))])
@pytest.mark.parametrize("token_type", [JWT_TYPE, UNIX_PEER_TYPE, MTLS_PEER_TYPE, ACCESS_TOKEN_TYPE, "", CANARY])
async def test_every_refusal_is_one_sentence_without_the_proof(
    provider: Provider, token: str | None, peer: Peer | None, token_type: str, certificate: PeerCertificate | None
) -> None:
    """Nothing hostile is accepted, nothing but a refusal is raised, and what was presented is not repeated."""
    with pytest.raises(IdentityRefusedError) as caught:
        await provider.verify(Presented(token, token_type, peer, certificate))
    assert caught.value.sentence
    assert CANARY not in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_what_was_never_asked_has_no_trouble(provider: Provider) -> None:
    """Operators are told of what failed, not of what nobody has needed yet."""
    assert provider.trouble() is None


async def test_what_was_never_asked_is_closed_all_the_same(provider: Provider) -> None:
    """A configuration that is given up closes what it has built, and a second time does no harm."""
    provider.close()
    provider.close()


async def test_it_takes_certificates_or_says_that_it_takes_none(provider: Provider) -> None:
    """The listener asks clients for certificates only if somebody has a use for them."""
    assert (provider.roots() is None) == (MTLS_PEER_TYPE not in provider.token_types)
    provider.close()
    await asyncio.sleep(0)
