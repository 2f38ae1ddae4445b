"""The strict reader and verifier of signed tokens."""

import base64
import hashlib
import hmac
import json
import re
import string
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.identity import jose
from gateway.identity.jose import TokenProblem, VerificationKey, base64url, parts_of, read, read_object, take_apart, verify

ALPHABET = string.ascii_letters + string.digits + "-_"


def b64(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def token(header: Any, payload: Any = None, signature: str = "AAAA") -> bytes:
    """A token of these parts, given as JSON text or as values, with a signature that nobody made."""
    head = header if isinstance(header, str) else json.dumps(header)
    body = payload if isinstance(payload, str) else json.dumps(payload or {})
    return f"{b64(head.encode())}.{b64(body.encode())}.{signature}".encode()


def code(presented: bytes) -> str:
    """The code with which the reader refuses."""
    with pytest.raises(TokenProblem) as caught:
        read(presented)
    return caught.value.code


@pytest.fixture
def key(issuer: Any) -> VerificationKey:
    """The issuer's key, bound to ES256."""
    return VerificationKey("first", "ES256", issuer.key.public_key())


def test_a_signed_token_is_read_and_verified(issuer: Any, key: VerificationKey) -> None:
    """What comes out is what the issuer put in."""
    jws = read(issuer.token({"sub": "a"}, typ="application/AT+JWT").encode())
    verify(jws, key)
    assert (jws.claims, jws.kid, jws.algorithm, jws.kind) == ({"sub": "a"}, "first", "ES256", "at+jwt")


@pytest.mark.parametrize("algorithm", sorted(jose.ALGORITHMS))
def test_every_algorithm_verifies_what_another_implementation_signs(algorithm: str) -> None:
    """And under no other algorithm of the same key."""
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    if algorithm in curves:
        private: Any = ec.generate_private_key(curves[algorithm])
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(65537, 2048)
    jws = read(jwt.encode({"sub": "a"}, private, algorithm).encode())
    verify(jws, VerificationKey("k", algorithm, private.public_key()))
    for other in jose.ALGORITHMS:
        if other != algorithm and jose.ALGORITHMS[other].form == jose.ALGORITHMS[algorithm].form:
            with pytest.raises(TokenProblem, match="algorithm"):
                verify(jws, VerificationKey("k", other, private.public_key()))


def test_unsupported_keys_have_no_form() -> None:
    """No algorithm is for them, so they are bound to none."""
    assert jose.form_of(ec.generate_private_key(ec.SECP256K1()).public_key()) == ""
    assert jose.form_of(b"secret") == ""


def test_a_turned_bit_in_any_part_is_noticed(issuer: Any, key: VerificationKey) -> None:
    """Neither payload nor signature can be exchanged."""
    head, _, signature = issuer.token().split(".")
    with pytest.raises(TokenProblem, match="signature"):
        verify(read(f"{head}.{b64(b'{}')}.{signature}".encode()), key)
    with pytest.raises(TokenProblem, match="signature"):
        verify(read(token({"alg": "ES256"}, signature=b64(bytes(64)))), key)


@pytest.mark.parametrize("size", [0, 63, 65, 70, 128])
def test_an_ecdsa_signature_has_one_length(key: VerificationKey, size: int) -> None:
    """RFC 7518 §3.4: anything but 64 bytes for ES256 is no signature."""
    jws = read(token({"alg": "ES256"}))
    with pytest.raises(TokenProblem, match="signature"):
        verify(jose.Envelope(jws.header, b"", jws.signing_input, bytes(size)), key)


def test_a_good_signature_has_no_second_spelling(issuer: Any, key: VerificationKey) -> None:
    """Neither r nor s may be written longer with zeros, so a token cannot be changed and stay valid."""
    jws = read(issuer.token().encode())
    r, s = jws.signature[:32], jws.signature[32:]
    verify(jws, key)
    for spelling in (r + b"\0" + s, b"\0" + r + s, r + b"\0\0" + s, b"\0" + r + b"\0" + s):
        with pytest.raises(TokenProblem, match="signature"):
            verify(jose.Envelope(jws.header, b"", jws.signing_input, spelling), key)


@given(st.sampled_from((32, 48, 66)), st.binary(max_size=66), st.binary(max_size=66))
@example(66, b"\xff" * 66, b"\xff" * 66)
@example(32, b"", b"\x80")
def test_a_signature_is_shown_to_the_library_in_its_own_form(size: int, r: bytes, s: bytes) -> None:
    """Byte for byte as the library would write the two numbers (RFC 3279 §2.2.3), however many zeros they begin with."""
    both = [octets[:size].rjust(size, b"\0") for octets in (r, s)]
    written = jose._der(b"\x30", b"".join(jose._integer(octets) for octets in both))
    assert written == encode_dss_signature(*(int.from_bytes(octets, "big") for octets in both))


def test_hs256_signed_with_the_public_key_is_refused(issuer: Any, key: VerificationKey) -> None:
    """Checklist 1: the public key cannot be abused as a shared secret, in any encoding of it."""
    public = issuer.key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.jwk()).encode(),
    ):
        signed = token({"alg": "HS256", "kid": "first"}).rsplit(b".", 1)[0]
        mac = b64(hmac.digest(secret, signed, hashlib.sha256))
        with pytest.raises(TokenProblem, match="algorithm"):
            verify(read(signed + b"." + mac.encode()), key)


@pytest.mark.parametrize("name", ["none", "None", "nOnE", "NONE", "", "es256", "ES256 ", "ES384", "RS256"])
def test_alg_none_in_any_spelling_and_any_other_algorithm_are_refused(key: VerificationKey, name: str) -> None:
    """Checklist 1: the header must name the key's own algorithm to the letter."""
    with pytest.raises(TokenProblem, match="algorithm"):
        verify(read(token({"alg": name})), key)
    assert code(token({"alg": name}, signature="")) == "form"


def test_a_key_cannot_be_bound_to_hmac_or_none(issuer: Any) -> None:
    """Checklist 1: the table of algorithms has neither."""
    for name in ("HS256", "HS384", "HS512", "none"):
        assert name not in jose.ALGORITHMS
        with pytest.raises(ValueError, match="unknown algorithm"):
            VerificationKey("k", name, issuer.key.public_key())


def test_a_key_is_bound_only_to_an_algorithm_of_its_form() -> None:
    """A key of another type, curve or size never comes into being."""
    for algorithm, unfit in [
        ("ES256", ec.generate_private_key(ec.SECP384R1()).public_key()),
        ("ES256", ed25519.Ed25519PrivateKey.generate().public_key()),
        ("RS256", ec.generate_private_key(ec.SECP256R1()).public_key()),
        ("RS256", rsa.generate_private_key(65537, 1024).public_key()),  # noqa: S505 the weak key that is to be refused
    ]:
        with pytest.raises(ValueError, match=r"not one for|bits"):
            VerificationKey("k", algorithm, unfit)


@pytest.mark.parametrize(
    "presented",
    [
        b"",
        b"..",
        b"a.b",
        b"a.b.c.d",
        b"a.b.c.d.e",
        b" AAAA.AAAA.AAAA",
        b"AAAA.AAAA.AAAA\n",
        b"AAAA.AAAA.AA==",
        b"AA+A.AAAA.AAAA",
        b"AA/A.AAAA.AAAA",
        b"AAAA..AAAA",
        b".AAAA.AAAA",
        b"AAAA.AAAA.",
        b"AAAA.AAAA",
        b"AAAA.AAAA.AAAA.",
        b"\nAAAA.AAAA.AAAA",
        b"AAAA.AA A.AAAA",
        b"AAAA.AAAA.AAA\0",
        b"AAAA.AAAA.AAAA=",
        b"\xc3\xa9AAA.AAAA.AAAA",
        json.dumps({"payload": "e30", "signatures": [{"protected": "e30", "signature": "AAAA"}]}).encode(),
        json.dumps({"payload": "e30", "protected": "e30", "signature": "AAAA"}).encode(),
    ],
)
def test_only_three_parts_of_base64url_are_a_token(presented: bytes) -> None:
    """Checklist 1: the JSON serialisations and encrypted tokens are refused by their form, and so is any stray character."""
    assert code(presented) == "form"


@given(st.text("Az9-_.", max_size=12) | st.text("Az9-_.=+/ \n\0\xe9", max_size=12))
@example("A.A.A")
def test_the_form_is_that_of_one_expression(text: str) -> None:
    """Three parts of the alphabet and nothing else, each as it came; what was signed is what stands before the last dot."""
    presented = text.encode()
    found = re.fullmatch(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", presented)
    if found is None:
        with pytest.raises(TokenProblem, match="form"):
            parts_of(presented)
    else:
        assert parts_of(presented) == (*found.groups(), presented.rpartition(b".")[0])


def test_a_token_beyond_the_limit_is_not_looked_at() -> None:
    """The bound is checked before anything is decoded."""
    assert code(b"A" * (jose.TOKEN_BYTES + 1)) == "size"
    assert code(b"A" * jose.TOKEN_BYTES) == "form"
    with pytest.raises(TokenProblem, match="size"):
        read(token({"alg": "ES256"}), limit=10)


@given(st.binary(min_size=1, max_size=40))
def test_base64url_is_read_as_every_octet_was_written(octets: bytes) -> None:
    """Whatever is encoded comes back."""
    assert base64url(b64(octets).encode()) == octets


@given(st.text(ALPHABET, min_size=1, max_size=9))
def test_base64url_has_one_spelling(text: str) -> None:
    """What is accepted is exactly what encoding its octets gives, so no octets have two spellings."""
    try:
        octets = base64url(text.encode())
    except TokenProblem:
        padded = text + "=" * (-len(text) % 4)
        assert len(text) % 4 == 1 or b64(base64.urlsafe_b64decode(padded)) != text
    else:
        assert b64(octets) == text


@pytest.mark.parametrize("part", [b"AA+A", b"AA/A", b"AA=A", b"A A ", b"AAA\n"])
def test_other_alphabets_are_not_base64url(part: bytes) -> None:
    """Neither the plus and slash of plain base64 nor white space."""
    with pytest.raises(TokenProblem, match="base64"):
        base64url(part)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '"x"',
        "{",
        "{}{}",
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":[{"b":1,"\\u0062":2}]}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        '{"\\udc00":1}',
        '{"a":01}',
        "{'a':1}",
        '{"a":"\n"}',
        "\ufeff{}",
        '{"a":' + "9" * 5000 + "}",
        '{"a":' + "[" * 16 + "]" * 16 + "}",
        "[" * 2000,
    ],
)
def test_json_that_readers_could_read_differently_is_refused(text: str) -> None:
    """Duplicates at any depth, numbers and characters that do not exist, and nesting beyond the bound."""
    with pytest.raises(TokenProblem, match="json"):
        read_object(text.encode())


def test_a_text_without_an_end_costs_no_more_than_its_length() -> None:
    """It is read once. If its end were looked for from each quote in it, that would take minutes."""
    with pytest.raises(TokenProblem, match="json"):
        read_object(b"[" * (jose.JSON_DEPTH + 1) + b'"' + b'\\"' * 200_000)


def test_json_is_utf_8() -> None:
    """Another encoding is refused rather than guessed."""
    for octets in ('{"a":"é"}'.encode("latin-1"), '{"a":1}'.encode("utf-16")):
        with pytest.raises(TokenProblem, match="json"):
            read_object(octets)


def test_json_within_the_bounds_is_read() -> None:
    """Sixteen levels, many brackets side by side or in strings, and pairs of surrogates are all well."""
    deep = '{"a":' + "[" * 15 + "]" * 15 + "}"
    assert read_object(deep.encode())["a"][0] is not None
    wide = json.dumps({"a": [{}] * 50, "b": '[{"\\' * 50, "c": "\U0001f600"})
    assert read_object(wide.encode()) == json.loads(wide)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_every_plain_json_object_is_read_as_json_reads_it(value: Any) -> None:
    """The strict reader differs from the ordinary one only in what it refuses."""
    assert read_object(json.dumps({"value": value}).encode()) == {"value": value}


SCALARS = (
    "1",
    "-0",
    "-0.0",
    "1.0",
    "0.10",
    "1E5",
    "1e20",
    "1" + "0" * 20,
    "NaN",
    "1e999",
    "true",
    "null",
    '"a"',
    '"\\u0061"',
    '"é"',
)
MORE_SCALARS = ('"\\u00e9"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"/"', '"\\/"', '"[{"', "")
NAMES = ('"a"', '"\\u0061"', '"b"', '""')


def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """What `json` makes of an object, if no name stands twice."""
    if len({name for name, _ in members}) < len(members):
        raise ValueError
    return dict(members)


def by_json(text: str) -> Any:
    """What the ordinary reader makes of a text, or None where it would have to guess."""
    try:
        value = json.loads(text, object_pairs_hook=unique)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@given(
    st.recursive(
        st.sampled_from(SCALARS + MORE_SCALARS),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
            | st.tuples(st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=3), st.sampled_from((":", ": "))).map(
                lambda parts: "{" + ",".join(f"{name}{parts[1]}{value}" for name, value in parts[0]) + "}"
            )
        ),
        max_leaves=8,
    )
)
def test_no_spelling_of_json_is_read_otherwise_than_with_all_care(text: str) -> None:
    """Whether a text is as a writer would write it or not: the same value of the same types, or none."""
    try:
        value: Any = read_object(text.encode())
    except TokenProblem:
        value = None
    assert repr(value) == repr(by_json(text))


def test_only_so_many_headers_are_remembered() -> None:
    """However many there are, and none that was refused."""
    for number in range(jose.HEADERS_REMEMBERED + 10):
        assert read(token({"alg": "ES256", "kid": f"k{number}"})).kid == f"k{number}"
        assert code(token({"alg": number})) == "header"
    known = jose._read_header.cache_info()
    assert (known.currsize, known.maxsize) == (jose.HEADERS_REMEMBERED, jose.HEADERS_REMEMBERED)
    assert code(token({"alg": 1})) == "header"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, "header"),
        ({"alg": None}, "header"),
        ({"alg": 1}, "header"),
        ({"alg": ["ES256"]}, "header"),
        ({"alg": "ES256", "kid": 1}, "header"),
        ({"alg": "ES256", "kid": None}, "header"),
        ({"alg": "ES256", "typ": {}}, "header"),
        ({"alg": "ES256", "crit": ["exp"]}, "critical"),
        ({"alg": "ES256", "crit": []}, "critical"),
        ({"alg": "ES256", "b64": True}, "critical"),
        ({"alg": "ES256", "b64": False, "crit": ["b64"]}, "critical"),
        ({"alg": "ES256", "jku": "https://evil.example/keys"}, "foreign_key"),
        ({"alg": "ES256", "jwk": {}}, "foreign_key"),
        ({"alg": "ES256", "x5u": "https://evil.example/chain"}, "foreign_key"),
        ({"alg": "ES256", "x5c": []}, "foreign_key"),
        ('{"alg":"ES256","alg":"none"}', "json"),
        ('{"alg":"none","\\u0061lg":"ES256"}', "json"),
        ("[]", "json"),
    ],
)
def test_a_header_that_asks_for_more_than_a_known_key_is_refused(header: Any, expected: str) -> None:
    """Checklist 1: unknown crit, duplicate members, keys brought along or to be fetched, and values of a wrong type."""
    assert code(token(header)) == expected


@pytest.mark.parametrize("payload", ["[]", '"x"', "x", '{"sub":1,"sub":1}'])
def test_claims_are_one_json_object(payload: str) -> None:
    """A payload of another form is no JWT, though it may be a JWS."""
    assert code(token({"alg": "ES256"}, payload)) == "json"
    assert take_apart(token({"alg": "ES256"}, payload)).payload == payload.encode()


@pytest.mark.interpreted("mypyc knows no `raise ... from None`")
def test_nothing_of_a_token_shows_in_its_repr_or_in_errors(issuer: Any, key: VerificationKey) -> None:
    """A token that ends up in a log or traceback by mistake cannot be read there."""
    jws = read(issuer.token({"sub": "canary"}).encode())
    assert "canary" not in repr(jws)
    assert repr(jws) == "Jws()"
    assert "canary" not in repr(key)
    with pytest.raises(TokenProblem) as caught:
        read(token('{"alg":"canary","alg":"x"}'))
    assert (str(caught.value), caught.value.__suppress_context__) == ("json", True)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_arrives_is_a_token_or_a_problem(head: bytes, payload: bytes) -> None:
    """No input leads to any other error."""
    for presented in (head, f"{b64(head)}.{b64(payload)}.AAAA".encode()):
        try:
            read(presented)
        except TokenProblem:
            continue
