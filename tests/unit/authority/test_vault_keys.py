"""Signing by a real vault: each algorithm, its rotation, a wrong token, and the vault being away."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.authority import StillClock, build_store

from gateway.authority.key_folder import KeyFolder
from gateway.authority.keys import UnsignedError
from gateway.authority.rotation import SigningKeys
from gateway.authority.vault import Vault
from gateway.errors import DoorwardError
from gateway.fetch import Fetch, FetchError
from gateway.identity.jose import read, verify

ROOT = "root-of-the-test"
LEAD = 120.0


class Bao:
    """A development server of OpenBao, and requests of its operator."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    async def post(self, path: str, body: object) -> None:
        async with Fetch() as fetch:
            answer = await fetch.request("POST", f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": ROOT})
        assert answer.status in (200, 204)


@pytest.fixture
async def bao(tmp_path: Path) -> AsyncIterator[Bao]:
    """A real one, with the transit engine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "bao"), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}",
        f"-dev-listen-address=127.0.0.1:{port}", env={**os.environ, "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        made = Bao(port, process)
        async with asyncio.timeout(60):
            while True:
                try:
                    await made.post("sys/mounts/transit", {"type": "transit"})
                    break
                except (FetchError, AssertionError):
                    await asyncio.sleep(0.2)
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


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
