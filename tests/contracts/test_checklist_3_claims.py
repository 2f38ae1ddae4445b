"""Checklist line 3: audiences and times have their one form, for every provider that takes tokens.

aud as a list or a string; a missing aud is refused; exp as a truth value, NaN or text is refused.
"""

import json
from typing import Any

import pytest
from fakes.signed_identities import NOW, SIGNED, Signed

AUDIENCES = {
    "missing": None,
    "null": json.loads("null"),
    "another": "other",
    "in another case": "Doorward",
    "a prefix": "doorward2",
    "empty": "",
    "no audiences": [],
    "others": ["other", "another"],
    "a number": 1,
    "a list of lists": [["doorward"]],
    "an object": {"doorward": True},
    "too many": [*(str(number) for number in range(100)), "doorward"],
}
EXPIRIES = {
    "missing": None,
    "true": True,
    "text": str(int(NOW + 300)),
    "past": NOW - 1,
    "now": NOW,
    "zero": 0,
    "negative": -1,
    "beyond all time": 1e300,
    "a list": [NOW + 300],
    "an object": {},
}
OTHERS = {
    "iat in the future": {"iat": NOW + 3600},
    "iat as text": {"iat": str(NOW)},
    "iat true": {"iat": True},
    "nbf in the future": {"nbf": NOW + 3600},
    "nbf false": {"nbf": False},
    "a life too long": {"exp": NOW + 40 * 86_400},
    "no sub": {"sub": None},
    "sub no text": {"sub": 7},
    "sub empty": {"sub": ""},
}


@pytest.fixture(params=SIGNED)
def signed(request: pytest.FixtureRequest, tmp_path: Any, tools: Any) -> Signed:
    """Each provider that takes signed tokens, with a key that it trusts."""
    made: Signed = request.param(tmp_path, tools)
    return made


@pytest.mark.parametrize("audience", ["doorward", ["doorward"], ["other", "doorward"]])
async def test_an_audience_may_stand_alone_or_in_a_list(signed: Signed, audience: Any) -> None:
    """RFC 7519 §4.1.3 knows both forms."""
    assert (await signed.verify(signed.token(aud=audience))).agent == signed.agent


@pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)
async def test_a_token_for_somebody_else_is_refused(signed: Signed, audience: Any) -> None:
    """Whatever its aud is, if it is not exactly ours."""
    await signed.refused(signed.token(aud=audience))


@pytest.mark.parametrize("expires", EXPIRIES.values(), ids=EXPIRIES)
async def test_an_expiry_is_a_time_to_come(signed: Signed, expires: Any) -> None:
    """It has no leeway."""
    await signed.refused(signed.token(exp=expires))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "0x7fffffff", "9" * 5000])
async def test_a_number_that_is_none_is_refused(signed: Signed, number: str) -> None:
    """JSON has no NaN, though some readers do."""
    claims = json.dumps({**signed.claims(), "exp": 7}).replace('"exp": 7', f'"exp": {number}')
    await signed.refused(signed.sign(json.dumps(signed.header()), claims))


@pytest.mark.parametrize("claims", OTHERS.values(), ids=OTHERS)
async def test_the_other_times_and_the_subject_are_checked_too(signed: Signed, claims: dict[str, Any]) -> None:
    """Each by itself."""
    await signed.refused(signed.token(**claims))
