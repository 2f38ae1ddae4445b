"""The signing key: made once, private, published in the standard form."""

import json
import os
import stat
from pathlib import Path

import jwt
import pytest

from gateway.authority.keys import load_or_create, thumbprint
from gateway.errors import DoorwardError
from gateway.identity.keyset import read_key_set


def test_the_key_is_made_once_and_private(tmp_path: Path):
    """The first start makes the key for its owner alone, whatever the umask, and the next start finds it."""
    before = os.umask(0)
    try:
        first = load_or_create(tmp_path / "var")
    finally:
        os.umask(before)
    assert load_or_create(tmp_path / "var").kid == first.kid
    (file,) = (tmp_path / "var/keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "PRIVATE" not in repr(first)


def test_a_store_in_memory_has_a_key_of_its_own():
    """Without a folder every run has another key."""
    assert load_or_create(None).kid != load_or_create(None).kid


def test_the_published_set_verifies_what_the_key_signs(tmp_path: Path):
    """The JWK set is read by the gateway's own reader and by PyJWT, and its kid is the RFC 7638 thumbprint."""
    key = load_or_create(tmp_path)
    jwks = key.jwks()
    assert read_key_set(json.dumps(jwks).encode(), ["ES256"]).keys() == {key.kid}
    published = jwt.PyJWKSet.from_dict(dict(jwks))[key.kid]
    signed = jwt.encode({"a": 1}, key.private, "ES256")
    assert jwt.decode(signed, published.key, algorithms=["ES256"]) == {"a": 1}
    (document,) = jwks["keys"]
    assert document.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}


def test_the_thumbprint_ignores_other_members():
    """RFC 7638 §3.2: only the required members of an EC key count, in their lexical order."""
    members = {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
               "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}  # fmt: skip
    assert (
        thumbprint({**members, "use": "enc", "kid": "1"})
        == thumbprint(members)
        == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
    )


@pytest.mark.parametrize("broken", ["file", "folder"])
def test_a_key_that_others_could_read_is_refused(tmp_path: Path, broken: str):
    """A key that was open for a moment may be known, so it is not used, and the sentence says what to run."""
    load_or_create(tmp_path)
    path = tmp_path / "keys" / ("signing.pem" if broken == "file" else "")
    path.chmod(0o750)
    with pytest.raises(DoorwardError, match=r"chmod [67]00"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_broken_key_is_refused(tmp_path: Path, content: str):
    """A key that cannot be read is never replaced in silence."""
    load_or_create(tmp_path)
    (tmp_path / "keys/signing.pem").write_text(content)
    with pytest.raises(DoorwardError, match="no usable P-256 key"):
        load_or_create(tmp_path)
    assert (tmp_path / "keys/signing.pem").read_text() == content


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    """The sentence names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DoorwardError, match="file/keys cannot be used"):
        load_or_create(tmp_path / "file")
