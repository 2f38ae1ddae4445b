"""Names are sealed for one task at one upstream; knows no session."""

import pytest

from gateway.intent.sealing import LONGEST_NAME, Seal
from gateway.model import Origin, Principal, Upstream

KEY = bytes(range(32))


def principal(agent: str = "spiffe://t/a", task: str = "1", issuer: str = "https://i.example") -> Principal:
    return Principal(agent=agent, subject=agent, tenant="t", task=task, token="x", intents=frozenset(), expires=0.0, epoch="",
                     marks=frozenset(), issuer=issuer)  # fmt: skip


def upstream(name: str = "api", tenant: str = "t") -> Upstream:
    origin = Origin("https", "api.example", 443)
    return Upstream(tenant=tenant, name=name, origin=origin, prefix="", base_path="", protocol="mcp", credential="key")


def test_a_name_is_opened_by_whom_it_was_sealed_for():
    """It comes back as it was, however often it is sealed, and shows nothing of itself."""
    seal = Seal(KEY)
    for name in (b"a", b"session-1", b"a b\t\xe9", b"x" * LONGEST_NAME):
        sealed = seal.close(name, b"session", principal(), upstream())
        assert sealed == Seal(KEY).close(name, b"session", principal(), upstream())
        assert name not in sealed or name == b"a"
        assert seal.open(sealed, b"session", principal(), upstream()) == name


@pytest.mark.parametrize(
    ("key", "purpose", "who", "where"),
    [
        (bytes(32), b"session", principal(), upstream()),
        (KEY, b"event", principal(), upstream()),
        (KEY, b"session", principal(agent="spiffe://t/b"), upstream()),
        (KEY, b"session", principal(task="2"), upstream()),
        (KEY, b"session", principal(issuer="https://other.example"), upstream()),
        (KEY, b"session", principal(), upstream(name="other")),
        (KEY, b"session", principal(), upstream(tenant="u")),
    ],
)
def test_a_name_opens_nothing_for_others(key, purpose, who, where):
    """Another key, purpose, agent, task, issuer, upstream or tenant, each alone."""
    sealed = Seal(KEY).close(b"session-1", b"session", principal(), upstream())
    assert Seal(key).open(sealed, purpose, who, where) is None


def test_a_name_that_is_no_name_is_not_sealed():
    """Nothing, more than fits a header, or what no header may hold, so that nothing malformed goes out when it is opened."""
    for name in (
        b"",
        b"x" * (LONGEST_NAME + 1),
        *(b"a%cb" % octet for octet in (*range(9), *range(10, 32), 127)),
        b" ",
    ):
        assert Seal(KEY).close(name, b"session", principal(), upstream()) is None


@pytest.mark.parametrize("tried", [b"", b"x", b"A" * 22, b"A" * 3000, b"=" * 40, b"A" * 41, b"\xff" * 40])
def test_what_was_not_sealed_opens_nothing(tried):
    """Whatever form it has."""
    assert Seal(KEY).open(tried, b"session", principal(), upstream()) is None


@pytest.mark.parametrize("name", [b"session-1", b"session-12"])
def test_a_sealed_name_has_one_spelling(name):
    """Letters that differ only in bits that no byte uses (RFC 4648 §3.5) are another name, which was never given out."""
    sealed = Seal(KEY).close(name, b"session", principal(), upstream())
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [sealed[:-1] + letters[each : each + 1] for each in range(64) if letters[each] != sealed[-1]]
    assert len(sealed) % 4
    assert [Seal(KEY).open(each, b"session", principal(), upstream()) for each in others] == [None] * 63


def test_a_seal_shows_nothing():
    """Its text has no key in it."""
    assert repr(Seal(KEY)) == "<Seal>"
