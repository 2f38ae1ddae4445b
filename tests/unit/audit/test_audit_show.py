"""Tests of joining records into rows, of filters, and of the table."""

import pytest

from gateway.audit.show import Filter, Usual, exchanges, table


def request(number, **changes):
    """A request record."""
    return {
        "type": "request", "request_id": f"r{number}", "time": f"2026-11-23T18:00:0{number % 10}.123456Z", "method": "GET",
        "path": "/v1/invoices", "agent": "spiffe://acme.example/ns/agents/sa/a", "task": "t1", "upstream": "billing",
        "intent": {"declared": "invoices.read", "observed": ["invoices.read", "all.read"]}, "decision": "allow", "code": None,
        **changes,
    }  # fmt: skip


def response(number, **changes):
    """Its response record."""
    return {"type": "response", "request_id": f"r{number}", "status": 200, "ending": "complete", "duration_us": 1500, **changes}


def test_one_row_for_each_exchange():
    """The two records become one row; other records none."""
    rows = list(table(exchanges([request(1), {"type": "task"}, request(2), response(2), response(1, status=500)], Filter())))
    assert rows[0].split() == ["time", "agent", "task", "intent", "operation", "decision", "status", "duration"]
    assert rows[1].split() == [
        "2026-11-23", "18:00:02.123", "ns/agents/sa/a", "t1", "invoices.read", "GET", "/v1/invoices", "allow", "200",
        "1.5", "ms",
    ]  # fmt: skip
    assert len(rows) == 3


def test_agents_of_one_name_do_not_look_like_one():
    """What the first row has in common with most is left out; another trust domain and another issuer are named."""
    whose = [
        {"agent": None}, {"issuer": "https://a"}, {"issuer": "https://b"}, {"agent": "spiffe://b.example/ns/agents/sa/a"}, {},
    ]  # fmt: skip
    rows = list(table(exchanges([request(number, **changes) for number, changes in enumerate(whose)], Filter())))
    assert [row[25:].partition("  ")[0] for row in rows[1:]] == [
        "-", "ns/agents/sa/a", "ns/agents/sa/a of https://b", "spiffe://b.example/ns/agents/sa/a", "ns/agents/sa/a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "decision", "status"),
    [
        ([request(1)], "allow", "open"),
        ([request(1), response(1, ending="unknown", status=None)], "allow", "unknown"),
        ([request(1), response(1, ending="client_gone")], "allow", "200 client_gone"),
        ([request(1, decision="deny", code="denied"), response(1, status=403, ending="refused")], "deny denied", "403"),
        ([request(1), response(1, status=502, code="upstream_failed", ending="refused")], "allow upstream_failed", "502"),
        ([request(1, decision=None)], "none", "open"),
        ([request(1, method=None, path=None, decision="deny", code="request_malformed")], "deny request_malformed", "-"),
    ],
)
def test_how_it_ended_can_be_read(records, decision, status):
    """Open, unknown, broken off, refused early and late are told apart."""
    (found,) = exchanges(records, Filter())
    assert found.row(Usual())[5:7] == (decision, status)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(task="t9"), Filter(agent="spiffe://acme.example/ns/agents/sa/a9"), Filter(intent="all.write"),
        Filter(request="r9"), Filter(decision="deny"), Filter(upstream="tracker"), Filter(since="2026-11-23T18:00:09"),
        Filter(tenant="globex"),
    ],
)  # fmt: skip
def test_each_filter_picks(wanted):
    """A filter shows what matches and hides what does not."""
    match = {
        "task": "t9", "agent": "spiffe://acme.example/ns/agents/sa/a9", "upstream": "tracker", "decision": "deny",
        "tenant": "globex", "intent": {"declared": "x", "observed": ["all.write"]},
    }  # fmt: skip
    assert not list(exchanges([request(1), response(1)], wanted))
    assert len(list(exchanges([request(9, **match), response(9)], wanted))) == 1


def test_open_exchanges_are_bounded(monkeypatch):
    """A log of nothing but open exchanges needs little memory and shows them all."""
    monkeypatch.setattr("gateway.audit.show._MOST_OPEN", 10)
    assert len(list(exchanges([request(number) for number in range(100)], Filter()))) == 100


def test_long_values_are_cut_in_the_middle():
    """A row never grows past its columns, and both ends of a value can be read."""
    rows = list(table(exchanges([request(1, path="/" + "x" * 500 + "/end")], Filter())))
    assert len(rows[1]) < 250
    assert "…" in rows[1]
    assert "/end" in rows[1]


def test_an_empty_log_shows_the_head_of_the_table():
    """Nothing found is a table without rows."""
    assert len(list(table(exchanges([], Filter())))) == 1
