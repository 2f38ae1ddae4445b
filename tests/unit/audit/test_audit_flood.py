"""Refusals of strangers beyond a rate: which are counted, by source and code, and what is kept for that."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.flood import BURST, OTHERS, RATE, SOURCES, Flood


def recorded(flood: Flood, source: str, times: int, steady: float, code: str = "token_missing") -> int:
    """How many of so many refusals at one moment are left to be recorded."""
    return sum(not flood.takes(source, code, steady=steady, now=1000.0 + steady) for _ in range(times))


def counted(flood: Flood) -> dict[str, dict[str, int]]:
    """What was counted, by source; it is taken."""
    return {each.source: dict(each.codes) for each in flood.drain()}


def test_a_burst_is_recorded_and_the_rest_is_counted() -> None:
    """By code, with the moment of the first one, until somebody takes the count."""
    flood = Flood()
    assert recorded(flood, "a", int(BURST) + 7, 5.0) == BURST
    assert recorded(flood, "a", 2, 5.0, "request_malformed") == 0
    (count,) = flood.drain()
    assert (count.source, count.since, count.codes) == ("a", 1005.0, {"token_missing": 7, "request_malformed": 2})
    assert counted(flood) == {}


def test_after_the_burst_the_rate_counts() -> None:
    """So many a second are recorded again, and a quiet source has its burst back, never more."""
    flood = Flood()
    recorded(flood, "a", 1000, 0.0)
    assert recorded(flood, "a", 1000, 1.0) == RATE
    assert recorded(flood, "a", 1000, 1.0) == 0
    assert recorded(flood, "a", 1000, 1_000_000.0) == BURST


def test_one_source_does_not_use_up_anothers_records() -> None:
    """Whoever floods hides only itself."""
    flood = Flood()
    recorded(flood, "loud", 1000, 0.0)
    assert recorded(flood, "quiet", 1, 0.0) == 1
    assert counted(flood) == {"loud": {"token_missing": 800}}


def test_a_network_of_ipv6_is_one_source() -> None:
    """Its addresses are there for anybody on it to choose, each as good as a new one."""
    flood = Flood()
    assert sum(recorded(flood, f"2001:db8:1:2::{number:x}", 1, 0.0) for number in range(1000)) == BURST
    assert recorded(flood, "2001:db8:1:3::1", 1, 0.0) == 1
    assert counted(flood) == {"2001:db8:1:2::/64": {"token_missing": 800}}


def test_sources_are_bounded() -> None:
    """Beyond the bound they are counted together, so that addresses without end fill neither log nor memory."""
    flood = Flood()
    for number in range(SOURCES):
        assert recorded(flood, f"source {number}", 1, 0.0) == 1
    assert sum(recorded(flood, f"further {number}", 1, 0.0) for number in range(1000)) == BURST
    assert counted(flood) == {OTHERS: {"token_missing": 1000 - BURST}}
    assert len(flood._buckets) == SOURCES + 1


def test_quiet_sources_make_room() -> None:
    """Who has its burst back anyway is forgotten, and loses nothing by it."""
    flood = Flood()
    for number in range(SOURCES):
        recorded(flood, f"source {number}", 1, 0.0)
    assert recorded(flood, "late", int(BURST), 2 * BURST / RATE) == BURST
    assert list(flood._buckets) == ["late"]
    assert counted(flood) == {}


def test_what_is_not_taken_stays() -> None:
    """A count that could not be written is written the next time."""
    flood = Flood()
    for source in ("a", "b"):
        recorded(flood, source, int(BURST) + 1, 0.0)
    for _ in flood.drain():
        break
    assert counted(flood) == {"a": {"token_missing": 1}, "b": {"token_missing": 1}}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 300), st.integers(0, 5)), max_size=20))
def test_every_refusal_is_recorded_or_counted(moments: list[tuple[str, int, int]]) -> None:
    """None is lost, whatever comes when."""
    flood, steady, left, came = Flood(), 0.0, 0, 0
    for source, times, pause in moments:
        steady += pause
        came += times
        left += recorded(flood, source, times, steady)
    assert left + sum(sum(codes.values()) for codes in counted(flood).values()) == came
