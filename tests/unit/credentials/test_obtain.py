"""The credential for a permit: made once for each secret, named by a fingerprint, refused rather than left out."""

from pathlib import Path

import pytest
from fakes.clock import TurnedClock

from gateway.credentials.injectors import header
from gateway.credentials.obtain import FINGERPRINTED_FROM, Credentials, ManagedCredential
from gateway.credentials.secret import Secret
from gateway.credentials.sources import file
from gateway.errors import Refusal
from gateway.model import Coverage, Operation, Origin, Permit, Principal, Upstream, Use

CANARY = "canary-of-an-upstream-secret"
UPSTREAM = Upstream(
    tenant="acme", name="billing", origin=Origin("https", "api.example", 443), prefix="/billing", base_path="",
    protocol="http", credential="billing-key",
)  # fmt: skip
PRINCIPAL = Principal(
    agent="spiffe://acme.example/a", subject="s", tenant="acme", task="t", token="j", intents=frozenset(("x",)),
    expires=4e9, epoch="e", marks=frozenset(),
)  # fmt: skip
USE = Use(None, Operation("GET", "/", ("",)), (Coverage("x", {}, ()),))
PERMIT = Permit._issue(principal=PRINCIPAL, use=USE, upstream=UPSTREAM, intent=USE.observed[0], grant="g", policy="p")


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that a test may turn."""
    return TurnedClock()


class Place:
    """A secret in a real file, and what is made of it."""

    def __init__(self, folder: Path, clock: TurnedClock) -> None:
        self.file, self.clock = folder / "secret", clock

    def managed(self, secret: str | None = CANARY, *, ends: float | None = None, key: bytes = b"k" * 32) -> ManagedCredential:
        """The credential whose secret is in the file; None leaves the file out."""
        if secret is not None:
            self.file.write_text(secret)
        source = file.build(file.Config(path="secret"), self.clock, self.file.parent.joinpath)
        return ManagedCredential("billing-key", source, header.HeaderInjector("X-Api-Key"), ends=ends, key=key)

    def all(self, managed: ManagedCredential) -> Credentials:
        """The credentials of a snapshot that has this one."""
        return Credentials({"billing-key": managed}, self.clock)


@pytest.fixture
def place(tmp_path: Path, clock: TurnedClock) -> Place:
    """Where the secret of the test is."""
    return Place(tmp_path, clock)


async def refusal(credentials: Credentials) -> Refusal:
    """The refusal in place of a credential."""
    with pytest.raises(Refusal) as caught:
        await credentials.obtain(PERMIT)
    return caught.value


async def test_a_permit_gets_the_lines_of_its_upstreams_credential(place: Place) -> None:
    """The same object as long as the secret stays, with the headers that are emptied of the caller's."""
    credentials = place.all(place.managed())
    credential = await credentials.obtain(PERMIT)
    assert credential.lines.reveal() == b"X-Api-Key: " + CANARY.encode() + b"\r\n"
    assert (credential.name, credential.places) == ("billing-key", frozenset(("x-api-key",)))
    assert await credentials.obtain(PERMIT) is credential


async def test_another_secret_is_another_version(place: Place) -> None:
    """Records tell the secrets apart, without the gateway being started anew."""
    credentials = place.all(place.managed())
    first = await credentials.obtain(PERMIT)
    place.file.write_text("another-secret-0123456789")
    place.clock.ahead += 2
    second = await credentials.obtain(PERMIT)
    assert second.lines.reveal() == b"X-Api-Key: another-secret-0123456789\r\n"
    assert first.version != second.version


@pytest.mark.parametrize(("length", "marked"), [(FINGERPRINTED_FROM - 1, False), (FINGERPRINTED_FROM, True)])
def test_a_short_secret_gets_no_fingerprint(place: Place, length: int, marked: bool) -> None:
    """What could be guessed from its fingerprint has none: the version says so."""
    version = place.managed("s" * length).credential().version
    assert (version != "unmarked") is marked
    assert len(version) == (16 if marked else len("unmarked"))


def test_a_fingerprint_needs_its_key(place: Place) -> None:
    """The same secret under another key has another version, so nobody can compare it with guesses."""
    versions = {place.managed(key=key * 32).credential().version for key in (b"a", b"b")}
    assert len(versions) == 2
    assert place.managed(key=b"a" * 32).credential().version in versions


def test_nothing_shows_the_secret(place: Place) -> None:
    """Neither a credential nor its parts, however they are formatted."""
    managed = place.managed()
    credential = managed.credential()
    inside = getattr(managed, "__dict__", "")  # which a compiled object does not have
    shown = f"{credential!r} {credential} {credential.lines!r} {credential.lines:>9} {managed!r} {managed.source!r} {inside}"
    assert CANARY not in shown
    assert repr(credential) == f"<Credential billing-key {credential.version}>"


async def test_an_ended_exception_refuses(place: Place) -> None:
    """From the very second on, also for a credential that was used before; who asks learns its name and no more."""
    ends = place.clock.now() + 60
    credentials = place.all(place.managed(ends=ends))
    assert await credentials.obtain(PERMIT)
    place.clock.ahead += 60
    refused = await refusal(credentials)
    assert refused.code == "credential_expired"
    assert CANARY not in refused.detail


async def test_a_secret_that_cannot_be_had_refuses(place: Place) -> None:
    """It is worth trying again later, and the reason is the operator's: no path is told."""
    refused = await refusal(place.all(place.managed(None)))
    assert (refused.code, refused.retry_after, refused.__cause__) == ("credential_unavailable", 5, None)
    assert str(place.file) not in f"{refused!r} {refused.detail}"


@pytest.mark.parametrize("secret", ["two\nlines", "nul\0", " outer space"])
async def test_an_unfit_secret_refuses(place: Place, secret: str) -> None:
    """What would break out of its header is never sent, and never shown."""
    refused = await refusal(place.all(place.managed(secret)))
    assert refused.code == "credential_unavailable"
    assert secret not in f"{refused!r} {refused.detail}"


def test_a_secret_that_becomes_unfit_does_not_leave_the_old_one_in_use(place: Place) -> None:
    """Nothing falls back to a secret that its owner has replaced."""
    managed = place.managed()
    managed.credential()
    place.file.write_text("two\nlines")
    place.clock.ahead += 2
    for _ in range(2):
        with pytest.raises(Exception, match="control characters"):
            managed.credential()


def test_a_secret_is_no_text() -> None:
    """It cannot be put into one by accident."""
    assert "canary" not in f"{Secret(b'canary')} {Secret(b'canary')!r} {[Secret(b'canary')]}"
