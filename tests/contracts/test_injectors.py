"""What every injector of the registry promises, whichever it is; a new line in the registry is tested from then on."""

import base64
import contextlib
import pickle
from importlib import import_module
from typing import Any

import pytest
import yaml
from hypothesis import example as sample
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.credentials.injector import Injector, UnfitSecretError
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.scrub import SecretScrubber
from gateway.credentials.secret import Secret
from gateway.http.fields import FRAMING_ROLES, HOP_BY_HOP, Vocabulary, canonical
from gateway.model import Outcome

CANARY = "canary-of-an-upstream-secret"
HOSTILE = ("\r\nX-Smuggled: yes", "x\nX-Smuggled: yes", "\x00", "x: y", "", " x", "x\r", "\ud800", "ü")
BY_NAME = pytest.mark.parametrize("name", sorted(INJECTORS))


def written(name: str) -> Any:
    """The configuration in the YAML example of the injector's docstring, as an operator writes it."""
    documentation = import_module(f"gateway.credentials.injectors.{name}").__doc__ or ""
    document = yaml.load(documentation.split("\n\n", 1)[1], yaml.BaseLoader)  # noqa: S506 the loader that makes only texts
    return document["inject"][name]


def built(name: str, configuration: Any) -> Injector:
    """The injector for a configuration. Raises `ValidationError`."""
    kind = INJECTORS[name]
    return kind.build(kind.config.model_validate(configuration))


def filled(injector: Injector, secret: bytes) -> dict[str, bytes]:
    """The header lines for a secret, by canonical name, once they were checked to be lines and nothing more."""
    lines = injector.lines(Secret(secret))
    assert lines.endswith(b"\r\n")
    found: dict[str, bytes] = {}
    for line in lines[:-2].split(b"\r\n"):
        field = Vocabulary(roles={}).classify(line)  # raises for what is no header line by RFC 9112
        assert field.name not in found
        found[field.name] = field.value
    return found


def spellings(secret: str) -> tuple[str, ...]:
    """A secret as it could show: plain, in hexadecimal, and in base64 wherever it begins in a longer text."""
    plain = secret.encode()
    in_base64 = (base64.b64encode(bytes(shift) + plain).decode()[4:-4] for shift in range(3))
    return (secret, plain.hex(), *in_base64)


@BY_NAME
def test_its_places_are_canonical_and_its_own(name):
    """An injector fills at least one header, by its canonical name, and none that frames messages or belongs to a hop."""
    places = built(name, written(name)).places
    assert places
    assert {canonical(place) for place in places} == places
    assert places.isdisjoint(HOP_BY_HOP | FRAMING_ROLES.keys() | {"host", "expect", "via", "traceparent", "x-request-id"})


@BY_NAME
def test_it_fills_exactly_its_places(name):
    """What is emptied of the caller's is what is filled: no more, or a caller's header would be lost, and no less."""
    injector = built(name, written(name))
    assert filled(injector, CANARY.encode()).keys() == injector.places


@BY_NAME
@given(secret=st.binary(min_size=1, max_size=64))
@sample(secret=b"x\r\nX-Smuggled: yes")
@sample(secret=b"x\nX-Smuggled: yes")
@sample(secret=b"x\r\n\r\nGET / HTTP/1.1")
@sample(secret=b"x\rX-Smuggled: yes")
@sample(secret=b"\x00")
@sample(secret=b" outer space ")
def test_no_secret_breaks_out_of_its_lines(name, secret):
    """Whatever bytes a secret has, it either stands in the injector's own header lines or is refused as unfit."""
    injector = built(name, written(name))
    with contextlib.suppress(UnfitSecretError):
        assert filled(injector, secret).keys() == injector.places


@BY_NAME
@pytest.mark.parametrize("text", HOSTILE)
def test_no_configuration_breaks_out_of_its_lines(name, text):
    """A configuration with control characters in any of its texts is refused, or harmless."""
    kind = INJECTORS[name]
    full = kind.config.model_validate(written(name)).model_dump()
    for field in (field for field, value in full.items() if isinstance(value, str)):
        with contextlib.suppress(ValidationError, UnfitSecretError):
            injector = built(name, {**full, field: text})
            assert filled(injector, CANARY.encode()).keys() == injector.places


@BY_NAME
def test_it_never_shows_the_secret(name):
    """Neither the injector nor what it says for logs, nor the secret itself, shows the secret in any spelling."""
    injector = built(name, written(name))
    secret = Secret(CANARY.encode())
    injector.lines(secret)
    shown = f"{injector!r} {injector} {injector.loggable()} {secret!r} {secret} {secret:>40} {[secret]} {vars(type(secret))!r}"
    assert injector.loggable()
    assert [spelling for spelling in spellings(CANARY) if spelling in shown] == []
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@BY_NAME
def test_what_it_sends_can_come_back_without_the_secret(name):
    """Its lines in an answer, scrubbed of what it names, show the secret in no spelling; the secret itself is among that."""
    injector = built(name, written(name))
    secret = Secret(CANARY.encode())
    named = injector.to_scrub(secret)
    assert secret in named
    shown = SecretScrubber(named).head(injector.lines(secret), outcome := Outcome()).decode()
    assert [spelling for spelling in spellings(CANARY) if spelling in shown] == []
    assert outcome.scrubbed


@BY_NAME
def test_an_unfit_secret_is_not_shown(name):
    """The error about a secret that does not fit says nothing of it, also in its chain."""
    with pytest.raises(UnfitSecretError) as caught:
        built(name, written(name)).lines(Secret(f"{CANARY}\r\n".encode()))
    assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


@BY_NAME
def test_the_same_secret_gives_the_same_lines(name):
    """Lines depend on the secret alone, since they are kept for as long as it stays."""
    injector = built(name, written(name))
    assert (
        injector.lines(Secret(b"one-of-two")) == injector.lines(Secret(b"one-of-two")) != injector.lines(Secret(b"two-of-two"))
    )


@BY_NAME
def test_an_unknown_key_is_refused(name):
    """A key that the injector does not know is an error rather than silence."""
    full = INJECTORS[name].config.model_validate(written(name)).model_dump()
    with pytest.raises(ValidationError):
        INJECTORS[name].config.model_validate({**full, "surplus": "x"})
