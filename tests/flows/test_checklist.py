"""Lines 8, 9 and 11 of the conformance checklist, each as one test against a whole Doorward: exchange, actors, statuses."""

import json

import jwt
import pytest
from fakes.house import AGENT, Build, House, get
from httpx2 import AsyncClient

from gateway.fetch import Answer, Fetch

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
PEER = {"subject_token": "peer", "subject_token_type": "urn:doorward:unix-peer"}
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


async def post(door: House, path: str, form: list[tuple[str, str]], **headers: str) -> Answer:
    """One form to the authority."""
    async with Fetch() as fetch:
        unix = str(door.folder / "authority.sock")
        return await fetch.request("POST", f"http://authority{path}", form=form, unix=unix, headers=headers)


def exchange(*extra: tuple[str, str], without: str = "", **changes: str) -> list[tuple[str, str]]:
    """The form of an exchange by the user who runs the tests."""
    form = {"grant_type": EXCHANGE, "scope": "items.read", **PEER, **changes}
    return [*((name, value) for name, value in form.items() if name != without), *extra]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (exchange(subject_token="a.b.c", subject_token_type=JWT_TYPE), "invalid_request"),
        (exchange(subject_token="dwt_a.b.c", subject_token_type=ACCESS_TOKEN), "invalid_request"),
        (exchange(actor_token_type=JWT_TYPE), "invalid_request"),
        (exchange(actor_token="a.b.c"), "invalid_request"),
        (exchange(actor_token="a.b.c", actor_token_type=JWT_TYPE), "invalid_request"),
        (exchange(requested_token_type="urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"),
        (exchange(without="subject_token_type"), "invalid_request"),
        (exchange(("audience", "doorward"), ("audience", "other")), "invalid_target"),
        (exchange(("resource", "http://127.0.0.1:1/api"), ("resource", "http://127.0.0.1:1")), "invalid_target"),
        (exchange(resource="http://127.0.0.1:1/api#fragment"), "invalid_target"),
        (exchange(resource="/api"), "invalid_target"),
        (exchange(audience="other"), "invalid_target"),
        (exchange(scope="items.read items.burn"), "invalid_scope"),
        (exchange(authorization_details=json.dumps([{"type": "payment"}])), "invalid_authorization_details"),
        (exchange(authorization_details=json.dumps([{"type": "agent_task", "amount": 5}])), "invalid_authorization_details"),
        (exchange(grant_type="password"), "unsupported_grant_type"),
    ],
)
async def test_checklist_8_each_error_of_an_exchange_has_its_code(house: Build, form: list, error: str) -> None:
    """RFC 8693 §2.2.2 with RFC 8707 §2, RFC 9396 §5 and RFC 6749 §5.2; no answer holds a token."""
    answer = await post(await house(), "/token", form)
    assert (answer.status, answer.json()["error"], answer.headers["Cache-Control"]) == (400, error, "no-store")
    assert "access_token" not in answer.json()


async def test_checklist_8_a_scope_only_narrows_and_is_told(house: Build) -> None:
    """A narrower scope is granted and echoed, the wider one of a renewal or of a child is refused (RFC 8693 §2.2.1)."""
    door = await house()
    wide = await door.issue("items.read", "items.write")
    narrow = await door.issue("items.read", task=wide["task"])
    assert (wide["scope"], narrow["scope"]) == ("items.read items.write", "items.read")
    only = await door.issue("items.read")
    for form in (
        exchange(scope="items.read items.write", task=only["task"]),
        exchange(scope="items.write", subject_token=narrow["access_token"], subject_token_type=ACCESS_TOKEN),
    ):
        answer = await post(door, "/token", form)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")
    child = await door.issue(subject_token=narrow["access_token"], subject_token_type=ACCESS_TOKEN)
    assert child["scope"] == "items.read"
    assert child["authorization_details"] == [{"type": "agent_task", "intents": ["items.read"]}]


async def test_checklist_9_policy_sees_only_the_outermost_actor(house: Build) -> None:
    """A token whose history names another agent is decided, and recorded, for the one who acts now."""
    door = await house()
    claims = jwt.decode((await door.token()).removeprefix("dwt_"), options={"verify_signature": False})
    key = door.doorward.authority.keys.current
    before = {"sub": AGENT, "act": {"sub": "spiffe://flows.test/nobody", "act": {"sub": "spiffe://flows.test/older"}}}
    now = {"sub": "spiffe://flows.test/nobody", "act": {"sub": AGENT}}
    for act, code in ((before, 200), (now, 403)):
        made = jwt.encode({**claims, "act": act}, key.private, "ES256", headers={"typ": "at+jwt", "kid": key.kid})
        client = await door.connect()
        await client.send(get("/api/items", f"dwt_{made}"))
        assert (await client.answer()).status == code
    await door.stop()
    assert [record["agent"] for record in door.exchanges()[0]] == [AGENT, "spiffe://flows.test/nobody"]


async def test_checklist_11_the_status_says_what_to_do(house: Build) -> None:
    """400 mend the request, 401 get another token, 403 ask for other rights; without a token the challenge has no error.

    RFC 6750 §3.1, RFC 9728 §5.1. What a fresh token would not change is never 401, so that nobody renews for ever.
    """
    door = await house()
    token = await door.token("items.read")
    dead = await door.issue("items.read")
    assert await door.tell(f"/tasks/{dead['task']}/complete") == 200
    place = 'resource_metadata="http://127.0.0.1:1/.well-known/oauth-protected-resource/api"'
    bare, wrong, more = "", 'error="invalid_token"', 'error="insufficient_scope"'
    url = f"http://{door.doorward.addresses[0]}/api/items"
    async with AsyncClient() as client:
        for tokens, intent, status, code, challenge in (
            ([], "items.read", 401, "token_missing", bare),
            (["dwt_a.b.c"], "items.read", 401, "token_invalid", wrong),
            (["no token of ours"], "items.read", 401, "token_invalid", wrong),
            ([dead["access_token"]], "items.read", 401, "token_revoked", wrong),
            ([token], "items.write", 403, "intent_not_granted", more),
            ([token], "", 403, "intent_missing", None),
            ([token], "???", 400, "intent_malformed", None),
            ([token, token], "items.read", 400, "request_malformed", None),
        ):
            headers = [
                *(("Authorization", f"Bearer {each}") for each in tokens),
                *([("Agent-Intent", intent)] if intent else []),
            ]
            answer = await client.get(url, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            said = [each for each in answer.headers.get_list("www-authenticate") if each.startswith("Bearer ")]
            if challenge is None:
                assert said == []
            else:
                (bearer,) = said
                assert place in bearer
                assert (challenge in bearer, "error=" in bearer) == (True, challenge != bare)


async def test_checklist_11_the_authority_answers_likewise(house: Build) -> None:
    """A client that is not known is 401, one that may not is 400, and a bare challenge has no error."""
    door = await house()
    task = await door.issue("items.read")
    for path, form, headers, status, error, challenge in (
        (
            f"/tasks/{task['task']}/heartbeat",
            [],
            {"Authorization": "Bearer x.y.z"},
            401,
            "invalid_token",
            'Bearer error="invalid_token"',
        ),
        ("/introspect", [("token", "x")], {}, 200, None, None),
        ("/introspect", [("token", "x"), ("client_id", "spiffe://flows.test/other")], {}, 401, "invalid_client", None),
        ("/token", exchange(client_id="spiffe://flows.test/other"), {}, 401, "invalid_client", None),
        ("/token", exchange(), {"Authorization": "Basic YTpi"}, 401, "invalid_client", "Bearer"),
        ("/token", exchange(task="0" * 32), {}, 400, "invalid_grant", None),
    ):
        answer = await post(door, path, form, **headers)
        assert (answer.status, answer.json().get("error"), answer.headers.get("WWW-Authenticate")) == (status, error, challenge)
