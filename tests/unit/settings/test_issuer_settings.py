"""What `doorward check` says of further issuers: whom they speak for, and whether they can be told apart and reached."""

import json
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from test_tls_settings import BASE, NOW

from gateway.errors import ConfigurationError
from gateway.identity.issuers import MOST_FURTHER
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import load_text

FILES = "certificate: own.pem, key: own.key, ca: ca.pem"
GOOD = f"remote: https://partner.test, {FILES}, tenants: [acme]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a certificate with its key, and who has signed it."""
    Certificates(tmp_path).write("own", "doorward.test")
    return tmp_path


def compiled(folder: Path, issuers: str) -> Compiled:
    return compile_configuration(load_text(f"{BASE}issuers: {{{issuers}}}\n", folder / "doorward.yaml", {}), NOW)


def flaws(folder: Path, issuers: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        compiled(folder, issuers)
    return [flaw.message for flaw in caught.value.flaws]


def test_a_partner_is_told_as_issuer_where_it_speaks_for_the_tenant(folder: Path) -> None:
    """The metadata of an upstream names the gateway's own authority first (RFC 9728 §2)."""
    made = compiled(folder, f"partner: {{{GOOD}}}, second: {{remote: 'unix:b.sock', issuer: 'http://b.test', tenants: [acme]}}")
    (document,) = made.routes._documents.values()
    assert json.loads(document)["authorization_servers"] == ["https://doorward.test", "https://partner.test", "http://b.test"]


@pytest.mark.parametrize(
    ("issuers", "told"),
    [
        (f"partner: {{{GOOD.replace('acme', 'globex')}}}", "there is no tenant 'globex' here"),
        (f"partner: {{{GOOD}, issuer: 'https://doorward.test'}}",
         "the authority of this gateway calls itself so too, and nobody could say whose a token is"),
        (f"one: {{{GOOD}}}, two: {{{GOOD}}}", "issuer 'one' calls itself so too, and nobody could say whose a token is"),
        (f"authority: {{{GOOD}}}", "metrics call the authority of this gateway so; choose another name"),
        (f"partner: {{{GOOD.replace('ca.pem', 'gone.pem')}}}", "this is no readable file of PEM certificates"),
        ("partner: {remote: https://partner.test, tenants: [acme]}",
         "an authority is followed with a client certificate: `certificate` and `key` are missing"),
        ("partner: {remote: 'unix:b.sock', tenants: [acme]}",
         "say with `issuer` what the authority behind the socket calls itself"),
        (f"partner: {{remote: 'unix:b.sock', issuer: 'http://b.test', {FILES}, tenants: [acme]}}",
         "`ca` is of no use on a Unix socket, where users are known by the kernel"),
        (f"partner: {{{GOOD}, agents: []}}", "the list is empty or too short; it takes at least 1"),
        (f"partner: {{{GOOD}, algorithms: []}}", "the list is empty or too short; it takes at least 1"),
        (f"partner: {{{GOOD.replace('[acme]', '[]')}}}", "the list is empty or too short; it takes at least 1"),
        (f"partner: {{{GOOD}, algorithms: [HS256]}}", "expected ES256, EdDSA or RS256, not 'HS256'"),
        (f"partner: {{{GOOD}, agents: [everybody]}}", "a SPIFFE ID begins with spiffe://"),
        (f"partner: {{{GOOD.replace('https', 'http')}}}",
         "expected https:// and the address of an authority, or unix: and the path of its socket"),
    ],
)  # fmt: skip
def test_an_issuer_that_is_wrong_is_told_at_its_place(folder: Path, issuers: str, told: str) -> None:
    """Nothing is followed whose tokens nobody could judge."""
    (flaw,) = flaws(folder, issuers)
    assert told in flaw


def test_an_issuer_that_may_name_every_agent_is_warned_of(folder: Path) -> None:
    """Whoever runs it could name the agents of others; to let it do so on purpose is written down."""
    (told,) = compiled(folder, f"partner: {{{GOOD}}}").warnings
    assert told.startswith("issuer partner may name every agent of its tenants, those of others too; ")
    assert compiled(folder, f"partner: {{{GOOD}, agents: ['spiffe://acme.example/*']}}").warnings == ()


def test_how_many_issuers_there_may_be_is_bounded(folder: Path) -> None:
    """Each is a line, and memory for what it revokes."""

    def many(count: int) -> str:
        each = "remote: 'unix:b.sock', issuer: 'http://b{0}.test', tenants: [acme]"
        return ", ".join(f"i{number}: {{{each.format(number)}}}" for number in range(count))

    assert compiled(folder, many(MOST_FURTHER))
    (flaw,) = flaws(folder, many(MOST_FURTHER + 1))
    assert f"at most {MOST_FURTHER}" in flaw


TENANTS = """version: 1
tenants:
  acme: {identities: [one], include: [acme.yaml]}
  globex: {identities: [two], include: [globex.yaml]}
identities:
  one: {spiffe_jwt: {trust_domain: acme.example, bundle: {file: bundle.json}, audience: d}}
  two: {spiffe_jwt: {trust_domain: globex.example, bundle: {file: bundle.json}, audience: d}}
authority: {remote: 'unix:a.sock', issuer: 'http://a.test'}
issuers:
  partner: {remote: 'unix:b.sock', issuer: 'http://b.test', tenants: [TENANT]}
audit: {sinks: {out: {file: {path: audit.jsonl}, required: true}}}
"""


def test_of_several_tenants_it_speaks_for_those_that_are_named(folder: Path) -> None:
    """Metadata of another tenant's upstreams does not name it; a tenant that is not there is a flaw."""
    start, end = BASE.index("upstreams:"), len(BASE)
    entries = BASE[start:end].replace("    tls: {ca: ca.pem, client_certificate: own.pem, client_key: own.key}\n", "")
    for tenant in ("acme", "globex"):
        own = entries.replace("spiffe://acme.example/host/me", f"spiffe://{tenant}.example/a").replace(
            "secret}", f"{tenant}-secret}}"
        )
        (folder / f"{tenant}.yaml").write_text(own)

    def made(tenant: str) -> Compiled:
        return compile_configuration(load_text(TENANTS.replace("TENANT", tenant), folder / "doorward.yaml", {}), NOW)

    told = {path: json.loads(text)["authorization_servers"] for path, text in made("globex").routes._documents.items()}
    assert told == {
        "/.well-known/oauth-protected-resource/acme/billing": ["http://a.test"],
        "/.well-known/oauth-protected-resource/globex/billing": ["http://a.test", "http://b.test"],
    }
    with pytest.raises(ConfigurationError, match="there is no tenant 'third' here"):
        made("third")
