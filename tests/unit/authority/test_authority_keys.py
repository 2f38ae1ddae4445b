"""A signing key of each algorithm, and the private file that keeps what an authority signs with."""

import json
import os
import stat
from pathlib import Path
from typing import get_args

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from gateway.authority.key_folder import KeyFolder, Keys, Retired
from gateway.authority.keys import RSA_BITS, Algorithm, SigningKey, base64url
from gateway.errors import DoorwardError
from gateway.identity.jose import TokenProblem, read, verify
from gateway.identity.keyset import read_key_set
from gateway.identity.standing import ALGORITHMS

NAMES = get_args(Algorithm)


@pytest.fixture(scope="module")
def made() -> dict[str, SigningKey]:
    """One key of each algorithm: an RSA key takes long to make."""
    return {name: SigningKey.generate(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_published_set_verifies_what_the_key_signs(made: dict[str, SigningKey], name: str) -> None:
    """The JWK set is read by the gateway's own reader and by PyJWT, and both verify; nothing private is in it."""
    key = made[name]
    token = key.sign("at+jwt", {"a": 1})
    assert jwt.get_unverified_header(token) == {"alg": name, "typ": "at+jwt", "kid": key.kid}
    ours = read_key_set(json.dumps(key.jwks()).encode(), ALGORITHMS)
    verify(read(token.encode()), ours[key.kid])
    published = jwt.PyJWKSet.from_dict(dict(key.jwks()))[key.kid]
    assert jwt.decode(token, published.key, algorithms=[name]) == {"a": 1}
    assert key.jwk.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi"})
    assert "PRIVATE" not in repr(key)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("claimed", NAMES)
def test_a_token_whose_header_names_another_algorithm_is_refused(made: dict[str, SigningKey], name: str, claimed: str) -> None:
    """RFC 8725 §3.1: a key serves its one algorithm, whatever the header says."""
    header, rest = made[name].sign("at+jwt", {"a": 1}).split(".", 1)
    told = jwt.get_unverified_header(f"{header}.{rest}")
    changed = base64url(json.dumps({**told, "alg": claimed}).encode()).decode()
    if claimed == name:
        verify(read(f"{header}.{rest}".encode()), made[name].verification)
        return
    with pytest.raises(TokenProblem, match="algorithm"):
        verify(read(f"{changed}.{rest}".encode()), made[name].verification)


def test_a_new_rsa_key_is_long_and_a_short_one_is_refused(made: dict[str, SigningKey]) -> None:
    """3072 bits when made here, 2048 at least when brought; other curves and kinds are no signing keys."""
    private = made["RS256"].private
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == RSA_BITS
    assert SigningKey(rsa.generate_private_key(65537, 2048)).algorithm == "RS256"
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 it is refused
    for wrong in (short, ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(ValueError, match=r"bits|it is no key"):
            SigningKey(wrong)
    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="it is no key for ES256, EdDSA, RS256"):
        SigningKey.from_pem(pem)


def test_what_was_kept_is_found_again_and_private(tmp_path: Path, made: dict[str, SigningKey]) -> None:
    """For the owner alone, whatever the umask; of a retired key no private half is left."""
    old, current, following = made["RS256"], made["ES256"], made["EdDSA"]
    before = os.umask(0)
    try:
        folder = KeyFolder(tmp_path / "var")
        assert folder.load() is None
        folder.keep(Keys(current, 5.0, following, 7.5, (Retired(old.jwk, 9.0),)))
    finally:
        os.umask(before)
    found = KeyFolder(tmp_path / "var").load()
    assert found is not None
    assert (found.current.kid, found.since, found.starts) == (current.kid, 5.0, 7.5)
    assert found.following is not None
    assert (found.following.kid, found.retired) == (following.kid, (Retired(old.jwk, 9.0),))
    (file,) = (tmp_path / "var/keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text().count("BEGIN PRIVATE KEY") == 2


@pytest.mark.parametrize("broken", ["signing.json", ""])
def test_a_key_that_others_could_read_is_refused(tmp_path: Path, made: dict[str, SigningKey], broken: str) -> None:
    """A key that was open for a moment may be known, so it is not used, and the sentence says what to run."""
    folder = KeyFolder(tmp_path)
    folder.load()
    folder.keep(Keys(made["ES256"], 1.0))
    (tmp_path / "keys" / broken).chmod(0o750)
    with pytest.raises(DoorwardError, match=r"chmod [67]00"):
        folder.load()


@pytest.mark.parametrize("content", ["", "no key", "[]", '{"current":{"private":"x","since":1},"following":null,"retired":[]}'])
def test_a_broken_file_is_refused(tmp_path: Path, content: str) -> None:
    """Keys that cannot be read are never replaced in silence."""
    KeyFolder(tmp_path).load()
    file = tmp_path / "keys/signing.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(DoorwardError, match="holds no usable signing keys"):
        KeyFolder(tmp_path).load()
    assert file.read_text() == content


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, made: dict[str, SigningKey]) -> None:
    """The sentence names the folder, at the start and later."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DoorwardError, match="file/keys cannot be used"):
        KeyFolder(tmp_path / "file").load()
    with pytest.raises(DoorwardError, match="cannot be written to"):
        KeyFolder(tmp_path / "gone").keep(Keys(made["ES256"], 1.0))


def test_without_a_folder_nothing_is_kept(made: dict[str, SigningKey]) -> None:
    """A store in memory has keys of its own in every run."""
    KeyFolder(None).keep(Keys(made["ES256"], 1.0))
    assert KeyFolder(None).load() is None
