"""Where SDKs that know only a base URL and a key put the task token: found, verified, and gone before anybody else looks."""

import json
from base64 import b64encode

import pytest
from fakes.house import Build, House, get

PLACES = "token_in: [basic, 'query:api_key', x-api-key]"


async def asked(it: House, request: bytes) -> tuple[int, str]:
    client = await it.connect()
    await client.send(request)
    answer = await client.answer()
    await client.close()
    return answer.status, "" if answer.status == 200 else answer.problem["code"]


def basic(token: str, user: str = "agent") -> str:
    return f"Authorization: Basic {b64encode(f'{user}:{token}'.encode()).decode()}"


async def test_the_password_of_basic_is_a_token(house: Build) -> None:
    """Whoever the user is said to be; the header goes nowhere."""
    it = await house(upstream=PLACES)
    token = await it.token()
    for user in ("agent", "", "a b"):
        assert await asked(it, get("/api/items", None, "items.read", basic(token, user))) == (200, "")
    assert all("authorization" not in exchange.fields for exchange in it.upstream.seen)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Authorization: Basic dwt_", "token_invalid"),
        ("Authorization: Basic Og==", "token_missing"),
        ("Authorization: Basic YWdlbnQ6", "token_invalid"),
        ("Authorization: Basic YWdlbnQ=", "token_invalid"),
        ("Authorization: Basic YTpiIGM=", "token_invalid"),
        ("Authorization: Basic YTpi, Basic YTpi", "token_invalid"),
    ],
    ids=["no base64", "empty", "no password", "no colon", "a space in it", "twice"],
)
async def test_what_is_no_password_of_ours_is_refused(house: Build, line: str, code: str) -> None:
    """Each with the code that says what to do."""
    it = await house(upstream=PLACES)
    assert await asked(it, get("/api/items", None, "items.read", line)) == (401, code)


async def test_basic_is_no_place_unless_it_is_named(house: Build) -> None:
    """Also for a header line that another upstream has taken a token from before."""
    it = await house()
    assert await asked(it, get("/api/items", None, "items.read", basic(await it.token()))) == (401, "token_invalid")


@pytest.mark.parametrize(
    "spelled",
    ["api_key", "API_KEY", "api%5Fkey", "%61pi_key", "api.key", "api_key[]", "[api_key]", "]api_key", "api_key]", "api[key"],
)
async def test_a_token_in_the_query_is_taken_out_of_it(house: Build, spelled: str) -> None:
    """However its name is spelled; what else stands in the query goes on as it came, also when the very same comes again."""
    it = await house(upstream=PLACES)
    token = await it.token()
    for _ in range(3):
        assert await asked(it, get(f"/api/items?a=1&{spelled}={token}&b=%20x", None)) == (200, "")
        assert await asked(it, get(f"/api/items?{spelled}={token}", None)) == (200, "")
    assert {exchange.head.split(b" ")[1].decode() for exchange in it.upstream.seen} == {"/base/items?a=1&b=%20x", "/base/items"}
    await it.stop()
    assert token not in json.dumps(it.records())


@pytest.mark.parametrize("of_upstream", [PLACES, ""], ids=["a place", "no place"])
async def test_an_empty_parameter_is_no_token(house: Build, of_upstream: str) -> None:
    """As an empty header is none; where it is a place it is emptied all the same."""
    it = await house(upstream=of_upstream)
    assert await asked(it, get("/api/items?api_key=", None)) == (401, "token_missing")
    assert await asked(it, get("/api/items?api_key=&x=1", await it.token())) == (200, "")
    assert [exchange.head.split(b" ")[1].decode() for exchange in it.upstream.seen] == [
        "/base/items?x=1" if of_upstream else "/base/items?api_key=&x=1"
    ]


async def test_two_places_are_two_tokens(house: Build) -> None:
    """In any two of the places, or twice in one."""
    it = await house(upstream=PLACES)
    token = await it.token()
    for request in (
        get(f"/api/items?api_key={token}", token),
        get(f"/api/items?api_key={token}&API-key={token}", None),
        get("/api/items", None, "items.read", basic(token), f"X-Api-Key: {token}"),
        get(f"/api/items?x=1;api_key={token}", None),
        get(f"/api/items?x=1;api_key={token}", token),
    ):
        assert await asked(it, request) == (400, "request_malformed")
    assert it.upstream.seen == []


@pytest.mark.parametrize("value", ["DPoP {}", "Bearer {}", "{} x"])
async def test_elsewhere_a_token_stands_without_a_scheme(house: Build, value: str) -> None:
    """So that none is taken for one that came with a proof."""
    it = await house(upstream=PLACES)
    line = f"X-Api-Key: {value.format(await it.token())}"
    assert await asked(it, get("/api/items", None, "items.read", line)) == (401, "token_invalid")


async def test_without_its_place_a_parameter_is_the_upstreams_own(house: Build) -> None:
    """Nothing is taken out of a query in which no token may stand."""
    it = await house(upstream="token_in: [x-api-key]")
    assert await asked(it, get("/api/items?api_key=mine", await it.token())) == (200, "")
    assert it.upstream.seen[0].head.split(b" ")[1].decode() == "/base/items?api_key=mine"
