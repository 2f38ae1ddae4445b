"""Messages of a WebSocket from which a secret is kept out: across frames and reads, and nothing clean is kept waiting."""

import pytest
from fakes.steps import calls_of
from fakes.websocket import frame

from gateway.credentials.scrub import SecretScrubber, SecretStream
from gateway.credentials.secret import Secret
from gateway.errors import Refusal
from gateway.http.scrubbed_messages import MOST_AT_ONCE, MOST_HELD, ScrubbedMessages
from gateway.model import Outcome

KEY = b"kkey-0123456789"
MASK = b"*" * len(KEY)


def following() -> tuple[ScrubbedMessages, Outcome]:
    outcome = Outcome()
    return ScrubbedMessages(SecretScrubber([Secret(KEY)]), outcome), outcome


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10**6])
def test_messages_are_masked_at_equal_length_however_they_are_cut(size: int) -> None:
    """In one frame or several, with control frames between them, and in every length of a frame's head."""
    said = [
        (b"a " + KEY + b" b", 1, True),
        (b"x" * 200 + KEY, 2, True),
        (b"first " + KEY[:5], 1, False),
        (b"", 0, False),
        (b"are you there", 9, True),
        (KEY[5:9], 0, False),
        (KEY[9:] + b" then", 0, True),
        (b"y" * 70_000, 2, True),
        (b"\x03\xe8" + KEY, 8, True),
    ]
    wire = b"".join(frame(content, opcode, last=last) for content, opcode, last in said)
    body, outcome = following()
    passed = b"".join(body.feed(wire[at : at + size]) for at in range(0, len(wire), size)) + body.end()
    expected = wire
    for before, after in ((KEY, MASK), (frame(b"first " + KEY[:5], last=False), frame(b"first *****", last=False))):
        expected = expected.replace(before, after)
    expected = expected.replace(frame(KEY[5:9], 0, last=False), frame(b"****", 0, last=False))
    expected = expected.replace(frame(KEY[9:] + b" then", 0), frame(b"****** then", 0))
    assert passed == expected
    assert (outcome.scrubbed, body.payload) == (4, len(wire))


@pytest.mark.parametrize("content", [KEY[:1], b"ends with " + KEY[:-1], b"", b"plain"])
def test_a_message_is_passed_on_whole_when_it_ends(content: bytes) -> None:
    """Its end could be the beginning of the secret; the next message is another one, for which somebody may wait."""
    body, outcome = following()
    assert body.feed(frame(content)) == frame(content)
    rest = frame(KEY[len(content) or 1 :])
    assert body.feed(rest) == rest
    assert outcome.scrubbed == 0


def test_only_what_could_be_the_secret_waits() -> None:
    """And with it what follows it on the wire; when it turns out to be none, all goes on."""
    body, _ = following()
    begun = frame(b"so " + KEY[:4], last=False)
    assert body.feed(begun) == begun[:-4]
    assert body.feed(frame(b"ping", 9)) == b""
    assert body.feed(frame(b"!", 0)) == KEY[:4] + frame(b"ping", 9) + frame(b"!", 0)


def test_what_waits_is_bounded() -> None:
    """An upstream that never goes on with its message cannot fill the memory with control frames."""
    body, _ = following()
    body.feed(frame(KEY[:4], last=False))
    with pytest.raises(Refusal) as refused:
        body.feed(frame(b"p" * 125, 9) * MOST_HELD)
    assert refused.value.code == "upstream_failed"


def test_an_end_within_a_message_loses_nothing() -> None:
    """What was held back is no secret when nothing follows it."""
    body, _ = following()
    begun = frame(KEY[:4], last=False)
    assert body.feed(begun) + body.end() == begun
    assert body.done


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"\x81\x81aaaab", "masked, as only clients do"),
        (b"\xc1\x01a", "compressed, though no extension was agreed on"),
        (b"\x83\x01a", "a kind that nobody knows"),
        (b"\x8b\x01a", "a control kind that nobody knows"),
        (b"\x09\x01a", "a control frame in parts"),
        (b"\x89\x7e\x00\x80" + b"a" * 128, "a control frame that is too long"),
        (b"\x80\x01a", "a continuation of nothing"),
        (b"\x01\x01a\x01\x01b", "a message within a message"),
        (b"\x82\x7f\x80" + b"\x00" * 7, "a length with the highest bit"),
    ],
)
def test_what_is_no_frame_of_a_server_fails_the_upstream(wire: bytes, why: str) -> None:
    """What the caller could read otherwise than we do could hold the secret unseen (RFC 6455 §5.2)."""
    body, _ = following()
    with pytest.raises(Refusal) as refused:
        body.feed(wire)
    assert refused.value.code == "upstream_failed", why


class Counted:
    """Scrubs nothing and counts how many contents it was asked for."""

    def __init__(self) -> None:
        self.streams = 0

    def head(self, raw: bytes, _outcome: Outcome) -> bytes:
        return raw

    def stream(self, outcome: Outcome) -> SecretStream:
        self.streams += 1
        return SecretScrubber([Secret(KEY)]).stream(outcome)


def test_a_control_frame_without_content_is_not_searched() -> None:
    """There is nothing in it, and a server can send very many of them; those with content are searched."""
    scrubber = Counted()
    body = ScrubbedMessages(scrubber, Outcome())
    wire = frame(b"", 10) * 100 + frame(b"a", 9)
    assert body.feed(wire) == wire
    assert scrubber.streams == 1


@pytest.mark.interpreted("only interpreted modules tell of their calls")
def test_a_longer_head_takes_no_more_steps() -> None:
    """It is taken by what is missing of it, not byte after byte."""
    short, long = frame(b"." * 200, last=False), frame(b"." * 70_000, last=False)
    assert calls_of(lambda: following()[0].feed(long)) == calls_of(lambda: following()[0].feed(short)), (
        "heads of 10 and of 4 bytes"
    )


@pytest.mark.parametrize("one", [frame(b"", 10), frame(b"a")])
def test_one_read_brings_only_so_many_frames(one: bytes) -> None:
    """Each costs work before others have their turn; as many come again in the next read."""
    body, _ = following()
    most = one * MOST_AT_ONCE
    assert [body.feed(most), body.feed(most)] == [most, most]
    with pytest.raises(Refusal) as refused:
        body.feed(most + one)
    assert refused.value.code == "upstream_failed"
