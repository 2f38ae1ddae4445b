"""A Doorward whose signing key is in a vault: its tokens are accepted, and without the vault none is issued."""

from pathlib import Path

import pytest
from fakes.bao import ROOT, serving_bao
from fakes.house import Build, get


async def test_tokens_of_a_vault_are_accepted_and_its_end_refuses_new_ones(house: Build, tmp_path: Path) -> None:
    """What was issued goes on, for nothing that verifies asks the vault."""
    async with serving_bao(tmp_path) as bao:
        await bao.post("transit/keys/tasks", {"type": "ecdsa-p256"})
        secret = tmp_path / "vault-token"
        secret.touch(0o600)
        secret.write_text(ROOT)
        signing = f"signing: {{vault: {{url: '{bao.url}', key: tasks, token: {{file: '{secret}'}}}}}}"
        it = await house(authority=f"listen: [unix:authority.sock]\n  issuer: http://authority.test\n  {signing}")
        token = await it.token()
        bao.process.kill()
        await bao.process.wait()
        client = await it.connect()
        await client.send(get("/api/items", token))
        assert (await client.answer()).status == 200
        with pytest.raises(AssertionError, match="temporarily_unavailable"):
            await it.issue("items.read")
        await it.stop()
    for file in (it.folder / "keys").iterdir():
        assert b"PRIVATE" not in file.read_bytes()
    assert ROOT not in (it.folder / "audit.jsonl").read_text()
