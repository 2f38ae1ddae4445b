"""The fuzzer finds what is planted: errors, slow inputs, witnesses that see something else; knows no real error."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes.dry_house import UpstreamEnd
from fuzz import bodies, connections, declarations, growth, paths, responses, token_places, tokens
from fuzz.growth import Growth, TooSlowError
from fuzz.targets import TARGETS, Target
from fuzz.witnesses import Reading

from gateway.http.target import AmbiguousTargetError, parse_target

REQUEST = b"POST /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer dwt_t\r\nContent-Length: 5\r\n\r\nhello"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def grown(check: Callable[[bytes], object], seeds: list[bytes], turns: int = 5000) -> Growth:
    """A run on a target that only a test has, until it finds something."""
    growing = Growth(Target(check, str, ("http/target",), ("paths",)), seeds, random.Random(1), traced=1)
    while not growing.findings and growing.executions < turns:
        growing.mutate()
    return growing


def test_a_planted_error_is_found_and_made_small() -> None:
    """What broke something is told by the smallest input that still does."""

    def check(raw: bytes) -> object:
        if b"//" in raw and b"%" in raw:
            raise KeyError("planted")
        return None

    (finding,) = grown(check, [b"/a/b/c?d=e"]).findings
    assert sorted(finding.raw) == sorted(b"//%")
    assert finding.where.startswith("KeyError at test_fuzz_engine.py")


def test_an_input_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to break for that; the run goes on."""
    monkeypatch.setattr(growth, "SECONDS_PER_INPUT", 0.05)

    def check(raw: bytes) -> object:
        while raw.startswith(b"slow"):
            pass
        return None

    (finding,) = Growth(Target(check, str, (), ()), [b"fast", b"slow"], random.Random(1)).findings
    assert finding.where.startswith("TooSlowError")
    assert finding.raw == b"slow"


def test_what_breaks_a_conversation_breaks_no_later_one() -> None:
    """What is left of it in its house would be found by every input after it."""

    def script(_end: UpstreamEnd) -> None:
        raise TooSlowError

    broken = connections.house()
    with pytest.raises(TooSlowError):
        broken.converse([REQUEST], script)
    assert broken.disturbed
    connections.check(REQUEST)
    responses.check(RESPONSE)
    assert connections.house() is not broken


def test_the_corpus_grows_by_new_steps_in_the_product() -> None:
    """Inputs are kept for what they reach, though all have the same outcome."""

    def check(raw: bytes) -> None:
        with suppress(AmbiguousTargetError):
            parse_target(raw.decode("latin-1"))

    growing = grown(check, [b"/a"], turns=3000)
    assert not growing.findings
    assert growing.steps == 0 or len(growing.kept) > growing.given  # compiled modules take no steps


def lies(reading: Reading) -> Reading:
    """A witness to whom every body is longer."""
    return Reading([replace(each, body=each.body + b"x") for each in reading.messages], reading.rest, reading.error)


@pytest.mark.parametrize("witness", ["requests_by_h11", "requests_by_llhttp"])
@pytest.mark.parametrize(("module", "raw"), [(connections, REQUEST), (bodies, b"5\r\nhello\r\n0\r\n\r\n")])
def test_a_witness_that_reads_a_request_otherwise_is_noticed(
    monkeypatch: pytest.MonkeyPatch, module: SimpleNamespace, raw: bytes, witness: str
) -> None:
    """Of either reader, for what came in and for what goes out."""
    module.check(raw)
    honest = getattr(module, witness)
    monkeypatch.setattr(module, witness, lambda raw: lies(honest(raw)) if raw.startswith(b"POST /api") else Reading())
    with pytest.raises((AssertionError, IndexError)):
        module.check(raw)


@pytest.mark.parametrize("witness", ["responses_by_h11", "response_by_llhttp"])
def test_a_witness_that_reads_a_response_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch, witness: str) -> None:
    """Of either reader."""
    responses.check(RESPONSE)
    honest = getattr(responses, witness)

    def heard(raw: bytes, *more: object, **how: object) -> Reading:
        reading = honest(raw, *more, **how)
        return lies(reading) if raw == RESPONSE else reading

    monkeypatch.setattr(responses, witness, heard)
    with pytest.raises(AssertionError):
        responses.check(RESPONSE)


def test_another_reading_of_an_intent_a_path_or_a_token_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the other readers counts."""
    monkeypatch.setattr(declarations, "_theirs", lambda _raw: "no item")
    monkeypatch.setattr(token_places, "_presented", lambda _headers: [b"dwt_t", b"dwt_t"])
    monkeypatch.setattr(paths, "URL", lambda _text: SimpleNamespace(path="/other"))
    monkeypatch.setattr(tokens, "PyJWS", lambda: SimpleNamespace(_load=lambda _token: (b"", b"", {}, b"")))
    for target, raw in (
        ("declarations", b"a.use"),
        ("token_places", b"Authorization: Bearer dwt_t"),
        ("paths", b"/a"),
        ("tokens", b"@SIGNED@"),
    ):
        with pytest.raises(AssertionError):
            TARGETS[target].check(raw)
