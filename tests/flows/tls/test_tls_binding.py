"""Tokens that are bound to a client certificate (RFC 8705): good on connections that have shown it, and on no other."""

import ssl
from collections.abc import Awaitable, Callable

import pytest
from fakes.certificates import Certificates
from fakes.dpop import Prover
from fakes.house import Answer, Build, House, get

from gateway.authority.grounds import Grounds
from gateway.identity.possession import certificate_hash
from gateway.identity.provider import Identity
from gateway.model import Binding

AGENT = "spiffe://flows.test/agent"
URL = "https://gateway.test/api/items"

Secure = Callable[..., Awaitable[House]]


@pytest.fixture
def secure(house: Build, certificates: Certificates) -> Secure:
    """Builds a Doorward whose agents have to show certificates."""
    certificates.write("own", "127.0.0.1")

    async def build() -> House:
        tls = "{certificate: own.pem, key: own.key, client_ca: ca.pem}"
        return await house(gateway_url="https://gateway.test", gateway_limits=f"{{}}\n  tls: {tls}")

    return build


def shown(certificates: Certificates, name: str) -> tuple[ssl.SSLContext, str]:
    """A client with a certificate of its own, and the thumbprint of that."""
    leaf = certificates.issue(name)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return certificates.client(leaf), certificate_hash(der)


async def token_for(door: House, binding: Binding) -> str:
    """A token with this binding from the authority itself."""
    issued = await door.doorward.authority.exchange.open_task(
        Identity(AGENT, "host", {}, None), ["items.read"], grounds=Grounds(binding=binding)
    )
    return issued.token


async def ask(door: House, context: ssl.SSLContext, *lines: str) -> Answer:
    """One request over TLS."""
    client = await door.connect(context)
    await client.send(get("/api/items", None, "items.read", *lines))
    return await client.answer()


async def test_the_certificate_of_the_connection_counts(secure: Secure, certificates: Certificates) -> None:
    """RFC 8705 §3: with it the token is good; with another one of the same authority, or one in a header, it is not."""
    door = await secure()
    own, thumbprint = shown(certificates, "agent.test")
    other, _ = shown(certificates, "other.test")
    token = await token_for(door, Binding(None, thumbprint))
    for _ in range(2):
        assert (await ask(door, own, f"Authorization: Bearer {token}")).status == 200
    leaf = certificates.issue("agent.test").cert_chain_pems[0].bytes()
    for lines in ([], [f"Client-Cert: :{leaf.hex()}:"]):
        answer = await ask(door, other, f"Authorization: Bearer {token}", *lines)
        assert (answer.status, answer.problem["code"]) == (401, "proof_invalid")
        assert 'error="invalid_token"' in answer.values("www-authenticate")[0]
    assert len(door.upstream.seen) == 2


async def test_a_token_bound_twice_is_proved_twice(secure: Secure, certificates: Certificates) -> None:
    """Key and certificate both: neither alone is enough (RFC 7800 §3)."""
    door = await secure()
    own, thumbprint = shown(certificates, "agent.test")
    other, _ = shown(certificates, "other.test")
    prover = Prover()
    token = await token_for(door, Binding(prover.jkt, thumbprint))
    first = await ask(door, own, f"Authorization: DPoP {token}", f"DPoP: {prover.proof('GET', URL, token)}")
    prover.nonce = first.fields["dpop-nonce"]
    assert (await ask(door, own, f"Authorization: DPoP {token}")).problem["code"] == "proof_missing"
    assert (await ask(door, own, f"Authorization: Bearer {token}")).problem["code"] == "proof_missing"
    proof = prover.proof("GET", URL, token)
    assert (await ask(door, other, f"Authorization: DPoP {token}", f"DPoP: {proof}")).problem["code"] == "proof_invalid"
    assert (await ask(door, own, f"Authorization: DPoP {token}", f"DPoP: {proof}")).status == 200


async def test_without_tls_there_is_no_certificate(house: Build) -> None:
    """On a plain connection nothing proves that a certificate is held."""
    door = await house()
    token = await token_for(door, Binding(None, "A" * 43))
    client = await door.connect()
    await client.send(get("/api/items", token))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (401, "proof_missing")


async def test_checklist_7_another_certificate_is_401(secure: Secure, certificates: Certificates) -> None:
    """RFC 8705 §3: a token whose `x5t#S256` is not that of the connection is `invalid_token`, and nothing is forwarded."""
    door = await secure()
    other, _ = shown(certificates, "other.test")
    token = await token_for(door, Binding(None, "A" * 43))
    answer = await ask(door, other, f"Authorization: Bearer {token}")
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.values("www-authenticate")[0]
    assert door.upstream.seen == []
