"""Several issuers at one gateway: what one says, signs, forgets or fails to say is about its own tokens alone."""

import asyncio
import json
from typing import Any

import pytest
from test_authenticate import AGENT, SOURCE, UPSTREAM, bearer, everything, made

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.identity.authenticate import authenticate, still_good
from gateway.identity.cuts import Cuts
from gateway.identity.failures import ALLOWANCE
from gateway.identity.issuers import Issuers
from gateway.identity.standing import ENTIRE, Standing, Trust
from gateway.model import AgentPattern, Principal, Restoration, Revocation

OTHER = "https://other.example"


def standing_of(clock: Clock, issuer: Any, *tenants: str, prefix: str = "dwt_", trust: Trust = ENTIRE) -> Standing:
    """What is known of an issuer that has just been heard."""
    made = Standing(
        clock, issuer=issuer.url, audience="doorward", tenants=frozenset(("acme", *tenants)), prefix=prefix,
        max_staleness=10.0, trust=trust,
    )  # fmt: skip
    made.keys(issuer.url, json.loads(issuer.jwks()))
    made.beat("first epoch", 0, horizon=0.0)
    return made


@pytest.fixture
def other(issuer: Any) -> Any:
    """A second issuer. Its key has the very `kid` of the first one's."""
    made = type(issuer)()
    made.url = OTHER
    return made


class Two:
    """Two issuers that name agents, tasks and tokens alike, at one gateway."""

    def __init__(self, clock: Any, first: Any, second: Any, **second_options: Any) -> None:
        self.clock = clock
        self.first, self.second = first, second
        self.a = standing_of(clock, first)
        self.b = standing_of(clock, second, **second_options)
        self.issuers = Issuers([self.a, self.b])

    def of(self, token: str) -> Principal:
        return authenticate(bearer(token), UPSTREAM, self.issuers, SOURCE)

    def code(self, token: str) -> str:
        with pytest.raises(Refusal) as caught:
            self.of(token)
        return caught.value.code


@pytest.fixture
def two(clock: Any, issuer: Any, other: Any) -> Two:
    """Both have been heard."""
    return Two(clock, issuer, other)


def ended(seq: int, kind: str, name: str) -> Revocation:
    return Revocation(seq, 0.0, kind, name, "operator", 4e9, "acme")


def why(principal: Principal, standing: Standing) -> str:
    with pytest.raises(Refusal) as caught:
        still_good(principal, standing)
    return caught.value.code


def test_a_token_is_of_the_issuer_whose_key_has_signed_it(two: Two) -> None:
    """Both keys have one `kid`, and both tokens one `jti`; each is verified by the key of the issuer that it names."""
    first, second = two.of(made(two.first)), two.of(made(two.second))
    assert (first.issuer, second.issuer) == (two.first.url, OTHER)
    assert (first.agent, first.task, first.token, first.marks) == (second.agent, second.task, second.token, second.marks)
    assert [len(two.a.remembered), len(two.b.remembered)] == [1, 1]
    assert everything(two.of(made(two.first))) == everything(first)


def test_what_one_signs_in_the_name_of_the_other_is_refused(two: Two) -> None:
    """With the `kid` that both have, and with one that only the signer has; neither way, and nothing is remembered."""
    assert two.code(made(two.second, iss=two.first.url)) == "token_invalid"
    assert two.code(made(two.first, iss=OTHER)) == "token_invalid"
    two.second.rotate("second")
    two.b.keys(OTHER, json.loads(two.second.jwks()))
    assert two.code(made(two.second, iss=two.first.url)) == "token_invalid"
    assert two.of(made(two.second)).issuer == OTHER
    assert [len(two.a.remembered), len(two.b.remembered)] == [0, 1]


@pytest.mark.parametrize("named", ["https://stranger.example", f"{OTHER}/", "", None, 7, [OTHER], {"url": OTHER}])
def test_an_issuer_that_is_not_configured_is_refused(two: Two, named: object) -> None:
    """Whatever `iss` is; also where the key of a known issuer has signed it."""
    assert two.code(made(two.second, iss=named)) == "token_invalid"


def test_keys_that_one_publishes_for_the_other_are_not_taken(two: Two) -> None:
    """The line of an issuer tells of its own keys alone."""
    two.b.keys(two.first.url, json.loads(type(two.first)().jwks()))
    assert two.of(made(two.first)).issuer == two.first.url
    assert two.of(made(two.second)).issuer == OTHER


@pytest.mark.parametrize(("kind", "name"), [("task", "task-1"), ("token", "token-1"), ("agent", AGENT), ("tenant", "acme"),
                                            ("key", "first")])  # fmt: skip
def test_a_revocation_is_about_its_own_issuer_alone(two: Two, kind: str, name: str) -> None:
    """Whichever rung of the ladder: the same name at the other issuer goes on, and lifting it there lifts nothing here."""
    first, second = two.of(made(two.first)), two.of(made(two.second))
    two.b.revoked(ended(1, kind, name))
    assert still_good(first, two.a) is first
    assert why(second, two.b) == "token_revoked"
    two.a.restored(Restoration(2, 0.0, kind, name, "acme"))
    assert why(second, two.b) == "token_revoked"


def test_staleness_and_epochs_are_each_issuers_own(two: Two) -> None:
    """One falls silent, then loses its records; tokens of the other are good all the while."""
    token = made(two.first)
    first, second = two.of(token), two.of(made(two.second))
    two.clock.seconds += 11.0
    two.a.beat("first epoch", 0, horizon=0.0)
    assert still_good(first, two.a) is first
    assert why(second, two.b) == "revocations_stale"
    two.b.beat("second epoch", 0, horizon=0.0)
    assert why(second, two.b) == "token_invalid"
    assert two.of(token) is first
    two.b.anew()
    assert still_good(first, two.a) is first
    assert (len(two.a.remembered), len(two.b.remembered)) == (1, 0)


def test_an_issuer_that_was_not_heard_yet_is_stale_and_not_strange(clock: Any, two: Two) -> None:
    """Its tokens are told to come back, and those of the other are served."""
    silent = Standing(clock, issuer=OTHER, audience="doorward", tenants=frozenset(("acme",)), prefix="dwt_", max_staleness=10.0)
    issuers = Issuers([two.a, silent])
    with pytest.raises(Refusal) as caught:
        authenticate(bearer(made(two.second)), UPSTREAM, issuers, SOURCE)
    assert caught.value.code == "revocations_stale"
    assert authenticate(bearer(made(two.first)), UPSTREAM, issuers, SOURCE).issuer == two.first.url


def test_an_issuer_speaks_for_its_tenants_alone(clock: Any, issuer: Any, two: Two) -> None:
    """A tenant of one, claimed by the other, is refused, however well it is signed."""
    two.issuers = Issuers([standing_of(clock, issuer, "globex"), two.b])
    assert two.of(made(two.first, tenant="globex")).tenant == "globex"
    assert two.code(made(two.second, tenant="globex")) == "tenant_mismatch"


def test_an_issuer_speaks_for_its_agents_alone(clock: Any, issuer: Any, other: Any) -> None:
    """`agents` bounds one issuer, and says nothing of the other."""
    two = Two(clock, issuer, other, trust=Trust(agents=(AgentPattern.parse("spiffe://other.example/*"),)))
    assert two.of(made(issuer)).agent == AGENT
    assert two.code(made(other)) == "token_invalid"
    assert two.of(made(other, act={"sub": "spiffe://other.example/a"})).agent == "spiffe://other.example/a"


def test_algorithms_are_each_issuers_own(clock: Any, issuer: Any, other: Any) -> None:
    """What one may sign with the other may not: refused before a signature is looked at, by the header and by the key."""
    two = Two(clock, issuer, other, trust=Trust(("EdDSA",)))
    assert two.of(made(issuer)).issuer == issuer.url
    assert two.b.signing_keys == {}
    for _ in range(ALLOWANCE + 1):
        assert two.code(made(other)) == "token_invalid"
    two.b.signing_keys = two.a.signing_keys
    assert two.code(made(other)) == "token_invalid"
    assert two.b.failures.wait(SOURCE, "") == 0.0


def test_a_token_begins_with_what_those_of_its_issuer_do(clock: Any, issuer: Any, other: Any) -> None:
    """So that a scanner that finds it knows whose it is."""
    two = Two(clock, issuer, other, prefix="oth_")
    own = made(other).removeprefix("dwt_")
    assert two.of("oth_" + own).issuer == OTHER
    assert two.code("dwt_" + own) == "token_invalid"
    assert two.code("oth_" + made(issuer).removeprefix("dwt_")) == "token_invalid"
    with pytest.raises(Refusal) as caught:
        two.of("abc_" + own)
    assert (caught.value.code, caught.value.detail) == ("token_invalid", "A task token begins with dwt_ or oth_.")


def test_forgeries_in_the_name_of_one_do_not_cost_the_other(two: Two) -> None:
    """The allowance of a source is counted for each issuer."""
    forger = type(two.first)()
    forger.url = OTHER
    for _ in range(ALLOWANCE):
        assert two.code(made(forger)) == "token_invalid"
    assert two.code(made(two.second)) == "limit_exceeded"
    assert two.of(made(two.first)).issuer == two.first.url


class Connection:
    """What is open, and why it was ended."""

    def __init__(self, bearer: Principal) -> None:
        self.bearer: Principal | None = bearer
        self.ends: list[str] = []

    def interrupt(self, error: Refusal) -> None:
        self.bearer = None
        self.ends.append(error.code)


async def test_open_exchanges_are_cut_by_their_own_issuer(two: Two) -> None:
    """Revocation, a lost key, a new epoch and silence of one leave open what rests on tokens of the other."""

    def end(what: int) -> None:
        match what:
            case 0:
                two.b.revoked(ended(1, "task", "task-1"))
            case 1:
                two.b.keys(OTHER, {"keys": []})
            case 2:
                two.b.beat("second epoch", 1, horizon=0.0)
            case _:
                two.b.anew()

    for what, code in enumerate(("token_revoked", "token_invalid", "token_invalid", "token_invalid")):
        fresh = Two(two.clock, two.first, two.second)
        two.a, two.b, two.issuers = fresh.a, fresh.b, fresh.issuers
        first, second = (Connection(two.of(made(each))) for each in (two.first, two.second))
        watches = [Cuts(standing, [first, second], two.clock) for standing in (two.a, two.b)]  # type: ignore[list-item]
        end(what)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (first.ends, second.ends) == ([], [code])
        assert len(watches) == 2
