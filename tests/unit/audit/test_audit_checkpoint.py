"""Tests of signed notes and their keys."""

import base64

import pytest

from gateway.audit.checkpoint import Checkpoint, CheckpointError, Signer, VerifierKey, load_or_create
from gateway.errors import DoorwardError

DIGEST = "ab" * 32


@pytest.fixture
def signer():
    """A key with a known seed."""
    return Signer("acme/audit", bytes(range(32)))


def test_a_note_has_the_form_of_a_tlog_checkpoint(signer):
    """Origin, size, base64 digest, an empty line, and a signature line with a dash, the name, key id and signature."""
    lines = signer.sign(41, DIGEST).split("\n")
    assert lines[:4] == ["acme/audit", "41", base64.b64encode(bytes.fromhex(DIGEST)).decode(), ""]
    dash, name, signature = lines[4].split(" ")
    assert (dash, name, lines[5]) == ("—", "acme/audit", "")
    assert base64.b64decode(signature)[:4].hex() == str(signer.verifier).split("+")[1]
    assert len(base64.b64decode(signature)) == 68


def test_the_published_example_of_signed_notes_verifies():
    """The note and verifier key in the documentation of golang.org/x/mod/sumdb/note, an implementation by others."""
    key = VerifierKey.read("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    key.verify(f"{text}\n— PeterNeumann {signature}\n")
    with pytest.raises(CheckpointError, match="wrong"):
        key.verify(f"{text.replace('think', 'know')}\n— PeterNeumann {signature}\n")


def test_reading_gives_what_was_signed(signer):
    """A note verifies and reads as what it attests; the printed key reads as the same key."""
    note = signer.sign(41, DIGEST)
    key = VerifierKey.read(str(signer.verifier))
    key.verify(note)
    assert key == signer.verifier
    assert Checkpoint.read(note, "there") == Checkpoint("acme/audit", 41, DIGEST, "there")


def test_signatures_of_others_are_passed_over(signer):
    """A witness may add its line before or after; ours must be there and right."""
    other = Signer("witness", bytes(32))
    note = signer.sign(1, DIGEST)
    theirs = other.sign(1, DIGEST).rpartition("\n\n")[2]
    signer.verifier.verify(note + theirs)
    with pytest.raises(CheckpointError, match="no signature of the key"):
        other.verifier.verify(note)


@pytest.mark.parametrize(
    "harm",
    [
        lambda note: note.replace("41", "42"),
        lambda note: note.replace("acme/audit\n", "evil/audit\n", 1),
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.rstrip("\n"),
        lambda note: note.replace("— acme", "- acme"),
        lambda note: note[:-10] + "\n",
        lambda note: note[:0],
        lambda note: note * 200,
    ],
)
def test_a_changed_note_is_noticed(signer, harm):
    """No change of a note leaves it verified."""
    with pytest.raises(CheckpointError):
        signer.verifier.verify(harm(signer.sign(41, DIGEST)))


@pytest.mark.parametrize(
    "body", ["acme/audit\n041\nqw==\n", "acme/audit\n-1\nqw==\n", "acme/audit\n1\n", "acme/audit\n1\nqw==\n"]
)
def test_other_notes_are_no_checkpoints(body):
    """The size is a plain decimal number and the digest has 32 bytes."""
    with pytest.raises(CheckpointError):
        Checkpoint.read(f"{body}\n— a b\n", "")


@pytest.mark.parametrize("text", ["", "acme", "acme+0+AX", "acme+1a2b3c4d+AXX=", "a b+1a2b3c4d+AQ=="])
def test_broken_keys_are_refused(text):
    """What is no verifier key is told from one."""
    with pytest.raises(CheckpointError):
        VerifierKey.read(text)


def test_a_key_is_made_once_and_kept(tmp_path):
    """The first start makes a private file and its public half; later ones read the same key and its name."""
    path = tmp_path / "audit.key"
    first = load_or_create(path, "acme/audit")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("PRIVATE+KEY+acme/audit+")
    assert (tmp_path / "audit.key.pub").read_text() == f"{first.verifier}\n"
    again = load_or_create(path, "other/audit")
    assert again.verifier == first.verifier
    assert repr(again) == "Signer(acme/audit)"


def test_a_key_that_others_can_read_is_refused(tmp_path):
    """The message names the command that helps."""
    path = tmp_path / "audit.key"
    load_or_create(path, "acme/audit")
    path.chmod(0o644)
    with pytest.raises(DoorwardError, match="chmod 600"):
        load_or_create(path, "acme/audit")


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+acme/audit+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode()])
def test_a_damaged_key_is_refused(tmp_path, text):
    """A key file that holds no key is never replaced silently."""
    path = tmp_path / "audit.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(DoorwardError, match=r"restore it"):
        load_or_create(path, "acme/audit")
    assert path.read_text() == text


def test_an_origin_without_form_is_refused(tmp_path):
    """A name with a space or a plus could not be read back."""
    with pytest.raises(DoorwardError, match="cannot be called"):
        load_or_create(tmp_path / "audit.key", "my company/audit")
