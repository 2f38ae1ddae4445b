"""A response body that waits for its meter: what is held and what has passed, and that it ends after what it held."""

from collections.abc import Callable

from fakes.websocket import frame

from gateway.credentials.scrub import SecretScrubber
from gateway.credentials.secret import Secret
from gateway.http.body import Body, ClosedBody, LengthBody
from gateway.http.metered import MeteredBody
from gateway.http.scrubbed_messages import ScrubbedMessages
from gateway.model import Outcome


class Paid:
    """A meter that lets pass what was paid for."""

    def __init__(self) -> None:
        self.left = 0
        self.waiting: list[Callable[[], None]] = []

    def take(self, amount: int) -> bool:
        enough = amount <= self.left
        self.left -= amount if enough else 0
        return enough

    def wait(self, _amount: int, ready: Callable[[], None]) -> None:
        self.waiting.append(ready)

    def pay(self, amount: int) -> None:
        self.left += amount
        waiting, self.waiting = self.waiting, []
        for ready in waiting:
            ready()


class Connection:
    """Where the body comes from."""

    def __init__(self) -> None:
        self.passed = b""
        self.held = False

    def hold(self) -> None:
        self.held = True

    def go_on(self, body: MeteredBody) -> None:
        self.passed += body.release()
        self.held = False


def metered(body: Body) -> tuple[MeteredBody, Paid, Connection]:
    meter, connection = Paid(), Connection()
    return MeteredBody(body, meter, connection), meter, connection


def test_what_is_held_passes_before_the_end() -> None:
    """The sender may have left meanwhile: the end waits behind what came before it, and the body is done when both passed."""
    body, meter, connection = metered(ClosedBody())
    assert (body.feed(b"12345"), body.end(), body.arrived, body.done, connection.held) == (b"", b"", True, False, True)
    meter.pay(4)
    assert (connection.passed, body.done, body.payload) == (b"", False, 0)
    meter.pay(1)
    assert (connection.passed, body.done, body.payload) == (b"5\r\n12345\r\n0\r\n\r\n", True, 5)


def test_a_body_has_arrived_before_it_has_passed() -> None:
    """With a length it is known from the bytes alone."""
    body, meter, connection = metered(LengthBody(5))
    assert (body.feed(b"123"), body.arrived) == (b"", False)
    assert (body.feed(b"45"), body.arrived, body.done) == (b"", True, False)
    meter.pay(5)
    assert (connection.passed, body.done, connection.held) == (b"12345", True, False)


def test_nothing_stands_between_frames_while_some_are_held() -> None:
    """What was followed is not what has passed."""
    body, meter, _ = metered(ScrubbedMessages(SecretScrubber([Secret(b"key-0123456789")]), Outcome()))
    said = frame(b"hello")
    assert (body.between_frames, body.feed(said), body.between_frames) == (True, b"", False)
    meter.pay(len(said))
    assert body.between_frames
    assert not metered(ClosedBody(framed=False))[0].between_frames
