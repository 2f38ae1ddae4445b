"""Figures of several processes, joined and written in the form that Prometheus reads."""

import math

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics.figures import Figures
from gateway.metrics.kernel import measure_process
from gateway.metrics.table import DURATIONS, METRICS

BUCKETS = len(DURATIONS) + 1


def read(figures: Figures) -> dict:
    """Every sample that a real parser finds, by its name and labels."""
    text = "".join(f"{line}\n" for line in figures.lines())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_parser_reads_what_was_put_in() -> None:
    """Counters, gauges, infinity, and labels with every character that has to be escaped."""
    figures = Figures()
    figures.put("doorward_store_errors_total", 3)
    figures.put("doorward_feed_staleness_seconds", math.inf, "authority")
    figures.put("doorward_process_cpu_seconds_total", 0.25, 'a"b\\c\nd')
    assert read(figures) == {
        ("doorward_store_errors_total",): 3,
        ("doorward_feed_staleness_seconds", ("issuer", "authority")): math.inf,
        ("doorward_process_cpu_seconds_total", ("process", 'a"b\\c\nd')): 0.25,
    }


def test_buckets_are_cumulative_and_end_in_the_count() -> None:
    """As the format wants a histogram."""
    figures = Figures()
    figures.put_buckets("doorward_upstream_head_seconds", [1, 2] + [0] * (BUCKETS - 3) + [4], 500.5, "acme", "billing")
    found = read(figures)
    where = (("tenant", "acme"), ("upstream", "billing"))
    name = "doorward_upstream_head_seconds"
    assert found[(f"{name}_bucket", ("le", "0.0005"), *where)] == 1
    assert found[(f"{name}_bucket", ("le", "60"), *where)] == 3
    assert found[(f"{name}_bucket", ("le", "+Inf"), *where)] == found[(f"{name}_count", *where)] == 7
    assert found[(f"{name}_sum", *where)] == 500.5


def test_processes_are_joined_as_the_table_says() -> None:
    """Sums, the greatest and the least; over JSON nothing changes."""
    one, other = Figures(), Figures()
    for figures, records, staleness, available in ((one, 5, 0.5, 1), (other, 7, math.inf, 0)):
        figures.put("doorward_audit_records_total", records)
        figures.put("doorward_feed_staleness_seconds", staleness, "authority")
        figures.put("doorward_audit_available", available)
        figures.put("doorward_scrubbed_total", records, "acme", f"upstream{records}")
    whole = Figures()
    for figures in (one, other):
        whole.join(Figures.read(orjson.loads(orjson.dumps(figures.written()))))
    assert whole.value("doorward_audit_records_total") == 12
    assert whole.value("doorward_feed_staleness_seconds", "authority") == math.inf
    assert whole.value("doorward_audit_available") == 0
    assert whole.value("doorward_scrubbed_total", "acme", "upstream5") == 5
    assert whole.value("doorward_scrubbed_total", "acme", "nobody") is None
    assert one.value("doorward_audit_records_total") == 5, "what was joined is as it was"


def test_what_outlives_a_process_is_what_it_counted() -> None:
    """A gauge of the dead would be false, and so would their processor time under a name that others have now."""
    figures = Figures()
    figures.put("doorward_lease_waits_total", 2)
    figures.put("doorward_leases", 9)
    figures.put("doorward_process_cpu_seconds_total", 1, "1")
    figures.put_buckets("doorward_upstream_head_seconds", [1] * BUCKETS, 4, "acme", "billing")
    assert set(figures.kept().series) == {"doorward_lease_waits_total", "doorward_upstream_head_seconds"}


def test_nothing_stands_outside_of_the_table() -> None:
    """Neither a name, nor a number of labels, nor the same series twice."""
    figures = Figures()
    with pytest.raises(KeyError):
        figures.put("doorward_unheard_of", 1)
    with pytest.raises(ValueError, match="labels"):
        figures.put("doorward_leases", 1, "acme")
    with pytest.raises(ValueError, match="buckets"):
        figures.put_buckets("doorward_leases", [], 1)
    figures.put("doorward_leases", 1)
    with pytest.raises(ValueError, match="already"):
        figures.put("doorward_leases", 1)


def test_names_follow_the_conventions() -> None:
    """One prefix, base units, `_total` for counters and for nothing else, labels that name no task, token or agent."""
    for name, metric in METRICS.items():
        assert name.startswith("doorward_")
        assert (metric.kind == "counter") == name.endswith("_total"), name
        assert metric.kind != "histogram" or name.endswith("_seconds")
        assert not {"milliseconds", "ms", "kib", "mib", "percent"} & set(name.split("_")), name
        assert not {"task", "token", "agent", "subject", "request_id", "path", "method"} & set(metric.labels), name


def test_the_kernel_is_asked() -> None:
    """Time, memory and descriptors of this very process."""
    figures = Figures()
    measure_process(figures, "main")
    assert figures.value("doorward_process_resident_memory_bytes", "main") > 1 << 20
    assert figures.value("doorward_process_open_fds", "main") > 2
    assert figures.value("doorward_process_cpu_seconds_total", "main") > 0
    assert figures.value("doorward_process_start_time_seconds", "main") > 1_600_000_000
