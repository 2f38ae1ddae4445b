"""A flood of forged task tokens at the gateway: most are not looked at, and whoever was known before goes on."""

from collections import Counter

from fakes.house import Build, get


async def test_most_of_a_flood_of_forged_tokens_is_not_looked_at(house: Build) -> None:
    """The one who floods hears 429 and when to come again, also with another agent's name; the token in use is served."""
    door = await house()
    token = await door.token()
    known = await door.connect()
    await known.send(get("/api/items", token))
    assert (await known.answer()).status == 200
    form, claims, signature = token.split(".")
    told: Counter[int] = Counter()
    client = await door.connect()
    for number in range(400):
        mark = f"{number:04d}".translate(str.maketrans("0123456789", "abcdefghij"))
        await client.send(get("/api/items", f"{form}.{claims}.{mark}{signature[4:]}"))
        answer = await client.answer()
        told[answer.status] += 1
        if answer.status == 429:
            assert answer.fields["retry-after"] == "1"
            assert b'"limit_exceeded"' in answer.body
    assert set(told) == {401, 429}
    assert told[429] > 100
    await known.send(get("/api/items", token))
    assert (await known.answer()).status == 200
