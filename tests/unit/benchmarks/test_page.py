"""The page about performance holds what its results say and nothing else; knows no figure."""

import json

import pytest

from benchmarks.compare import SCENARIOS
from benchmarks.results import read
from benchmarks.write_page import ABSENT, PAGE, PUBLISHED, filled, kept, panels

RUNS = {
    "direct": [{"rps": 30.0, "cpu_us": 0.0}],
    "doorward": [{"rps": 20.0, "cpu_us": 5.0}],
    "envoy": [{"rps": 10.0, "cpu_us": 9.0}],
    "nginx": [{"rps": 25.0, "cpu_us": 1.0}],
}
DOCUMENT = {
    "machine": {"cpu": "a processor", "cores": 2, "cores_share_hardware": False, "memory_gib": 4, "virtual": False,
                "kernel": "6", "python": "3.11",
                "libraries": {"uvloop": "1"}, "programs": {"wrk": "4"}},
    "comparison": {
        "different-16": {"title": "t", "seconds": 4, "repeats": 1, "commit": "abc", "runs": RUNS},
        "when-repeated-16": {"title": "t", "lacking": "not supported yet", "commit": "abc", "runs": {}},
    },
}  # fmt: skip


def test_the_page_is_what_its_results_make_of_it():
    """No figure stands on the page that is not in the published results."""
    page = PAGE.read_text()
    assert filled(page, read(PUBLISHED)) == page


def test_without_results_every_part_says_so():
    """A part that was not measured says how to, and filling twice changes nothing."""
    page = filled(PAGE.read_text(), {})
    assert page.count(ABSENT) == page.count("<!-- filled: ")
    assert filled(page, {}) == page


def test_results_stand_in_their_places():
    """Medians, ratios, what is lacking, and nothing of the scenarios that were not measured."""
    page = filled(PAGE.read_text(), DOCUMENT)
    assert "a processor, 2 cores" in page
    assert "| doorward | 20 | 5.0 |" in page
    assert "| ±0% | 2.00 | 0.80 |" in page
    assert "`when-repeated-16`: not supported yet." in page
    assert "`different-16`, 1 rounds of 4 s, commit abc." in page
    assert "body-1m" not in page.partition("## Results")[2].partition("## Where")[0]


def test_parts_that_say_where_they_were_run_outlast_other_results():
    """What was measured anew takes the place of what was published; what belongs to the machine of the rest goes with it."""
    before = {"machine": {"cpu": "old"}, "comparison": {}, "workers": {"cpu": "old"}, "reload": {"cpu": "old"}}
    assert kept(before, {"machine": {"cpu": "new"}, "reload": {"cpu": "new"}}) == {"workers": {"cpu": "old"}}


def test_a_part_that_nobody_writes_is_a_mistake():
    """A marked part has a writer."""
    with pytest.raises(KeyError):
        filled("<!-- filled: nonsense -->\n<!-- end -->", DOCUMENT)


def test_the_plot_leaves_the_direct_way_out():
    """Who is best stands first, and who checks no token is marked."""
    (panel,) = panels(DOCUMENT)
    assert [bar.name for bar in panel.bars] == ["nginx, no tokens", "doorward", "envoy"]
    assert [bar.ours for bar in panel.bars] == [False, True, False]


def test_results_hold_no_path():
    """What is published names no folder of the machine it was measured on."""
    assert not any(place in json.dumps(read(PUBLISHED)) for place in ("/home", "/root", "/tmp", "/dev/shm", "/work"))


def test_no_two_scenarios_share_a_name():
    """Each is selected by its own name, over all questions."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
