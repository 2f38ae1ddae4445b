"""The contract that every audit sink keeps, run over the registry."""

import asyncio
import contextlib
import os
import re
from pathlib import Path

import pytest
import yaml

from gateway.audit.sinks import SINKS, stdout
from gateway.clock import Clock

LINES = [b'{"v":1,"seq":%d,"canary":"canary-%d"}' % (number, number) for number in range(1, 500)]


@pytest.fixture
def output(monkeypatch):
    """What was written to standard output meanwhile, as a real pipe in its place."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(stdout, "_STANDARD_OUTPUT", writing)

    def read():
        text = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(reading, 1 << 20):
                text += part
        return text

    yield read
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.fixture(params=SINKS)
def name(request):
    """Each sink of the registry."""
    return request.param


@pytest.fixture
def made(name, tmp_path, output):
    """A sink with its default configuration, and a function that reads what arrived."""
    kind = SINKS[name]
    sink = kind.build(kind.config(), Clock(), lambda text: tmp_path / text)
    if hasattr(sink, "recover"):
        sink.recover()
    seen = bytearray()

    def arrived():
        seen.extend(output())
        files = [file for file in tmp_path.rglob("*.jsonl") if file.is_file()]
        return b"".join(file.read_bytes() for file in files) + seen

    return sink, arrived


async def test_lines_arrive_whole_and_in_order(made):
    """Every line that was put has arrived after the stop, each with a newline, in the order of the puts."""
    sink, arrived = made
    await sink.start()
    for line in LINES:
        sink.put(line)
    await sink.stop()
    assert arrived() == b"".join(line + b"\n" for line in LINES)


async def test_lines_arrive_without_a_stop(made):
    """A sink passes lines on by itself, soon."""
    sink, arrived = made
    await sink.start()
    sink.put(LINES[0])
    for _ in range(200):
        if arrived():
            break
        await asyncio.sleep(0.01)
    assert arrived() == LINES[0] + b"\n"
    await sink.stop()


async def test_a_stop_leaves_no_task(name, tmp_path):
    """Whatever a sink spawned has ended with it."""
    clock = Clock()
    kind = SINKS[name]
    sink = kind.build(kind.config(), clock, lambda text: tmp_path / text)
    if hasattr(sink, "recover"):
        sink.recover()
    await sink.start()
    assert clock.running
    await sink.stop()
    await asyncio.sleep(0)
    assert not clock.running


async def test_a_line_after_the_stop_harms_nothing(made):
    """A record that closes late raises nothing."""
    sink, _ = made
    await sink.start()
    await sink.stop()
    sink.put(LINES[0])


async def test_a_sink_shows_no_line(made):
    """The repr of a sink can be logged."""
    sink, _ = made
    await sink.start()
    sink.put(LINES[0])
    assert "canary" not in repr(sink)
    assert "object at" not in repr(sink)
    await sink.stop()


def test_a_sink_says_what_it_trusts_and_how_it_is_written(name):
    """The posture is a phrase, and the example in the docstring is a valid configuration."""
    kind = SINKS[name]
    assert kind.posture
    docstring = __import__(kind.config.__module__, fromlist=["_"]).__doc__
    example = yaml.safe_load(docstring.split("\n\n")[1])
    assert list(example) == [name]
    kind.config.model_validate(example[name])


def test_the_reference_names_every_sink():
    """docs/reference/audit-records.md lists the sinks of the registry."""
    reference = (Path(__file__).parents[2] / "docs/reference/audit-records.md").read_text()
    section = reference.partition("## Sinks")[2].partition("##")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", section, flags=re.MULTILINE) == list(SINKS)


async def test_standard_output_that_nobody_reads_loses_whole_lines_only():
    """With a stuck reader memory stays bounded, the end comes in time, and no line is cut before a later one."""
    reading, writing = os.pipe()
    sink = stdout.StdoutSink(Clock(), descriptor=writing, most=200_000)
    await sink.start()
    line = b"x" * 999
    for _ in range(1000):
        sink.put(line)
    assert sink.dropped == 800
    await asyncio.sleep(0.1)
    await asyncio.wait_for(sink.stop(), 10)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        whole, _, _ = pipe.read().rpartition(b"\n")
    assert set(whole.split(b"\n")) == {line}
