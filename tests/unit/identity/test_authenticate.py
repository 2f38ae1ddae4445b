"""Whose token came with a request: where it may stand, what it must say, and what is judged anew each time."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.identity import authenticate as module
from gateway.identity import jose
from gateway.identity.authenticate import MOST_INTENTS, SKEW, authenticate, still_good
from gateway.identity.issuers import Issuers
from gateway.identity.standing import TOKENS_REMEMBERED, Standing
from gateway.model import Origin, Principal, Restoration, Revocation, Upstream

AGENT = "spiffe://acme.example/ns/agents/sa/reconciler"
SOURCE = "192.0.2.1"
UPSTREAM = Upstream(
    tenant="acme", name="billing", origin=Origin("https", "api.example", 443), prefix="/billing", base_path="",
    protocol="http", credential="key", token_places=("x-api-key", "api-key"),
)  # fmt: skip
VOCABULARY = request_vocabulary(["authorization", "x-api-key", "api-key", "agent-intent"])
ABSENT = object()


def head(*lines: bytes) -> RequestHead:
    """A parsed request with these header lines."""
    return parse_request(b"\r\n".join((b"GET /billing/x HTTP/1.1", b"Host: x", *lines)), VOCABULARY, most_lines=20)


def bearer(token: str) -> RequestHead:
    """A request with its token in the usual place."""
    return head(b"Authorization: Bearer " + token.encode())


def claims(issuer: Any, **changes: Any) -> dict[str, Any]:
    """What the authority says in a task token; `ABSENT` leaves a claim out."""
    said = {
        "iss": issuer.url, "aud": "doorward", "sub": "spiffe://acme.example/user/ann", "act": {"sub": AGENT},
        "client_id": AGENT, "jti": "token-1", "txn": "task-1", "task_iat": 1_800_000_000, "tenant": "acme",
        "scope": "invoices.read invoices.write", "epoch": "first epoch", "iat": 1_800_000_000, "nbf": 1_800_000_000,
        "exp": 1_800_000_300, "policy": "a1b2c3",
    }  # fmt: skip
    return {name: value for name, value in {**said, **changes}.items() if value is not ABSENT}


def made(issuer: Any, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A task token, signed by the authority's key whatever it says."""
    return "dwt_" + issuer.token(claims(issuer, **changes), **{"typ": "at+jwt", **(header or {})})


def code(request: RequestHead, standing: Standing, upstream: Upstream = UPSTREAM) -> str:
    """The code with which a request is refused."""
    with pytest.raises(Refusal) as caught:
        authenticate(request, upstream, Issuers([standing]), SOURCE)
    return caught.value.code


def why(principal: Principal, standing: Standing) -> str:
    """The code with which a verified token is refused now."""
    with pytest.raises(Refusal) as caught:
        still_good(principal, standing)
    return caught.value.code


def everything(principal: Principal) -> dict[str, Any]:
    """All that is known of a principal."""
    return {name: getattr(principal, name) for name in dir(principal) if not name.startswith("_")}


def test_a_principal_is_what_the_token_says(standing: Standing, issuer: Any) -> None:
    """Each claim has its place, and everything whose revocation ends the access is marked."""
    assert everything(authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)) == {
        "agent": AGENT,
        "subject": "spiffe://acme.example/user/ann",
        "tenant": "acme",
        "opened": 1_800_000_000.0,
        "task": "task-1",
        "token": "token-1",
        "intents": {"invoices.read", "invoices.write"},
        "expires": 1_800_000_300.0,
        "epoch": "first epoch",
        "marks": {"token:token-1", "task:task-1", f"agent:acme/{AGENT}", "tenant:acme", "key:first"},
        "limits": (),
        "params": {},
        "starter": None,
        "binding": None,
        "family": "",
        "met": frozenset(),
        "claims": ({}, frozenset()),
        "subject_claims": ({}, frozenset()),
        "issuer": issuer.url,
    }


def test_only_the_outermost_actor_counts(standing: Standing, issuer: Any) -> None:
    """Deeper actors are history and never reach a decision (RFC 8693 §4.1)."""
    token = made(issuer, act={"sub": AGENT, "act": {"sub": "spiffe://acme.example/earlier"}})
    assert authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE).agent == AGENT


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer %s",
        b"AUTHORIZATION: bearer %s",
        b"authorization:BEARER   %s",
        b"X-Api-Key: %s",
        b"x_api_key: %s",
        b"Api-Key:%s ",
    ],
)
def test_the_token_may_stand_in_one_of_its_places(standing: Standing, issuer: Any, line: bytes) -> None:
    """Authorization takes Bearer in any case (RFC 9110 §11.1); another place takes the token alone."""
    assert authenticate(head(line % made(issuer).encode()), UPSTREAM, Issuers([standing]), SOURCE).token == "token-1"


def test_an_empty_place_is_not_filled(standing: Standing, issuer: Any) -> None:
    """An SDK that sends its key header empty has put no token there."""
    request = head(b"Authorization: ", b"X-Api-Key: " + made(issuer).encode())
    assert authenticate(request, UPSTREAM, Issuers([standing]), SOURCE).token == "token-1"


def test_without_a_token_it_is_missing(standing: Standing, issuer: Any) -> None:
    """Also when all places are empty, or when the token stands where this upstream does not look."""
    assert code(head(), standing) == "token_missing"
    assert code(head(b"Authorization:", b"X-Api-Key: "), standing) == "token_missing"
    elsewhere = Upstream(
        tenant="acme", name="other", origin=UPSTREAM.origin, prefix="/o", base_path="", protocol="http", credential="key"
    )
    assert code(head(b"X-Api-Key: " + made(issuer).encode()), standing, elsewhere) == "token_missing"


@pytest.mark.parametrize(
    "lines",
    [
        (b"Authorization: Bearer %s", b"Authorization: Bearer %s"),
        (b"Authorization: Bearer %s", b"X-Api-Key: %s"),
        (b"Authorization: Bearer %s", b"X-Api-Key: something else"),
        (b"X-Api-Key: %s", b"X_API_KEY: %s"),
        (b"X-Api-Key: %s", b"Api-Key: %s"),
    ],
)
def test_two_filled_places_are_two_tokens(standing: Standing, issuer: Any, lines: tuple[bytes, ...]) -> None:
    """Even the same one twice: nobody could say which was meant (RFC 6750 §2)."""
    token = made(issuer).encode()
    assert code(head(*(line.replace(b"%s", token) for line in lines)), standing) == "request_malformed"


@pytest.mark.parametrize(
    "value",
    [b"%s", b"Basic %s", b"DPoP %s", b"Bearer", b"Bearer%s", b"Bearer\t%s", b"Bearer %s %s", b"Bearer %s,", b'Bearer "%s"'],
)
def test_authorization_is_bearer_a_space_and_one_token(standing: Standing, issuer: Any, value: bytes) -> None:
    """Every other form is refused, however good the token in it."""
    assert code(head(b"Authorization: " + value.replace(b"%s", made(issuer).encode())), standing) == "token_invalid"


def test_a_scheme_belongs_to_authorization_alone(standing: Standing, issuer: Any) -> None:
    """In a key header the token stands bare."""
    assert code(head(b"X-Api-Key: Bearer " + made(issuer).encode()), standing) == "token_invalid"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"}, {"typ": None}, {"typ": "at+jwt;v=1"}, {"typ": "dpop+jwt"}, {"alg": "RS256"}, {"alg": "ES384"},
        {"alg": "EdDSA"}, {"alg": "none"}, {"alg": "HS256"}, {"kid": None}, {"kid": ""}, {"kid": "unknown"}, {"crit": ["b64"]},
        {"jku": "https://evil.example/keys"}, {"jwk": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_of_another_kind_is_refused(standing: Standing, issuer: Any, header: dict[str, Any]) -> None:
    """Type, algorithm and key are ours to say, not the token's (RFC 8725 §3)."""
    assert code(bearer(made(issuer, header=header)), standing) == "token_invalid"
    assert not standing.remembered


def test_the_type_is_compared_as_a_media_type(standing: Standing, issuer: Any) -> None:
    """In any case, with or without `application/` (RFC 7515 §4.1.9)."""
    for kind in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert authenticate(bearer(made(issuer, header={"typ": kind})), UPSTREAM, Issuers([standing]), SOURCE).task == "task-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"}, {"iss": ABSENT}, {"iss": None}, {"iss": ["https://issuer.example"]},
        {"aud": "other"}, {"aud": ABSENT}, {"aud": None}, {"aud": []}, {"aud": ["other", "doorward2"]}, {"aud": 1},
        {"aud": {"doorward": 1}}, {"aud": "doorward other"}, {"aud": "Doorward"},
        {"cnf": {"jkt": "x"}}, {"cnf": {}}, {"cnf": None},
        {"exp": ABSENT}, {"exp": None}, {"exp": "1800000300"}, {"exp": True}, {"exp": [1]},
        {"nbf": ABSENT}, {"nbf": None}, {"nbf": "0"}, {"nbf": False}, {"nbf": 1_800_000_000 + SKEW + 1},
        {"act": ABSENT}, {"act": None}, {"act": AGENT}, {"act": [AGENT]}, {"act": {}}, {"act": {"sub": ""}},
        {"act": {"sub": 7}}, {"act": {"act": {"sub": AGENT}}},
        {"tenant": ABSENT}, {"tenant": ""}, {"tenant": ["acme"]},
        *({name: value} for name in ("txn", "jti", "scope", "sub", "epoch") for value in (ABSENT, None, "", 7, ["x"])),
    ],
    ids=lambda changes: str({name: "absent" if value is ABSENT else value for name, value in changes.items()}),
)  # fmt: skip
def test_each_claim_is_of_its_one_type_and_there(standing: Standing, issuer: Any, changes: dict[str, Any]) -> None:
    """A signature does not make up for a claim that is missing or could be read in two ways."""
    assert code(bearer(made(issuer, **changes)), standing) == "token_invalid"
    assert not standing.remembered


def test_a_token_of_another_tenant_has_its_own_answer(standing: Standing, issuer: Any) -> None:
    """It is a good token, elsewhere; and it is not remembered here."""
    assert code(bearer(made(issuer, tenant="other")), standing) == "tenant_mismatch"
    assert not standing.remembered


def test_one_of_several_audiences_may_be_ours(standing: Standing, issuer: Any) -> None:
    """A list counts if we are on it."""
    assert authenticate(bearer(made(issuer, aud=["other", "doorward"])), UPSTREAM, Issuers([standing]), SOURCE).task == "task-1"


def test_an_authority_may_be_ahead_by_the_skew(standing: Standing, issuer: Any, clock: Any) -> None:
    """`nbf` has that much leeway and no more."""
    assert authenticate(bearer(made(issuer, nbf=clock.seconds + SKEW)), UPSTREAM, Issuers([standing]), SOURCE).task == "task-1"
    assert code(bearer(made(issuer, nbf=clock.seconds + SKEW + 0.5)), standing) == "token_invalid"


def test_a_token_carries_so_many_intents_and_no_more(standing: Standing, issuer: Any) -> None:
    """The set that every decision looks into is bounded."""
    most = " ".join(f"i{number}" for number in range(MOST_INTENTS))
    assert len(authenticate(bearer(made(issuer, scope=most)), UPSTREAM, Issuers([standing]), SOURCE).intents) == MOST_INTENTS
    assert code(bearer(made(issuer, scope=most + " one-more")), standing) == "token_invalid"


def test_a_signature_by_another_key_is_refused(standing: Standing, issuer: Any) -> None:
    """Whoever signs under the id of our key still needs the key."""
    issuer.rotate("first")
    assert code(bearer(made(issuer)), standing) == "token_invalid"
    assert not standing.remembered


@pytest.mark.interpreted("compiled modules call each other without looking the name up, so nothing can be put in its place")
def test_garbage_costs_no_verification(standing: Standing, issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefix, size, form, algorithm, type, key id and issuer are looked at first (RFC 8725 §3)."""
    good = made(issuer)
    cheap = [
        good.removeprefix("dwt_"), "DWT_" + good[4:], "dwt_hello", "dwt_" + "a" * 9000, "dwt_.." + good[4:], good + "=",
        made(issuer, header={"alg": "RS256"}), made(issuer, header={"typ": "JWT"}), made(issuer, header={"kid": "x"}),
        made(issuer, iss="https://other.example"),
    ]  # fmt: skip

    def never(*_: object) -> None:
        raise AssertionError("a signature was verified")

    monkeypatch.setattr(jose, "ALGORITHMS", {name: replace(each, check=never) for name, each in jose.ALGORITHMS.items()})
    assert {code(bearer(token), standing) for token in cheap} == {"token_invalid"}
    with pytest.raises(AssertionError):
        authenticate(bearer(good), UPSTREAM, Issuers([standing]), SOURCE)


def test_a_refusal_repeats_nothing_of_the_token(standing: Standing, issuer: Any) -> None:
    """What is said of a bad token could be logged, so no part of it stands there."""
    for changes in ({"aud": "canary"}, {"iss": "canary"}, {"scope": 1, "txn": "canary"}, {"tenant": "canary"}):
        token = made(issuer, **changes)
        with pytest.raises(Refusal) as caught:
            authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE)
        said = f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"
        assert "canary" not in said
        assert not any(part in said for part in token.removeprefix("dwt_").split("."))


@pytest.mark.interpreted("compiled modules call each other without looking the name up, so nothing can be put in its place")
def test_the_same_bytes_are_verified_once(standing: Standing, issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature stays what it was, so the second request of a token costs none; other bytes are another token."""
    token = made(issuer)
    first = authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE)
    verified: list[object] = []
    monkeypatch.setattr(module, "verify", lambda jws, key: verified.append((jws, key)))
    assert authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE) is first
    assert authenticate(head(b"X-Api-Key: " + token.encode()), UPSTREAM, Issuers([standing]), SOURCE) is first
    assert verified == []
    authenticate(bearer(made(issuer, jti="token-2")), UPSTREAM, Issuers([standing]), SOURCE)
    assert len(verified) == 1


def test_what_is_remembered_can_end_all_the_same(standing: Standing, issuer: Any, clock: Any) -> None:
    """Expiry, staleness, epoch and revocation are no part of what is remembered: each is found for a remembered token."""
    token = bearer(made(issuer))
    assert still_good(authenticate(token, UPSTREAM, Issuers([standing]), SOURCE), standing).task == "task-1"
    standing.revoked(Revocation(1, 0.0, "task", "task-1", "operator", clock.seconds + 600))
    assert why(authenticate(token, UPSTREAM, Issuers([standing]), SOURCE), standing) == "token_revoked"
    standing.epoch = "second epoch"  # as a heartbeat sets it, with the memory left as it is
    assert standing.remembered
    assert why(authenticate(token, UPSTREAM, Issuers([standing]), SOURCE), standing) == "token_invalid"
    clock.seconds += 11
    assert why(authenticate(token, UPSTREAM, Issuers([standing]), SOURCE), standing) == "revocations_stale"
    clock.seconds += 300
    assert why(authenticate(token, UPSTREAM, Issuers([standing]), SOURCE), standing) == "token_expired"


def test_a_forgotten_token_is_verified_again(standing: Standing, issuer: Any) -> None:
    """The oldest makes room for newer ones, and loses nothing by it but time."""
    token = made(issuer)
    first = authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE)
    for number in range(TOKENS_REMEMBERED):
        standing.remember(b"%d" % number, first)
    assert token.encode() not in standing.remembered
    again = authenticate(bearer(token), UPSTREAM, Issuers([standing]), SOURCE)
    assert everything(again) == everything(first)
    assert again is not first


def test_a_token_of_a_vanished_key_is_refused_at_once(standing: Standing, issuer: Any) -> None:
    """A change of keys clears the memory, so what a withdrawn key signed is verified anew and fails."""
    old = bearer(made(issuer))
    authenticate(old, UPSTREAM, Issuers([standing]), SOURCE)
    issuer.rotate("second")
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    assert code(old, standing) == "token_invalid"
    assert authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE).task == "task-1"


def test_a_request_that_waits_does_not_go_on_when_its_key_has_vanished(standing: Standing, issuer: Any, clock: Any) -> None:
    """It was let in before, and is asked again when its wait is over; a key that comes back is good again."""
    waiting = authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)
    keys = json.loads(issuer.jwks())
    issuer.rotate("second")
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    assert why(waiting, standing) == "token_invalid"
    new = authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)
    assert still_good(new, standing) is new
    standing.keys(issuer.url, keys)
    assert still_good(waiting, standing) is waiting
    assert why(new, standing) == "token_invalid"
    standing.revoked(Revocation(1, clock.seconds, "key", issuer.kid, "operator", clock.seconds + 600, "acme"))
    standing.keys(issuer.url, json.loads(issuer.jwks()))
    assert why(new, standing) == "token_revoked", "that it is published again takes no revocation back"


def test_a_token_of_an_earlier_epoch_is_refused(standing: Standing, issuer: Any) -> None:
    """An authority that lost its records cannot say what it had revoked; whose token it was is still known."""
    old = authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)
    standing.beat("second epoch", 0, horizon=0.0)
    assert why(old, standing) == "token_invalid"
    assert why(authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE), standing) == "token_invalid"
    new = authenticate(bearer(made(issuer, epoch="second epoch")), UPSTREAM, Issuers([standing]), SOURCE)
    assert still_good(new, standing) is new


def test_expiry_has_no_leeway(standing: Standing, issuer: Any, clock: Any) -> None:
    """The second that `exp` names is the first in which the token is dead (RFC 7519 §4.1.4)."""
    principal = authenticate(bearer(made(issuer, exp=clock.seconds + 5.5)), UPSTREAM, Issuers([standing]), SOURCE)
    clock.seconds += 5.25
    assert still_good(principal, standing) is principal
    clock.seconds += 0.25
    assert why(principal, standing) == "token_expired"


@pytest.mark.parametrize(("kind", "name"), [("token", "token-1"), ("task", "task-1"), ("agent", AGENT), ("tenant", "acme")])
def test_each_rung_of_the_ladder_ends_the_access(standing: Standing, issuer: Any, clock: Any, kind: str, name: str) -> None:
    """Token, task, agent and tenant: a revocation of any of them, and of nothing else; nor of the agent in another tenant."""
    principal = authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)
    until = clock.seconds + 600
    standing.revoked(Revocation(1, 0.0, kind, name + "2", "operator", until, "acme"))
    standing.revoked(Revocation(2, 0.0, "task" if kind != "task" else "token", name, "operator", until, "acme"))
    standing.revoked(Revocation(3, 0.0, "agent", AGENT, "operator", until, "globex"))
    assert still_good(principal, standing) is principal
    standing.revoked(Revocation(4, 0.0, kind, name, "operator", until, "acme"))
    standing.restored(Restoration(5, 0.0, "agent", AGENT, "globex"))
    assert why(principal, standing) == "token_revoked"


def test_without_heartbeats_no_token_is_good(standing: Standing, issuer: Any, clock: Any) -> None:
    """A gateway that cannot tell what was revoked says so, with a time to come back, and recovers."""
    principal = authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE)
    clock.seconds += 10.5
    with pytest.raises(Refusal) as caught:
        still_good(principal, standing)
    assert (caught.value.code, caught.value.retry_after) == ("revocations_stale", 1)
    standing.beat("first epoch", 0, horizon=0.0)
    assert still_good(principal, standing) is principal


def test_params_and_starter_are_what_was_signed(standing: Standing, issuer: Any) -> None:
    """Each of the type it has; a token that says them in another way is none of ours."""
    details = [{"type": "agent_task", "params": {"customer": "42"}, "starter": "spiffe://acme.example/starter"}]
    principal = authenticate(bearer(made(issuer, authorization_details=details)), UPSTREAM, Issuers([standing]), SOURCE)
    assert (principal.params, principal.starter) == ({"customer": "42"}, "spiffe://acme.example/starter")
    for wrong in ([], {}, [{}, {}], ["x"], [{"params": []}], [{"params": {"a": 1}}], [{"starter": ""}], [{"starter": None}]):
        assert code(bearer(made(issuer, authorization_details=wrong)), standing) == "token_invalid"
