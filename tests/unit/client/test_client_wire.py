"""What the client does with an authority that answers oddly, and with what is no identity; knows no real authority."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.client import (
    AuthorityRefusedError,
    AuthorityUnreachableError,
    Client,
    ClientError,
    IdentityUnavailableError,
    TaskEndedError,
    TokenFrom,
    TokenVariable,
    task,
)
from gateway.client.wire import ANSWER_BYTES

GOOD = {"access_token": "dwt_canary", "task": "a" * 32, "scope": "a.read", "expires_in": 300}


class Odd:
    """An authority that says what it is told to say, by path."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.url = ""

    def say(self, path: str, members: Any, status: int = 200) -> None:
        self.says[path] = status, json.dumps(members).encode()

    def client(self) -> Client:
        return Client(authority=self.url, gateway="http://127.0.0.1:1", identity=TokenFrom(lambda: "x.y.z"))


@pytest.fixture
def odd() -> Iterator[Odd]:
    """An odd authority over TCP."""
    made = Odd()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(self.path)
            status, body = made.says.get(self.path, (200, json.dumps({"silence": 100}).encode()))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    made.say("/token", GOOD)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield made
    server.shutdown()
    serving.join()
    server.server_close()


def enter(client: Client) -> None:
    with client.task("a.read"):
        """Nothing to do."""


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        json.dumps({**GOOD, "expires_in": "300"}).encode(),
        json.dumps({**GOOD, "x": "y" * ANSWER_BYTES}).encode(),
        b"[" * 60_000,
    ],
    ids=["empty", "text", "list", "nothing in it", "wrong type", "too long", "deep"],
)
def test_an_answer_that_is_none_of_doorward_is_not_used(odd: Odd, answer: bytes) -> None:
    """It is said, with the address and nothing of the answer."""
    odd.says["/token"] = 200, answer
    with pytest.raises(AuthorityUnreachableError, match="did not answer as Doorward does") as caught:
        enter(odd.client())
    assert "canary" not in str(caught.value)


def test_a_long_sentence_is_cut(odd: Odd) -> None:
    """An error of the authority may be shown, so it is bounded; without its two members it is none of Doorward."""
    odd.say("/token", {"error": "invalid_scope", "error_description": "x" * 2000}, 400)
    with pytest.raises(AuthorityRefusedError) as caught:
        enter(odd.client())
    assert (caught.value.code, caught.value.status, len(str(caught.value))) == ("invalid_scope", 400, 500)
    odd.say("/token", {"error": 1}, 400)
    with pytest.raises(AuthorityUnreachableError):
        enter(odd.client())


def test_an_end_is_told_only_so_often(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that cannot take it now is asked three times; one that says no is asked once."""
    monkeypatch.setattr(task, "AGAIN", 0.01)
    path = f"/tasks/{'a' * 32}/complete"
    odd.say(path, {"error": "temporarily_unavailable", "error_description": "later"}, 503)
    with pytest.raises(AuthorityUnreachableError, match="later"):
        enter(odd.client())
    assert odd.asked.count(path) == 3
    odd.asked.clear()
    odd.say(path, {"error": "task_ended", "error_description": "The task has ended already: revoked."}, 409)
    with pytest.raises(TaskEndedError, match="revoked"):
        enter(odd.client())
    assert odd.asked.count(path) == 1


def test_what_the_block_raises_is_more_important_than_its_end(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the end could not be told becomes a note."""
    monkeypatch.setattr(task, "AGAIN", 0.01)
    odd.say(f"/tasks/{'a' * 32}/fail", {"error": "temporarily_unavailable", "error_description": "later"}, 503)

    def work() -> None:
        with odd.client().task("a.read"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()
    assert caught.value.__notes__ == ["doorward: later"]


@pytest.mark.parametrize(
    "function",
    [lambda: "", lambda: "two words", lambda: "a\nb", lambda: "x" * 16385, lambda: "\u00e9"],
    ids=["empty", "two", "lines", "long", "not ASCII"],
)
def test_what_is_no_token_is_not_sent(odd: Odd, function: Callable[[], str]) -> None:
    """Neither of a function nor of a variable that is not set; and it is not shown."""
    for identity in (TokenFrom(function), TokenVariable("NO_SUCH_VARIABLE")):
        with pytest.raises(IdentityUnavailableError, match="does not hold one token") as caught:
            enter(Client(authority=odd.url, identity=identity))
        assert isinstance(caught.value, ClientError)
    assert odd.asked == []
