"""What a task token says of its task's limits, its ancestors and its starter, as a gateway takes it."""

from typing import Any

import pytest
from test_authenticate import SOURCE, UPSTREAM, bearer, everything, made

from gateway.errors import Refusal
from gateway.identity.authenticate import authenticate
from gateway.identity.issuers import Issuers
from gateway.identity.standing import Standing
from gateway.model import Limit


def details(**members: object) -> list[dict[str, object]]:
    """The one element that the authority signs."""
    return [{"type": "agent_task", "intents": ["invoices.read"], **members}]


def test_every_limit_of_the_task_and_of_those_above_counts(standing: Standing, issuer: Any) -> None:
    """A child spends from its own limits and from those of every ancestor, each under the name of the task that has it."""
    above = [{"task": "parent", "limits": {"requests": 5}}, {"task": "root", "limits": {"concurrent": 2}}, {"task": "top"}]
    said = details(limits={"rate": "20/s", "bytes": 9}, above=above, met=["a", "b"], starter="spiffe://acme.example/o")
    principal = authenticate(bearer(made(issuer, authorization_details=said)), UPSTREAM, Issuers([standing]), SOURCE)
    assert principal.limits == (
        Limit("rate", "rate/acme/task/task-1", 10, 0.5, "of this task"),
        Limit("bytes", "bytes/acme/task/task-1", 9, 0.0, "of this task"),
        Limit("requests", "requests/acme/task/parent", 5, 0.0, "of this task"),
        Limit("concurrent", "concurrent/acme/task/root", 2, 0.0, "of this task"),
    )
    assert (principal.family, principal.met, principal.starter) == ("top", {"a", "b"}, "spiffe://acme.example/o")


def test_what_policy_reads_of_the_claims_of_the_subject_is_known(standing: Standing, issuer: Any) -> None:
    """Whatever they are, no representation shows them; and of what is not spoken of nothing is known."""
    said = {"subject_claims": {"customers": ["42"]}, "subject_lacks": ["vip"]}
    principal = authenticate(bearer(made(issuer, **said)), UPSTREAM, Issuers([standing]), SOURCE)
    assert principal.subject_claims == ({"customers": ["42"]}, {"vip"})
    assert principal.subject_claims.had == {"customers": True, "vip": False}
    assert "42" not in repr(principal)
    assert authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), SOURCE).subject_claims == ({}, frozenset())


@pytest.mark.parametrize("whose", ["agent", "subject"])
def test_claims_of_another_form_are_no_token(standing: Standing, issuer: Any, whose: str) -> None:
    """A claim that cannot be read is not taken for one that is not there, whoever has signed it."""
    known = authenticate(bearer(made(issuer, **{f"{whose}_lacks": ["shift"]})), UPSTREAM, Issuers([standing]), SOURCE)
    assert (known.claims if whose == "agent" else known.subject_claims).had == {"shift": False}
    for member, said in (("claims", ["shift"]), ("claims", None), ("lacks", {"shift": 1}), ("lacks", [1]), ("lacks", None)):
        with pytest.raises(Refusal, match="token_invalid"):
            authenticate(bearer(made(issuer, **{f"{whose}_{member}": said})), UPSTREAM, Issuers([standing]), SOURCE)


@pytest.mark.parametrize(
    "members",
    [
        {"limits": []},
        {"limits": {"requests": "5"}},
        {"limits": {"calls": 5}},
        {"above": {}},
        {"above": ["parent"]},
        {"above": [{}]},
        {"above": [{"task": ""}]},
        {"above": [{"task": "parent", "limits": {"requests": 0}}]},
        {"met": "a"},
        {"met": [1]},
        {"met": None},
    ],
)
def test_what_cannot_be_read_is_no_token(standing: Standing, issuer: Any, members: dict[str, object]) -> None:
    """A bound that is not understood is never taken for none, whoever has signed it."""
    with pytest.raises(Refusal, match="token_invalid"):
        authenticate(bearer(made(issuer, authorization_details=details(**members))), UPSTREAM, Issuers([standing]), SOURCE)


def test_only_the_outermost_actor_is_seen(standing: Standing, issuer: Any) -> None:
    """Checklist 9: policy sees who acts now; who acted before is history and reaches no decision (RFC 8693 §4.1)."""
    now, before = "spiffe://acme.example/b", "spiffe://acme.example/a"
    principal = authenticate(
        bearer(made(issuer, act={"sub": now, "act": {"sub": before}})), UPSTREAM, Issuers([standing]), SOURCE
    )
    assert principal.agent == now
    assert f"agent:acme/{now}" in principal.marks
    assert before not in repr(everything(principal))
