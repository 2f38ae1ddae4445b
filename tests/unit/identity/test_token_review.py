"""Kubernetes tokens that an API server reviews: what it says counts, and it is asked no more than it can bear."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.identity import token_review
from gateway.identity.provider import JWT_TYPE, IdentityRefusedError, IdentityUnavailableError, Presented, Provider, Tools
from gateway.identity.providers.oidc import Config, build
from gateway.identity.token_review import AT_ONCE, MOST_WAITING, REVIEW_BYTES

UID = "2c5b0b8e-7a5e-4c43-9d5e-6d5b1d9f6a01"
USER = {
    "username": "system:serviceaccount:agents:reconciler",
    "uid": UID,
    "groups": ["system:serviceaccounts", "system:serviceaccounts:agents", "system:authenticated"],
    "extra": {
        "authentication.kubernetes.io/credential-id": ["JTI=1b6e1a1c-5f35-4f0e-9d2c-0a4a2f6c9b77"],
        "authentication.kubernetes.io/node-name": ["node-1"],
        "authentication.kubernetes.io/pod-name": ["reconciler-6d5f"],
    },
}
GOOD = {"authenticated": True, "user": USER, "audiences": ["doorward"]}


class ApiServer:
    """Answers reviews. `asked` is what it was asked, and it answers when its gate is open."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.shown: list[str | None] = []
        self.status: Any = GOOD
        self.answer: Any = None
        self.code = 201
        self.url = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def review(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        self.asked.append(await request.json())
        await self.gate.wait()
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": self.status}
        return web.json_response(self.answer if self.answer is not None else document, status=self.code)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """An API server on loopback."""
    made = ApiServer()
    application = web.Application()
    application.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", made.review)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def provider(server: ApiServer, issuer: Any, tools: Tools, tmp_path: Path) -> Provider:
    """A cluster whose tokens are verified here, and reviewed there."""
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    (tmp_path / "token").write_text("doorwards.own.token")
    rule = {
        "issuer": issuer.url,
        "audience": "doorward",
        "agent": '"spiffe://acme.example/sa/" + segment(claims["kubernetes.io"].serviceaccount.name)',
        "jwks": {"file": "jwks.json"},
        "review": {"url": server.url, "ca": None, "bearer": "token"},
    }
    return build(Config.model_validate(rule), "cluster", tools)


@pytest.fixture
def token(issuer: Any) -> Callable[..., str]:
    """A projected token of the account."""
    account = {"name": "reconciler", "uid": UID}
    kubernetes = {"namespace": "agents", "serviceaccount": account, "pod": {"name": "reconciler-6d5f", "uid": "x"}}
    return lambda **other: issuer.token(issuer.claims(**{"kubernetes.io": kubernetes, **other}))


async def refusal(provider: Provider, token: str) -> str:
    with pytest.raises(IdentityRefusedError) as caught:
        await provider.verify(Presented(token, JWT_TYPE))
    assert not isinstance(caught.value, IdentityUnavailableError)
    return caught.value.sentence


async def test_a_token_that_still_stands_is_accepted(provider: Provider, server: ApiServer, token: Callable[..., str]) -> None:
    """The API server is asked for our audience, with our own token, and the identity is what the claims say."""
    shown = token()
    identity = await provider.verify(Presented(shown, JWT_TYPE))
    assert identity.agent == "spiffe://acme.example/sa/reconciler"
    (asked,) = server.asked
    assert asked["spec"] == {"token": shown, "audiences": ["doorward"]}
    assert (asked["apiVersion"], asked["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    assert server.shown == ["Bearer doorwards.own.token"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"authenticated": False, "error": "pod is gone"}, "does not take this token any more"),
        ({}, "does not take this token any more"),
        ({**GOOD, "authenticated": "true"}, "does not take this token any more"),
        ({**GOOD, "authenticated": 1}, "does not take this token any more"),
        ({**GOOD, "audiences": []}, "did not review this token for the audience doorward"),
        ({**GOOD, "audiences": ["https://kubernetes.default.svc"]}, "did not review this token for the audience"),
        ({**GOOD, "audiences": "doorward"}, "did not review this token for the audience"),
        ({"authenticated": True, "user": USER}, "did not review this token for the audience"),
        ({**GOOD, "user": {**USER, "username": "system:serviceaccount:agents:other"}}, "somebody else's"),
        ({**GOOD, "user": {}}, "somebody else's"),
        ({**GOOD, "user": None}, "somebody else's"),
        ({**GOOD, "user": {**USER, "uid": "another"}}, "was deleted and made anew"),
        ({**GOOD, "user": {"username": USER["username"]}}, "was deleted and made anew"),
    ],
)
async def test_what_the_api_server_does_not_confirm_is_refused(
    provider: Provider, server: ApiServer, token: Callable[..., str], status: Any, told: str
) -> None:
    """Each part of its answer has to be the right one."""
    server.status = status
    assert told in await refusal(provider, token())


async def test_a_token_that_is_wrong_in_itself_is_not_asked_about(
    provider: Provider, server: ApiServer, token: Callable[..., str], clock: Any
) -> None:
    """Nobody can make Doorward ask about what it does not believe."""
    await refusal(provider, token()[:-8] + "AAAAAAAA")
    await refusal(provider, token(aud="other"))
    await refusal(provider, token(exp=clock.now()))
    await refusal(provider, token(**{"kubernetes.io": {"serviceaccount": {}}}))
    assert server.asked == []


@pytest.mark.parametrize(
    ("code", "answer", "told"),
    [
        (403, {"kind": "Status"}, "the API server answered with status 403"),
        (500, None, "the API server answered with status 500"),
        (201, {}, "sent no TokenReview"),
        (201, [], "sent no TokenReview"),
        (201, {"status": "x"}, "sent no TokenReview"),
    ],
)
async def test_an_api_server_that_cannot_say_is_no_fault_of_the_token(
    provider: Provider, server: ApiServer, token: Callable[..., str], code: int, answer: Any, told: str
) -> None:
    """Nothing is accepted, and the sentence says whom to ask."""
    server.code, server.answer = code, answer
    with pytest.raises(IdentityUnavailableError, match=told):
        await provider.verify(Presented(token(), JWT_TYPE))


async def test_an_answer_has_a_largest_size(provider: Provider, server: ApiServer, token: Callable[..., str]) -> None:
    """A larger one is not read."""
    server.status = {**GOOD, "error": "x" * REVIEW_BYTES}
    with pytest.raises(IdentityUnavailableError, match=f"more than {REVIEW_BYTES} bytes"):
        await provider.verify(Presented(token(), JWT_TYPE))


async def test_reviews_at_one_time_are_bounded(provider: Provider, server: ApiServer, token: Callable[..., str]) -> None:
    """So many are asked about, so many wait, and a further one is refused at once; then the others are served."""
    server.gate.clear()
    shown = token()
    waiting = [asyncio.create_task(provider.verify(Presented(shown, JWT_TYPE))) for _ in range(MOST_WAITING)]
    async with asyncio.timeout(20):
        while len(server.asked) < AT_ONCE:
            await asyncio.sleep(0.01)
    with pytest.raises(IdentityUnavailableError, match="too many tokens wait for a review"):
        await provider.verify(Presented(shown, JWT_TYPE))
    assert len(server.asked) == AT_ONCE
    server.gate.set()
    identities = await asyncio.gather(*waiting)
    assert {identity.agent for identity in identities} == {"spiffe://acme.example/sa/reconciler"}
    assert len(server.asked) == MOST_WAITING


def test_inside_a_cluster_nothing_need_be_said() -> None:
    """The API server, its authority and our own token are where Kubernetes puts them."""
    rule = token_review.ReviewRule()
    assert (rule.url, rule.ca) == (
        "https://kubernetes.default.svc",
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    )
    assert rule.bearer == "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.mark.parametrize("url", ["http://kubernetes.default.svc", "kubernetes", "https://a?b"])
def test_tokens_are_never_sent_in_the_clear(url: str) -> None:
    """Nor to what is no address."""
    with pytest.raises(ValidationError, match="an API server"):
        token_review.ReviewRule.model_validate({"url": url})


def test_a_missing_token_of_our_own_is_a_mistake(issuer: Any, tools: Tools, tmp_path: Path) -> None:
    """When the configuration is read."""
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    rule = {"issuer": issuer.url, "audience": "doorward", "agent": "claims.sub", "jwks": {"file": "jwks.json"}}
    review = {"url": "https://a.example", "ca": None, "bearer": "gone"}
    with pytest.raises(ValueError, match="gone cannot be read as a file with one token"):
        build(Config.model_validate({**rule, "review": review}), "cluster", tools)
