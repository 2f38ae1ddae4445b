"""`POST /token` on real sockets: what RFC 8693 and RFC 6749 demand of answers and errors."""

import asyncio
import os

import pytest
from fakes.authority import AGENT

from gateway.endpoints import forms
from gateway.endpoints.sites import BODY
from gateway.stores.store import TaskFilter

STRANGER = os.getuid() + 12345
TESTER = "spiffe://acme.example/host/tester"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
UNIX_PEER = "urn:doorward:unix-peer"


async def test_an_oidc_identity_gets_a_task_token(world):
    """The answer has every member of RFC 8693 §2.2.1 and the task, and stays out of caches."""
    answer = await world.exchange()
    assert answer.status == 200
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    members = answer.json()
    own = await world.authority.tasks.live_token(members.pop("access_token"))
    assert own.agent == AGENT
    assert members == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "invoices.read",
        "authorization_details": [{"type": "agent_task", "intents": ["invoices.read"]}],
        "task": own.task,
    }


async def test_a_local_user_gets_a_task_token(world):
    """On the Unix socket the kernel says who asks, and no other proof is needed."""
    answer = await world.by_peer()
    assert answer.status == 200
    assert (await world.authority.tasks.live_token(answer.json()["access_token"])).agent == TESTER


async def test_a_jwt_is_accepted_on_the_unix_socket_too(world):
    """The socket does not change whose token it is."""
    answer = await world.exchange(socket=world.socket)
    assert (await world.authority.tasks.live_token(answer.json()["access_token"])).agent == AGENT


@pytest.mark.parametrize("world", [STRANGER], indirect=True)
async def test_a_strange_user_gets_nothing(world):
    """A user who is no agent is refused, whatever it says of itself."""
    answer = await world.by_peer(("client_id", TESTER))
    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")
    assert await world.authority.tasks.page(TaskFilter()) == ()


async def test_over_tcp_nobody_is_a_local_user(world):
    """The kernel vouches for nobody there."""
    answer = await world.exchange(("subject_token_type", UNIX_PEER), ("subject_token", "peer"))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ACTOR = ("actor_token", "x")
ACTOR_TYPE = ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")


@pytest.mark.parametrize(
    ("extra", "without", "status", "code"),
    [
        ([], ["grant_type"], 400, "invalid_request"),
        ([("grant_type", "client_credentials")], [], 401, "invalid_client"),
        ([("grant_type", "authorization_code")], [], 400, "unsupported_grant_type"),
        ([], ["subject_token"], 400, "invalid_request"),
        ([], ["subject_token_type"], 400, "invalid_request"),
        ([("subject_token", "")], [], 400, "invalid_request"),
        ([("subject_token", "no-jwt")], [], 400, "invalid_request"),
        ([("subject_token", "é")], [], 400, "invalid_request"),
        ([("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")], [], 400, "invalid_request"),
        ([ACTOR], [], 400, "invalid_request"),
        ([ACTOR_TYPE], [], 400, "invalid_request"),
        ([ACTOR, ACTOR_TYPE], [], 400, "invalid_request"),
        ([("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")], [], 400, "invalid_request"),
        ([("authorization_details", "[]")], [], 400, "invalid_authorization_details"),
        ([], ["scope"], 400, "invalid_scope"),
        ([("scope", "   ")], [], 400, "invalid_scope"),
        ([("scope", "invoices.delete")], [], 400, "invalid_scope"),
        ([("scope", "invoices.read invoices.delete")], [], 400, "invalid_scope"),
        ([("scope", "Invoices")], [], 400, "invalid_scope"),
        ([("scope", "invoices.read\ninvoices.write")], [], 400, "invalid_scope"),
        ([("audience", "elsewhere")], [], 400, "invalid_target"),
        ([("resource", "http://elsewhere.example/")], [], 400, "invalid_target"),
        ([("audience", "doorward"), ("audience", "doorward")], [], 400, "invalid_target"),
        ([("resource", "http://gateway.example"), ("resource", "http://gateway.example/billing")], [], 400, "invalid_target"),
        ([("resource", "http://gateway.example"), ("audience", "doorward")], [], 400, "invalid_target"),
        ([("scope", "invoices.read"), ("scope", "invoices.read")], [], 400, "invalid_request"),
        ([("extra", ""), ("extra", "")], [], 400, "invalid_request"),
        ([("client_id", "somebody")], [], 401, "invalid_client"),
        ([("client_secret", "s")], [], 401, "invalid_client"),
        ([("client_assertion", "s")], [], 400, "invalid_request"),
        ([("client_assertion", "s"), ("client_assertion_type", ASSERTION)], [], 401, "invalid_client"),
        ([("client_assertion", "s"), ("client_assertion_type", "other")], [], 401, "invalid_client"),
        ([("subject_token_type", ACCESS_TOKEN)], [], 401, "invalid_client"),
        ([("task", "f" * 32)], [], 400, "invalid_grant"),
        ([("task", "../" * 5)], [], 400, "invalid_request"),
    ],
)
async def test_each_error_has_its_code(world, extra, without, status, code):
    """Every refusal is JSON of RFC 6749 §5.2, stays out of caches, opens nothing, and repeats no token."""
    answer = await world.exchange(*extra, without=without)
    members = answer.json()
    assert (answer.status, members["error"]) == (status, code)
    assert answer.headers["Cache-Control"] == "no-store"
    assert members.keys() == {"error", "error_description"}
    assert all(" " <= letter <= "~" and letter not in '"\\' for letter in members["error_description"])
    assert await world.authority.tasks.page(TaskFilter()) == ()


@pytest.mark.parametrize(
    "extra",
    [
        ("audience", "doorward"),
        ("resource", "http://gateway.example"),
        ("resource", "http://gateway.example/billing/"),
        ("requested_token_type", ACCESS_TOKEN),
        ("client_id", AGENT),
        ("unknown", "is ignored"),
    ],
)
async def test_what_may_be_said_beside(world, extra):
    """One target of ours, our token type, the client's own name; unknown parameters are ignored (RFC 6749 §3.2)."""
    assert (await world.exchange(extra)).status == 200


async def test_an_identity_token_of_a_stranger_is_an_invalid_request(world):
    """RFC 8693 §2.2.2: a bad subject_token is invalid_request, and nothing of it is repeated."""
    for token in (
        world.identity_token(exp=int(world.clock.seconds) - 1),
        world.identity_token(aud="elsewhere"),
        world.identity_token(iss="https://other.example"),
        world.identity_token("../root"),
        world.identity_token()[:-4] + "AAAA",
    ):
        answer = await world.exchange(("subject_token", token))
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
        assert token[-20:].encode() not in answer.body


async def test_a_token_in_the_scope_is_not_repeated(world):
    """Whoever puts a token into the wrong parameter does not find it in an error, where logs would keep it."""
    token = (await world.exchange()).json()["access_token"]
    for name in ("scope", "task", "audience", "grant_type", "subject_token_type", "client_id", "resource"):
        answer = await world.exchange((name, token))
        assert answer.status in (400, 401)
        assert token[8:40].encode() not in answer.body


async def test_renewing_over_http(world):
    """`task` renews: same task, and the scope is said even when it was not asked for."""
    first = (await world.exchange()).json()
    answer = await world.exchange(("task", first["task"]), without=["scope"])
    members = answer.json()
    assert (members["task"], members["scope"]) == (first["task"], "invoices.read")
    assert members["access_token"] != first["access_token"]
    stranger = await world.by_peer(("task", first["task"]))
    assert (stranger.status, stranger.json()["error"]) == (400, "invalid_grant")


async def test_the_identity_caps_the_token(world):
    """A task token never outlives the identity token it came from."""
    answer = await world.exchange(("subject_token", world.identity_token(life=30)))
    assert answer.json()["expires_in"] == 30


async def test_no_other_authentication(world):
    """An Authorization header is an attempt that is not read, so it is refused with a challenge (RFC 6749 §5.2)."""
    answer = await world.ask("POST", "/token", form={"grant_type": "x"}, headers={"Authorization": "Basic YTpi"})
    assert answer.json()["error"] == "unsupported_grant_type"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}
    answer = await world.ask("POST", "/token", form=form, headers={"Authorization": "Basic YTpi"})
    assert (answer.status, answer.json()["error"], answer.headers["WWW-Authenticate"]) == (401, "invalid_client", "Bearer")


async def test_the_store_is_gone(world):
    """503 with Retry-After, and all is well when it is back."""
    world.break_store()
    answer = await world.exchange()
    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    world.mend_store()
    assert (await world.exchange()).status == 200


async def test_the_log_is_full(world):
    """Nothing is issued unrecorded: 503, and no token in the answer."""
    world.log.full = True
    answer = await world.exchange()
    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert b"dwt_" not in answer.body


async def test_the_body_is_bounded_and_a_form(world):
    """Larger bodies, other types, and what cannot be decoded are refused."""
    large = await world.exchange(("padding", "x" * BODY))
    assert (large.status, large.json()["error"]) == (413, "request_too_large")
    for options in ({"json": {"grant_type": "x"}}, {"form": [(f"p{number}", "x") for number in range(100)]}):
        answer = await world.ask("POST", "/token", **options)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


async def test_other_paths_and_methods(world):
    """Errors of routing are JSON too."""
    missing, wrong = await world.ask("GET", "/nothing"), await world.ask("GET", "/token")
    assert (missing.status, missing.json()["error"]) == (404, "not_found")
    assert (wrong.status, wrong.json()["error"], wrong.headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_the_keys_are_published(world):
    """`GET /jwks.json` is the set that verifies task tokens."""
    answer = await world.ask("GET", "/jwks.json")
    assert answer.json() == world.authority.keys.jwks()
    assert answer.headers["Content-Type"].startswith("application/jwk-set+json")
    assert b'"d"' not in answer.body


async def test_a_slow_body_is_cut(world, monkeypatch):
    """A body that does not come in time is answered with 408, and the connection ends."""
    monkeypatch.setattr(forms, "_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(
        b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\ngrant"
    )
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_what_is_no_form(world):
    """Broken escapes, bytes outside ASCII and pairs without a name are refused, not guessed."""
    head = b"POST /token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    for body in (b"grant_type=%ff", b"grant_type=\xff", b"grant_type", b"a=b&&c"):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = await reader.read()
        assert b" 400 " in answer
        assert b"invalid_request" in answer
        writer.close()
