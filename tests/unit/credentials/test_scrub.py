"""What a scrubber promises beside masking: the very same bytes, no delay, no secret that cannot be kept out; no network."""

import pickle
from base64 import b64encode

import pytest
from fakes.steps import calls_of

from gateway.credentials.injector import UnfitSecretError
from gateway.credentials.needles import needles_of
from gateway.credentials.scrub import SHORTEST, SecretScrubber
from gateway.credentials.secret import Secret
from gateway.model import Outcome

SECRET = b"upstream-secret-0123456789abcdef"
LARGE = 64 * 1024


def scrubber(*secrets: bytes) -> SecretScrubber:
    """For these values."""
    return SecretScrubber(map(Secret, secrets or (SECRET,)))


def test_each_form_stands_once_and_the_plain_one_first() -> None:
    """Most secrets have no letter that percent encoding or JSON writes otherwise, and are searched less often."""
    assert len(needles_of(SECRET)) == 8
    assert needles_of(SECRET)[0] == SECRET
    assert len(needles_of(b"12345678")) == 6, "digits alone have one hexadecimal and one percent form"
    assert {b"a%2Fb%2Bc+12", b"a%2fb%2bc%2012", b"a/b%2Bc%2012", b"a\\/b+c 12"} <= set(needles_of(b"a/b+c 12"))
    assert len(needles_of(b"q83vTx0aZ2bWg7hYk1LmPd5e")) == 8, "no form of letters and digits alone is written twice"
    assert {b"abc8Q%7EdefG", b"abc8Q%7edefG"} <= set(needles_of(b"abc8Q~defG")), "as Java and forms write it"
    assert {rb"ab\u002Bc/d=", rb"ab\u002bc/d=", rb"ab+c\/d=", rb"ab+c/d\u003d"} <= set(needles_of(b"ab+c/d="))
    assert len(needles_of(b"q83v+Tx/0aZ2bWg7hYk1LmPd5eA=")) == 19, "a key in base64"


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_clean_answer_is_passed_on_as_the_very_same_object(size: int) -> None:
    """Small or large, no copy is made."""
    stream = scrubber().stream(Outcome())
    for content in (b"x" * size, b"50% of " + b"y" * size):
        assert stream.pass_on(content, last=False) is content
    head = b"HTTP/1.1 200 OK\r\nX-A: 100%"
    assert scrubber().head(head, Outcome()) is head


@pytest.mark.parametrize("size", [0, LARGE])
@pytest.mark.parametrize("needle", needles_of(b"a/b+c d%e"))
def test_each_form_is_found_in_small_and_in_large_answers(needle: bytes, size: int) -> None:
    """The size of an answer changes nothing."""
    outcome = Outcome()
    content = b"." * size + needle + b"."
    passed = scrubber(b"a/b+c d%e").stream(outcome).pass_on(content, last=True)
    assert passed == b"." * size + b"*" * len(needle) + b"."
    assert outcome.scrubbed == 1


@pytest.mark.parametrize("needle", needles_of(SECRET))
def test_the_beginning_of_a_form_alone_is_no_form(needle: bytes) -> None:
    """Forms are looked for by their first bytes; what differs only behind these goes on as it is."""
    content = needle[:-1] + b"!" + needle[:16] + b"."
    assert scrubber().is_clean(content)
    assert not scrubber().is_clean(content + needle)


def test_an_event_is_not_delayed() -> None:
    """What cannot be the beginning of a form goes on at once; what could be waits for one more byte."""
    stream = scrubber().stream(Outcome())
    event = b"data: upstream-secret-0123456789 is no secret\n\n"
    assert stream.pass_on(event, last=False) is event
    assert stream.pass_on(b"data: upstream", last=False) == b"data: "
    assert stream.pass_on(b" is down\n\n", last=False) == b"upstream is down\n\n"
    assert stream.pass_on(b"upstream-secret-0123456789abcde", last=False) == b""
    assert stream.pass_on(b"", last=True) == b"upstream-secret-0123456789abcde"


def test_what_is_found_is_counted_by_places() -> None:
    """Two forms that touch or overlap are one place; where reads end makes no difference."""
    for cut in range(1, 100):
        outcome = Outcome()
        stream = scrubber().stream(outcome)
        content = SECRET + SECRET + b" " + b64encode(SECRET) + SECRET.hex().encode()
        passed = stream.pass_on(content[:cut], last=False) + stream.pass_on(content[cut:], last=True)
        assert passed == b"*" * 64 + b" " + b"*" * 42 + b64encode(SECRET)[42:] + b"*" * 64
        assert outcome.scrubbed == 3


def test_a_head_is_masked_with_a_letter_that_may_stand_in_names() -> None:
    """An upstream that makes a name of the secret sends a head that still is one."""
    outcome = Outcome()
    head = b"HTTP/1.1 200 " + SECRET + b"\r\nX-" + SECRET + b": a\r\nX-B: " + SECRET.hex().encode()
    assert scrubber().head(head, outcome) == b"HTTP/1.1 200 %b\r\nX-%b: a\r\nX-B: %b" % (b"*" * 32, b"*" * 32, b"*" * 64)
    assert outcome.scrubbed == 3


def test_the_mask_is_no_letter_of_the_secret() -> None:
    """Otherwise it could stand for what it hides, or make a new one of what is left."""
    assert scrubber(b"*" * 8).stream(Outcome()).pass_on(b"*" * 8, last=True) == b"#" * 8
    with pytest.raises(UnfitSecretError, match="nothing is left to mask it"):
        scrubber(b"*#!^|~ and more")


def test_every_value_is_kept_out() -> None:
    """An injector can name more than one, and what is sent may be another than what is stored."""
    outcome = Outcome()
    stream = scrubber(b"password-1", b"user:password-1").stream(outcome)
    assert stream.pass_on(b"user:password-1, password-1", last=True) == b"*" * 15 + b", " + b"*" * 10
    assert outcome.scrubbed == 2


def test_a_secret_that_stands_everywhere_by_chance_is_unfit() -> None:
    """Masking it would ruin answers and tell by its holes what it is; the sentence does not say it."""
    with pytest.raises(UnfitSecretError, match=f"fewer than {SHORTEST} bytes") as caught:
        scrubber(b"s" * (SHORTEST - 1))
    assert "sss" not in str(caught.value)
    assert repr(scrubber(b"s" * SHORTEST)) == "<SecretScrubber>"


def test_nothing_shows_the_secret() -> None:
    """Neither the scrubber nor a stream that holds a part of it back."""
    one = scrubber()
    stream = one.stream(Outcome())
    stream.pass_on(SECRET[:-1], last=False)
    assert f"{one} {one!r} {stream} {stream!r}" == "<SecretScrubber> <SecretScrubber>" + " <SecretStream holding 31 bytes>" * 2
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(one)


@pytest.mark.interpreted("only interpreted modules tell of their calls")
def test_the_end_of_a_read_costs_the_same_whatever_stands_there() -> None:
    """An upstream knows the secret: the letters with which its forms begin, over and over, make nobody look more often."""
    secret = b"".join(b"%d." % number for number in range(1000))
    one = scrubber(secret)
    ordinary = calls_of(lambda: one.unfinished(b"0" * 20_000))
    for repeated in (b"%", secret[:1], secret[:20], b"%30%"):
        assert calls_of(lambda content=repeated * 5000: one.unfinished(content)) <= ordinary + 100
