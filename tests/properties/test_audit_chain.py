"""Properties of the audit log: whatever happens in whatever order, the chain holds and each parsed head has two records."""

import os
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.book import Book
from gateway.audit.clean import clean
from gateway.audit.journal import LARGEST
from gateway.audit.record import Record
from gateway.audit.segments import all_lines
from gateway.audit.sinks.file import Config, FileSink
from gateway.audit.verify import Follower
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.model import Coverage, DeclaredIntent, Operation, Origin, Outcome, Permit, Principal, Upstream, Use

UPSTREAM = Upstream(
    tenant="acme", name="billing", origin=Origin("https", "a", 1), prefix="", base_path="", protocol="http", credential="key"
)
PRINCIPAL = Principal(
    agent="spiffe://a/b",
    subject="s",
    tenant="acme",
    task="t",
    token="j",
    intents=frozenset(),
    expires=0,
    epoch="",
    marks=frozenset(),
)
COVERAGE = Coverage("i", {}, ())
USE = Use(DeclaredIntent("i"), Operation("GET", "/", ()), (COVERAGE,))
PERMIT = Permit._issue(principal=PRINCIPAL, use=USE, upstream=UPSTREAM, intent=COVERAGE, grant="g", policy="p")

ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["open", "unparsed", "crash", "write", "torn"]),
        st.tuples(st.sampled_from(["decide", "refuse", "close"]), st.integers(0, 7)),
    ),
    max_size=60,
)


class Run:
    """One log with a process that can be killed; lines go to the file only when told to."""

    def __init__(self, folder):
        self.path = Path(folder) / "audit.jsonl"
        self.open = []
        self.parsed = set()
        self.unparsed = set()
        self.start()

    def start(self):
        config = Config(path=str(self.path)).model_copy(update={"rotate": 3000, "keep": 1000})
        clock = Clock()
        self.sink = FileSink(config, clock, self.path, half=64 * LARGEST)
        tail = self.sink.recover()
        self.sink._open = self.sink.journal.taking = True
        self.book = Book(clock)
        self.book.continue_from(tail.seq, tail.prev, self.sink.journal)
        for request in tail.unclosed:
            assert self.book.reserve(1000)
            self.book.append(f'"type":"response","request_id":"{request["request_id"]}",')
            self.book.release(1000)
        assert self.book.reserve(1000)
        self.book.append('"type":"start",')
        self.book.release(1000)

    def act(self, action):
        match action:
            case "open" | "unparsed":
                record = Record(self.book, "127.0.0.1")
                record.reserve()
                if action == "open":
                    record.head = SimpleNamespace(method="GET", path="/", query_names=(), trace_id=None)
                    self.parsed.add(record.request_id)
                else:
                    self.unparsed.add(record.request_id)
                self.open.append(record)
            case "write" | "torn":
                self.write(torn=action == "torn")
            case "crash":
                self.crash()
            case (kind, number) if self.open:
                self.step(kind, self.open[number % len(self.open)])

    def step(self, kind, record):
        if kind == "decide" and record.head is not None and record._answer is None:
            record.decided(PERMIT)
        elif kind == "refuse":
            record.refused(Refusal("denied"))
        elif kind == "close":
            record.close(Outcome("complete", 200))
            record.close(Outcome("complete", 200))
            self.open.remove(record)

    def write(self, *, torn=False):
        views = self.sink._journal.pending()
        done = 0
        for view in views:
            part = view[: max(1, len(view) // 3)] if torn else view
            written, _ = self.sink._segments.append(part)
            done += written
            if torn:
                break
        for view in views:
            view.release()
        part = None
        self.sink._journal.written(done)

    def crash(self):
        """What a kill leaves; exchanges of which nothing was written leave nothing."""
        for record in self.open:
            if record._answer is None:
                self.parsed.discard(record.request_id)
                self.unparsed.discard(record.request_id)
        self.open.clear()
        self.end()
        self.start()

    def end(self):
        """Let go of the lock and the files, as a process does that dies."""
        self.sink._journal._memory.close()
        self.sink._segments.close()
        os.close(self.sink._journal._descriptor)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_every_interleaving_leaves_two_records_and_a_chain(actions):
    """Whatever is opened, decided, closed, written, torn and killed in any order: nothing is missing, twice, or unchained."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        for action in actions:
            run.act(action)
        for record in run.open:
            record.close(Outcome("drained"))
        run.write()
        reserved = run.sink._journal.reserved
        run.end()
        follower = Follower()
        records = []
        for located in all_lines(run.path):
            assert located.whole
            records.append(follower.feed(located.line, f"{located.file}:{located.number}"))
        follower.finish()
        assert follower.findings == []
        assert not follower.strays.count
        assert not follower.opened
        assert not follower.unclosed.count
        assert reserved == 0
        kinds = Counter((each["request_id"], each["type"]) for each in records if "request_id" in each)
        expected = {(request, kind) for request in run.parsed for kind in ("request", "response")}
        expected |= {(request, "request") for request in run.unparsed}
        assert kinds == Counter(expected)


TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"


@given(st.text(max_size=50), st.text(max_size=50), st.integers(8, 4000), st.sampled_from(["", "dwt_", "Bearer "]))
def test_a_token_never_survives_cleaning(before, after, limit, prefix):
    """Wherever a token stands in a text, cleaning leaves no part of it, nothing unprintable, and no more than the limit."""
    cleaned = clean(before + prefix + TOKEN + after, limit)
    assert "eyJ" not in cleaned
    assert "dwt_" not in cleaned or "dwt_" in before + after
    assert cleaned.isprintable()
    assert len(orjson.dumps(cleaned)) <= limit + 2
