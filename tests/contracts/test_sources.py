"""What every secret source of the registry promises, whichever it is; a new one tells `PUT` how a secret gets there."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.clock import TurnedClock
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.credentials.secret import Secret
from gateway.credentials.source import SecretUnavailableError, Source
from gateway.credentials.sources import SOURCES
from gateway.credentials.sources.file import LARGEST, LASTS_WITHOUT, LOOK_EVERY

CANARY = b"canary-of-a-secret"
BY_NAME = pytest.mark.parametrize("name", sorted(SOURCES))


def _put_variable(configuration: Any, _folder: Path, value: bytes | None) -> None:
    if value is None:
        os.environb.pop(configuration.variable.encode(), None)
    else:
        os.environb[configuration.variable.encode()] = value


def _put_file(configuration: Any, folder: Path, value: bytes | None) -> None:
    path = resolved(folder)(configuration.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if value is not None:
        path.write_bytes(value)


PUT: Mapping[str, Callable[[Any, Path, bytes | None], None]] = {"env": _put_variable, "file": _put_file}
"""How a secret gets to where each source takes it from; None takes it away."""


def resolved(folder: Path) -> Callable[[str], Path]:
    """Paths of examples lie in the folder of the test, absolute ones too."""
    return lambda text: folder / text.lstrip("/")


def is_utf8(value: bytes) -> bool:
    """Whether bytes are text."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def written(name: str) -> Any:
    """The configuration in the YAML example of the source's docstring, as an operator writes it."""
    documentation = import_module(f"gateway.credentials.sources.{name}").__doc__ or ""
    return yaml.load(documentation.split("\n\n", 1)[1], yaml.BaseLoader)["secret"][name]  # noqa: S506 the loader that makes only texts


class Place:
    """One source with the place it takes its secret from."""

    def __init__(self, name: str, folder: Path) -> None:
        self.kind = SOURCES[name]
        self.configuration = self.kind.config.model_validate(written(name))
        self.clock = TurnedClock()
        self._name = name
        self._folder = folder

    def put(self, value: bytes | None) -> None:
        PUT[self._name](self.configuration, self._folder, value)

    def build(self) -> Source:
        return self.kind.build(self.configuration, self.clock, resolved(self._folder))


@pytest.fixture
def place(name, tmp_path):
    """The place of each source; what the test puts there is taken away."""
    made = Place(name, tmp_path)
    yield made
    made.put(None)


@BY_NAME
def test_it_gives_what_is_there(place):
    """The secret is what was put there, at once and without waiting."""
    place.put(CANARY)
    secret = place.build().current()
    assert isinstance(secret, Secret)
    assert secret.reveal() == CANARY


@BY_NAME
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much], max_examples=50, deadline=None
)
@given(
    value=st.binary(min_size=1, max_size=64).filter(lambda value: b"\x00" not in value and not value.endswith((b"\n", b"\r")))
)
def test_its_bytes_are_not_touched(place, value):
    """Whatever bytes a secret has, they come out as they went in; an environment holds text, so there it is UTF-8."""
    assume(place.kind.config is not SOURCES["env"].config or is_utf8(value))
    place.put(value)
    assert place.build().current().reveal() == value


@BY_NAME
@pytest.mark.parametrize("value", [None, b""])
def test_without_a_secret_it_says_where_it_looked(place, value):
    """What is missing or empty is unavailable, in a sentence, and is never an empty secret."""
    place.put(value)
    with pytest.raises(SecretUnavailableError, match=r"\w+ \w+ .*"):
        place.build().current()


@BY_NAME
def test_it_never_shows_the_secret(place):
    """Neither the source, nor what it says for logs, nor its errors show the secret."""
    place.put(CANARY)
    source = place.build()
    secret = source.current()
    place.put(None)
    place.clock.ahead += LASTS_WITHOUT + 10
    shown = f"{source!r} {source} {source.loggable()} {secret!r} {place.configuration!r}"
    try:
        source.current()
    except SecretUnavailableError as error:
        shown += f" {error} {error!r} {error.__context__!r}"
    assert source.loggable()
    assert CANARY.decode() not in shown
    assert CANARY.hex() not in shown


@BY_NAME
def test_it_says_whether_its_secret_is_static(place):
    """Whether a secret stays until somebody changes it decides whether it needs an exception."""
    assert isinstance(place.kind.config.static, bool)


@BY_NAME
def test_the_same_secret_is_the_same_object(place):
    """An unchanged secret is handed out as one object, so that what was made of it can be kept."""
    place.put(CANARY)
    source = place.build()
    first = source.current()
    place.clock.ahead += LOOK_EVERY
    assert source.current() is first


@BY_NAME
def test_an_unknown_key_is_refused(name, place):
    """A key that the source does not know is an error rather than silence."""
    with pytest.raises(ValidationError):
        SOURCES[name].config.model_validate({**place.configuration.model_dump(), "surplus": "x"})


@pytest.mark.parametrize("name", ["file"])
def test_a_changed_file_is_noticed_after_a_while(place):
    """A file is looked at once a second, and an exchanged secret is taken up without a restart."""
    place.put(b"old-secret-of-the-file")
    source = place.build()
    assert source.current().reveal() == b"old-secret-of-the-file"
    place.put(b"new-secret")
    place.clock.ahead += LOOK_EVERY
    assert source.current().reveal() == b"new-secret"


@pytest.mark.parametrize("name", ["file"])
def test_a_file_that_is_gone_serves_on_for_a_bounded_time(place):
    """The last value serves for five minutes; then there is no secret."""
    place.put(CANARY)
    source = place.build()
    source.current()
    place.put(None)
    place.clock.ahead += LASTS_WITHOUT - 1
    assert source.current().reveal() == CANARY
    place.clock.ahead += 2
    with pytest.raises(SecretUnavailableError):
        source.current()


@pytest.mark.parametrize("name", ["file"])
def test_a_file_that_turns_empty_counts_as_gone(place):
    """A half-written file does not replace the secret, and not for ever."""
    place.put(CANARY)
    source = place.build()
    source.current()
    place.put(b"")
    place.clock.ahead += LOOK_EVERY
    assert source.current().reveal() == CANARY
    place.clock.ahead += LASTS_WITHOUT
    with pytest.raises(SecretUnavailableError):
        source.current()


@pytest.mark.parametrize("name", ["file"])
def test_a_secret_has_a_largest_size(place):
    """64 KiB are a secret, one byte more is a mistake, and no more than that is read."""
    place.put(b"x" * LARGEST)
    assert len(place.build().current().reveal()) == LARGEST
    place.put(b"x" * (LARGEST + 1))
    with pytest.raises(SecretUnavailableError):
        place.build().current()


@pytest.mark.parametrize("name", ["file"])
@pytest.mark.parametrize(
    ("content", "secret"), [(b"key\n", b"key"), (b"key\r\n", b"key"), (b"key\n\n", b"key\n"), (b" k ", b" k ")]
)
def test_one_final_newline_does_not_count(place, content, secret):
    """What an editor puts at the end of a file is no part of the secret; anything else is."""
    place.put(content)
    assert place.build().current().reveal() == secret
