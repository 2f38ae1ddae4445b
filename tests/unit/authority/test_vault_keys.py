"""Signing by a real vault: each algorithm, its rotation, a wrong token, and the vault being away."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.authority import StillClock, build_store
from fakes.bao import ROOT, Bao, serving_bao

from gateway.authority import vault as module
from gateway.authority.key_folder import KeyFolder
from gateway.authority.keys import UnsignedError
from gateway.authority.rotation import SigningKeys
from gateway.authority.vault import AT_ONCE, LOOK_EVERY, TOKEN_BYTES, Vault
from gateway.errors import DoorwardError
from gateway.identity.jose import read, verify

LEAD = 120.0


@pytest.fixture
async def bao(tmp_path: Path) -> AsyncIterator[Bao]:
    """A real one, with the transit engine."""
    async with serving_bao(tmp_path) as made:
        yield made


@pytest.mark.parametrize(("kind", "algorithm"), [("ecdsa-p256", "ES256"), ("ed25519", "EdDSA"), ("rsa-2048", "RS256")])
async def test_a_vault_signs_and_its_next_version_follows(tmp_path: Path, bao: Bao, kind: str, algorithm: str) -> None:
    """Over a restart, too; without the vault nothing is signed, and its keys are still known."""
    await bao.post("transit/keys/tasks", {"type": kind})
    secret = tmp_path / "token"
    secret.touch(0o600)
    secret.write_text("wrong")
    vault, clock = Vault(bao.url, "transit", "tasks", secret, None), StillClock()
    with pytest.raises(DoorwardError, match="denies GET keys/tasks"):
        await vault.look()
    secret.write_text(ROOT)
    await vault.look()
    store = build_store(tmp_path, clock)
    await store.open()

    def made() -> SigningKeys:
        return SigningKeys(
            KeyFolder(tmp_path, vault), store, clock, algorithm="ES256", every=1e9, lead=LEAD, longest=900.0, source=vault
        )

    keys = made()
    first = keys.current
    assert first.algorithm == algorithm
    old = read((await first.signed("at+jwt", {"sub": "a"})).encode())
    await bao.post("transit/keys/tasks/rotate", {})
    await vault.look()
    await keys.tend()
    assert keys.current is first
    clock.seconds += LEAD
    keys = made()
    await keys.tend()
    assert keys.current.kid != first.kid
    new = read((await keys.current.signed("at+jwt", {"sub": "a"})).encode())
    bao.process.kill()
    await bao.process.wait()
    with pytest.raises(UnsignedError, match="does not sign now"):
        await keys.current.signed("at+jwt", {"sub": "a"})
    for jws in (old, new):
        key = keys.verification(jws.kid)
        assert key is not None
        verify(jws, key)
    await vault.close()
    await store.close()


class Paused(StillClock):
    """Says for how long somebody wants to sleep, and lets it sleep until it is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.woken = asyncio.Queue[float](), asyncio.Queue[None]()

    async def sleep(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self.woken.get()


async def test_a_new_version_is_noticed_with_the_next_look(tmp_path: Path, bao: Bao) -> None:
    """One comes after each pause, also after one that found the vault away, and what was seen last holds until then."""
    await bao.post("transit/keys/tasks", {"type": "ecdsa-p256"})
    secret = tmp_path / "token"
    secret.touch(0o600)
    secret.write_text(ROOT)
    vault, clock = Vault(bao.url, "transit", "tasks", secret, None), Paused()
    looking = asyncio.create_task(vault.run(clock))
    seen = []
    for text in (ROOT, "wrong", ROOT):
        assert await clock.asked.get() == LOOK_EVERY
        seen.append(vault.read().kid)
        await bao.post("transit/keys/tasks/rotate", {})
        secret.write_text(text)
        clock.woken.put_nowait(None)
    assert await clock.asked.get() == LOOK_EVERY
    seen.append(vault.read().kid)
    assert (seen[1] == seen[2], len(set(seen))) == (True, 3)
    looking.cancel()
    await asyncio.wait([looking])
    await vault.close()


async def test_a_vault_that_is_silent_holds_up_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for a bounded time, and one more is told to come again at once."""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    secret = tmp_path / "token"
    secret.touch(0o600)
    secret.write_text(ROOT)
    silent = socket.create_server(("127.0.0.1", 0), backlog=2 * AT_ONCE)
    vault = Vault(f"http://127.0.0.1:{silent.getsockname()[1]}", "transit", "tasks", secret, None)
    waiting = [asyncio.create_task(vault.sign(1, "ES256", b"x")) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(UnsignedError, match="are being waited for"):
        await vault.sign(1, "ES256", b"x")
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in ended} == {UnsignedError}
    await vault.close()
    silent.close()


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (ROOT, 0o644, "is open to other users"),
        ("two words", 0o600, "holds no token of a vault"),
        ("", 0o600, "holds no token of a vault"),
        ("x" * TOKEN_BYTES + " y", 0o600, "cannot be reached|cannot reach|refused"),
    ],
)
async def test_a_token_that_cannot_be_used_is_told(tmp_path: Path, text: str, mode: int, told: str) -> None:
    """Before anything is sent; and what was in the file is in no error."""
    secret = tmp_path / "token"
    secret.write_text(text)
    secret.chmod(mode)
    vault = Vault("http://127.0.0.1:1", "transit", "tasks", secret, None)
    with pytest.raises(DoorwardError, match=told) as raised:
        await vault.look()
    assert not text or text not in str(raised.value)
    await vault.close()
