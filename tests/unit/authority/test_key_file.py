"""A signing key that somebody else puts into a file: read again when it changes, published before it signs, never open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.authority import StillClock, build_store

from gateway.authority.key_file import KeyFile
from gateway.authority.key_folder import KeyFolder
from gateway.authority.keys import SigningKey
from gateway.authority.rotation import NotNowError, SigningKeys
from gateway.authority.rules import SigningRule
from gateway.errors import DoorwardError
from gateway.stores.store import Store

LEAD = 120.0


def put(path: Path, key: SigningKey, mode: int = 0o600) -> SigningKey:
    draft = path.with_suffix(".new")
    draft.write_text(key.pem())
    draft.chmod(mode)
    draft.replace(path)
    return key


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A real one."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    yield store
    await store.close()


def keys_of(tmp_path: Path, store: Store, clock: StillClock) -> SigningKeys:
    file = KeyFile(tmp_path / "signing.pem")
    return SigningKeys(KeyFolder(tmp_path), store, clock, algorithm="ES256", every=1e9, lead=LEAD, longest=900.0, source=file)


async def test_another_key_in_the_file_signs_after_it_was_published(tmp_path: Path, store: Store) -> None:
    """Of any algorithm, over a restart, and back again to the key before; by hand there is nothing to exchange."""
    clock = StillClock()
    first = put(tmp_path / "signing.pem", SigningKey.generate("ES256"))
    keys = keys_of(tmp_path, store, clock)
    await keys.tend()
    assert keys.current.kid == first.kid
    with pytest.raises(NotNowError, match="from a file"):
        await keys.rotate()
    second = put(tmp_path / "signing.pem", SigningKey.generate("EdDSA"))
    await keys.tend()
    assert (keys.current.kid, keys.document()[0]["key"]) == (first.kid, second.kid)
    clock.seconds += LEAD
    keys = keys_of(tmp_path, store, clock)
    await keys.tend()
    assert keys.current.kid == second.kid
    put(tmp_path / "signing.pem", first)
    await keys.tend()
    published = [jwk["kid"] for jwk in keys.jwks()["keys"]]  # type: ignore[attr-defined]
    assert published == [second.kid, first.kid]
    clock.seconds += LEAD
    await keys.tend()
    assert keys.current.kid == first.kid


async def test_a_file_that_cannot_be_used_leaves_the_key_before(tmp_path: Path, store: Store) -> None:
    """Gone, open to others, or broken: the sentence names it; at the first start there is no key without it."""
    file = tmp_path / "signing.pem"
    with pytest.raises(DoorwardError, match=r"signing\.pem cannot be read"):
        keys_of(tmp_path, store, StillClock())
    first = put(file, SigningKey.generate("ES256"))
    keys = keys_of(tmp_path, store, StillClock())
    put(file, SigningKey.generate("ES256"), 0o640)
    with pytest.raises(DoorwardError, match=r"chmod 600"):
        await keys.tend()
    file.unlink()
    file.write_text("no key")
    file.chmod(0o600)
    with pytest.raises(DoorwardError, match=r"no usable signing key: it is no private key in PEM"):
        await keys.tend()
    assert keys.current.kid == first.kid


def test_a_file_brings_its_own_algorithm() -> None:
    """What is made here is not configured beside it."""
    with pytest.raises(ValueError, match="`algorithm` is for keys that are made here"):
        SigningRule.model_validate({"file": "a.pem", "algorithm": "EdDSA"})
