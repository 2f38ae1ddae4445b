"""What the benchmarks read, combine and draw is what was measured; knows no proxy and takes no time itself."""

from types import SimpleNamespace

import pytest

from benchmarks.machine import with_steal
from benchmarks.plot import LABEL, VALUE, WIDTH, Bar, Panel, draw
from benchmarks.results import median, percentile, ratio, spread
from benchmarks.scenario import STOLEN
from benchmarks.table import rows_of
from benchmarks.throughput import SCENARIOS, figures_of

SAID = """Running 4s test @ http://127.0.0.1:1/
  1 threads and 16 connections
  Latency Distribution
     50%    1.37ms
     75%    2.00ms
     90%  870.00us
     99%    1.10s
  20000 requests in 4.00s, 22.00MB read
  Non-2xx or 3xx responses: 7
  Socket errors: connect 1, read 2, write 0, timeout 3
Requests/sec:   5000.50
Transfer/sec:      5.50MB
"""


def test_what_wrk_says_is_read():
    """Rates, times in one unit, failures of every kind, and the CPU time of one request."""
    assert figures_of(SAID, cpu_seconds=1.0) == {
        "requests": 20_000, "rps": 5000.5, "p50_us": 1370.0, "p90_us": 870.0, "cpu_us": 50.0, "failed": 13,
    }  # fmt: skip


def test_a_quiet_run_has_no_failures():
    """Without the lines about failures there are none."""
    text = "\n".join(line for line in SAID.splitlines() if "Non-2xx" not in line and "Socket" not in line)
    assert figures_of(text, cpu_seconds=0.0)["failed"] == 0


def test_a_ratio_compares_runs_of_the_same_round():
    """A disturbed round disturbs both sides of its ratio and leaves the median alone."""
    mine = [{"rps": 20.0}, {"rps": 2.0}, {"rps": 22.0}]
    other = [{"rps": 10.0}, {"rps": 1.0}, {"rps": 10.0}]
    assert ratio(mine, other, "rps") == 2.0
    assert ratio(mine, [{"rps": None}, {}, {"rps": 0}], "rps") is None


def test_spread_and_median_pass_over_what_is_missing():
    """Half of least to greatest as a part of the median; a figure that no run has is none."""
    runs = [{"x": 90.0}, {"x": 100.0}, {"x": 110.0}, {"x": None}, {}]
    assert median(runs, "x") == 100.0
    assert spread(runs, "x") == 0.1
    assert median(runs, "y") is None
    assert spread(runs, "y") is None


def test_one_disturbed_run_of_many_is_seen():
    """The median would hide that the host took most of a core in two rounds of five."""
    runs = {"envoy": [{"rps": 10.0, "steal": steal} for steal in (0.0, 0.01, 0.0, 0.89, 0.4)]}
    header, row = rows_of(SCENARIOS[0], runs)
    assert row[header.index(STOLEN.title)] == "0.89"


def test_what_the_host_takes_meanwhile_counts_in_cores(monkeypatch: pytest.MonkeyPatch):
    """Two seconds taken in the four of a run are half a core."""
    moments = {"stolen": iter((7.0, 9.0)), "now": iter((100.0, 104.0))}
    monkeypatch.setattr("benchmarks.machine._steal_seconds", lambda: next(moments["stolen"]))
    monkeypatch.setattr("benchmarks.machine.time", SimpleNamespace(monotonic=lambda: next(moments["now"])))
    assert with_steal(lambda: {"rps": 1.0}) == {"rps": 1.0, "steal": 0.5}


@pytest.mark.parametrize(("part", "value"), [(0.5, 51), (0.99, 100), (1.0, 100), (0.0, 1)])
def test_a_percentile_was_measured(part, value):
    """It is one of the values, never one between two."""
    assert percentile(list(range(1, 101)), part) == value


def test_every_scenario_has_a_name_of_its_own():
    """`--only` means one."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))


def test_the_longest_bar_is_the_greatest_value():
    """Lengths are to scale, and names cannot break the drawing."""
    drawing = draw([Panel("a < b", "more", (Bar("one & two", 10, "10", ours=True), Bar("three", 5, "5")))])
    assert "one &amp; two" in drawing
    assert "a &lt; b" in drawing
    room = WIDTH - LABEL - VALUE
    assert f'width="{room:.1f}"' in drawing
    assert f'width="{room / 2:.1f}"' in drawing
