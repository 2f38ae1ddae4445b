"""Whatever an upstream makes of its secret, however it is cut up, nothing of it goes on, and nothing else is changed."""

import base64
import json
import string
from collections.abc import Iterator, Sequence
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials.needles import needles_of
from gateway.credentials.scrub import SecretScrubber
from gateway.credentials.secret import Secret
from gateway.http.body import Body
from gateway.http.framing import CHUNKED, UNTIL_CLOSE, Delimiter, Framing
from gateway.http.response_head import ResponseHead
from gateway.http.scrubbed_body import ScrubbedClosedBody, follow_scrubbed
from gateway.model import Outcome

SECRETS = st.one_of(
    st.sampled_from((b"sk_live_51H8xJ2eZvKYlo2C", b"aaaaaaaa", b"abcabcabc", b"a/b+c=d%e f", b'q"uo\\te/d key', b"12345678")),
    st.binary(min_size=8, max_size=24).filter(lambda value: not set(value) >= set(b"*#!^|~")),
)
KEYS = (
    b"sk_live_51H8xJ2eZvKYlo2C",
    b"upstream/secret+0123=",
    b"abc8Q~defGHI.jkl_MNO",
    b"p@ss<w>ord&'+`\"\\ of! (1*2);a,b?c:d$e#f[g]",
    "pässwörter/+=~".encode(),
    bytes(range(200, 230)),
)

PERCENT = (
    ("*-._", "%{:02X}", "+"),  # Java's URLEncoder, URLSearchParams of browsers
    ("-_.", "%{:02X}", "+"),  # PHP's urlencode
    ("-_.!*()", "%{:02x}", "+"),  # HttpUtility.UrlEncode of .NET
    ("-_.!~*'()", "%{:02X}", "%20"),  # encodeURIComponent
    ("-_.!~*'();/?:@&=+$,#", "%{:02X}", "%20"),  # encodeURI
    ("-_.~$&+:=@", "%{:02X}", "%20"),  # Go's PathEscape
)
"""What libraries leave as it is beside letters and digits, and what they make of the rest and of the space."""
JSON = (
    ("<>&", "\\u{:04x}", False),  # Go, Rails
    ("<>&'", "\\u{:04x}", True),  # Flask
    ("<>&'=", "\\u{:04x}", False),  # Gson
    ("<>&'\"", "\\u{:04x}", False),  # Newtonsoft for HTML
    ("<>&'\"+`", "\\u{:04X}", True),  # System.Text.Json
)
"""What libraries escape in JSON by number, how, and whether they do it with all that is no ASCII."""


def forms(secret: bytes, before: bytes = b"", after: bytes = b"") -> list[bytes]:
    """What others make of a secret, with neighbours where an encoding mixes them in. Nothing of the product helps here."""
    return [
        secret,
        base64.b64encode(before + secret + after),
        base64.urlsafe_b64encode(before + secret + after),
        secret.hex().encode(),
        secret.hex().upper().encode(),
        "".join(f"%{byte:02x}" for byte in secret).encode(),
        "".join(f"%{byte:02X}" for byte in secret).encode(),
        quote(secret).encode(),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        *(percent(secret, left, digits, space) for left, digits, space in PERCENT),
        *json_forms(secret),
    ]


def percent(secret: bytes, left: str, digits: str, space: str) -> bytes:
    letters = frozenset(string.ascii_letters + string.digits + left)
    return "".join(
        space if byte == 32 else chr(byte) if chr(byte) in letters else digits.format(byte) for byte in secret
    ).encode()


def json_forms(secret: bytes) -> Iterator[bytes]:
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return
    yield json.dumps(text)[1:-1].replace("/", "\\/").encode()  # PHP
    for marks, number, only_ascii in JSON:
        written = []
        for each in text:
            if each in marks or (only_ascii and not each.isascii()):
                written.append(number.format(ord(each)))
            else:
                written.append("\\" * (each in '\\"') + each)
        yield "".join(written).encode()


def readable(text: bytes, secret: bytes) -> bool:
    """Whether somebody who looks for the secret finds it: as it is, or within what decodes at any of four alignments."""
    if any(form in text for form in (secret, *forms(secret)[3:])):
        return True
    for letters in (text, text.translate(bytes.maketrans(b"-_", b"+/"))):
        for shift in range(4):
            cut = letters[shift:]
            kept = bytes(byte if byte in BASE64 else ord("A") for byte in cut)
            if secret in base64.b64decode(kept[: len(kept) // 4 * 4]):
                return True
    return False


BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


@st.composite
def contents(draw: st.DrawFn, secret: bytes) -> bytes:
    """Text that is full of the secret's forms, of beginnings of them and of letters that they have."""
    neighbours = st.binary(max_size=4)
    part = st.one_of(
        st.binary(max_size=12),
        st.builds(forms, st.just(secret), neighbours, neighbours).flatmap(st.sampled_from),
        st.sampled_from(needles_of(secret)).flatmap(lambda needle: st.integers(1, len(needle)).map(lambda end: needle[:end])),
    )
    return b"".join(draw(st.lists(part, max_size=8)))


def pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The data in reads of these sizes over and over."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def masked(content: bytes, secret: bytes) -> tuple[bytes, list[int]]:
    """Slowly and plainly: every byte of every form replaced; and which bytes these are."""
    covered = {
        index
        for needle in needles_of(secret)
        for at in range(len(content))
        if content.startswith(needle, at)
        for index in range(at, at + len(needle))
    }
    letters = set(b"".join(needles_of(secret)))
    mask = next(byte for byte in b"*#!^|~" if byte not in letters)
    return bytes(mask if index in covered else byte for index, byte in enumerate(content)), sorted(covered)


def chunks(content: bytes, sizes: Sequence[int]) -> bytes:
    """The content in chunks of these sizes."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(content, sizes)) + b"0\r\n\r\n"


def answer(framing: Framing, status: int = 200) -> ResponseHead:
    """The head of a response that is delimited so."""
    head = ResponseHead(status, b"200 OK", keep=True)
    head.framing = framing
    return head


def through(body: Body, wire: bytes, sizes: Sequence[int]) -> bytes:
    """What is passed on of a body that arrives in reads of these sizes."""
    passed = b"".join(map(body.feed, pieces(wire, sizes)))
    return passed + body.end() if isinstance(body, ScrubbedClosedBody) else passed


def unchunked(wire: bytes) -> bytes:
    """The content of a whole chunked body without extensions and trailers."""
    content = b""
    while True:
        line, _, wire = wire.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            assert wire == b"\r\n"
            return content
        content += wire[:size]
        assert wire[size : size + 2] == b"\r\n"
        wire = wire[size + 2 :]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(st.data(), SIZES, SIZES)
def test_every_body_is_masked_at_equal_length_wherever_it_is_cut(
    data: st.DataObject, reads: list[int], sizes: list[int]
) -> None:
    """By length, in chunks or to the end of the connection: the same content goes on, and the framing stays as it came."""
    secret = data.draw(SECRETS)
    content = data.draw(contents(secret))
    expected, covered = masked(content, secret)
    stretches = sum(index - 1 not in covered for index in covered)
    scrubber = SecretScrubber((Secret(secret),))
    for framing, wire, whole in (
        (Framing(Delimiter.LENGTH, len(content)), content, expected),
        (CHUNKED, chunks(content, sizes), chunks(expected, sizes)),
        (UNTIL_CLOSE, content, None),
    ):
        if not wire:
            continue
        outcome = Outcome()
        body = follow_scrubbed(answer(framing), scrubber, outcome)
        passed = through(body, wire, reads)
        assert (passed if whole is not None else unchunked(passed)) == (expected if whole is None else whole)
        assert (body.done, body.payload, outcome.scrubbed) == (True, len(content), stretches)


@given(st.data())
def test_nobody_finds_the_secret_in_what_goes_on(data: st.DataObject) -> None:
    """Neither plain nor by decoding: the forms that are looked for are those that others make."""
    secret = data.draw(st.sampled_from(KEYS))
    before, after = data.draw(st.binary(max_size=5)), data.draw(st.binary(max_size=5))
    for form in forms(secret, before, after):
        assert readable(form, secret) or b"%" in form
        content = b"<" + form + b">"
        stream = SecretScrubber((Secret(secret),)).stream(Outcome())
        passed = stream.pass_on(content, last=True)
        assert len(passed) == len(content)
        assert not readable(passed, secret)
        assert form not in passed


@given(st.binary(max_size=300), SIZES)
def test_what_is_clean_passes_byte_for_byte(content: bytes, reads: list[int]) -> None:
    """A body without the secret is what it was, and nothing is counted."""
    outcome = Outcome()
    stream = SecretScrubber((Secret(b"a-secret-that-never-stands-there"),)).stream(outcome)
    passed = [stream.pass_on(piece, last=False) for piece in pieces(content, reads)]
    assert b"".join(passed) + stream.pass_on(b"", last=True) == content
    assert outcome.scrubbed == 0


@given(st.data(), SIZES)
def test_what_is_held_back_is_the_beginning_of_a_form_and_nothing_more(data: st.DataObject, reads: list[int]) -> None:
    """After every read exactly the longest end that could still become the secret waits, never as much as a whole form."""
    secret = data.draw(SECRETS)
    content = data.draw(contents(secret))
    needles = needles_of(secret)
    stream = SecretScrubber((Secret(secret),)).stream(Outcome())
    came = gone = 0
    for piece in pieces(content, reads):
        gone += len(stream.pass_on(piece, last=False))
        came += len(piece)
        waiting = max(
            (size for needle in needles for size in range(1, len(needle)) if content[:came].endswith(needle[:size])), default=0
        )
        assert came - gone == waiting


@given(st.data(), st.binary(min_size=8, max_size=40) | st.text("ab", min_size=8, max_size=40).map(str.encode))
def test_what_could_go_on_is_found_as_by_trying_everything(data: st.DataObject, secret: bytes) -> None:
    """Also of secrets that repeat themselves: the longest end of a content that begins a form and is not all of it."""
    needles = needles_of(secret)
    beginnings = st.sampled_from(needles).flatmap(lambda needle: st.integers(0, len(needle)).map(lambda end: needle[:end]))
    content = b"".join(data.draw(st.lists(beginnings | st.sampled_from((b"a", b"b", b"%")), min_size=1, max_size=4)))
    if not content or set(secret) >= set(b"*#!^|~"):
        return
    naive = max((size for needle in needles for size in range(1, len(needle)) if content.endswith(needle[:size])), default=0)
    assert SecretScrubber((Secret(secret),)).unfinished(content) == naive
