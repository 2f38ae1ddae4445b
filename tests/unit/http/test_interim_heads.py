"""Heads of an upstream that come several at once; knows nothing of what relays them."""

import pytest
from fakes.dry_house import DryHouse, UpstreamEnd

REQUEST = b"GET /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer dwt_t\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("interim", range(5))
def test_the_end_of_the_connection_overtakes_no_head(interim: int) -> None:
    """Whatever came before the end counts, although all of it, and the end, was there at once."""

    def script(end: UpstreamEnd) -> None:
        end.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * interim + FINAL)
        end.hang_up()

    assert DryHouse().converse([REQUEST], script).answers.endswith(FINAL)


def test_a_broken_head_behind_an_interim_one_is_the_upstreams_failure() -> None:
    """It is refused when the head before it has been read, with nothing more to wait for."""

    def script(end: UpstreamEnd) -> None:
        end.say(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok")

    (closed,) = [line for line in DryHouse().converse([REQUEST], script).lines if line["type"] == "response"]
    assert (closed["status"], closed["code"]) == (502, "upstream_failed")
