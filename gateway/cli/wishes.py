"""The options by which commands say what a task is to be and who asks for it; asks nobody."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.cli.reach import read_token
from gateway.errors import DoorwardError

# The words of the protocol are written out: to load the server's modules for them takes longer than the whole exchange.
IDENTITY_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
_PEER_TYPE: Final = "urn:doorward:unix-peer"
_PEER: Final = "peer"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TYPE: Final = "agent_task"
_ACTOR: Final = ("actor_token", "actor_token_type")
_SUBJECT: Final = ("subject_token", "subject_token_type")


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """What a task is opened with: intents, params, limits and a duration."""
    parser.add_argument("--intent", action="append", default=[], metavar="NAME", help="what the task is for; may be repeated")
    parser.add_argument("--param", action="append", default=[], metavar="K=V", help="a param of the task; may be repeated")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="K=V", help="requests=500, rate=20/s, bytes=50MiB or concurrent=4"
    )
    parser.add_argument("--duration", metavar="TIME", help="how long the task lives at most, such as 30m or 8h")


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Who asks."""
    parser.add_argument(
        "--identity-token",
        type=Path,
        metavar="FILE",
        help="prove who you are with the JWT in FILE, not with your user on this host",
    )


def details_of(arguments: argparse.Namespace, may_act: str | None = None) -> str:
    """The `authorization_details` of what was asked for; empty if nothing was. Raises `DoorwardError`."""
    asked: dict[str, object] = {}
    if arguments.param:
        asked["params"] = dict(_pairs(arguments.param, "--param customer=42"))
    if arguments.limit or arguments.duration is not None:
        asked |= _bounds(arguments)
    if may_act is not None:
        asked["may_act"] = may_act
    return json.dumps([{"type": _TYPE, **asked}]) if asked else ""


def as_subject(file: Path | None) -> Mapping[str, str]:
    """The identity of whoever asks, as the subject of an exchange: the JWT in a file, or the user on the Unix socket."""
    return dict(zip(_SUBJECT, _identity(file), strict=True))


def as_actor(file: Path | None) -> Mapping[str, str]:
    """The same as the one who acts for the subject."""
    return dict(zip(_ACTOR, _identity(file), strict=True))


def as_client(file: Path | None) -> Mapping[str, str]:
    """The same as an OAuth client; on the Unix socket the kernel says it."""
    return {} if file is None else {"client_assertion": read_token(file), "client_assertion_type": _ASSERTION_TYPE}


def _identity(file: Path | None) -> tuple[str, str]:
    return (_PEER, _PEER_TYPE) if file is None else (read_token(file), IDENTITY_TYPE)


def _pairs(texts: Sequence[str], example: str) -> Sequence[tuple[str, str]]:
    found = [text.partition("=") for text in texts]
    if not all(mark for _, mark, _ in found):
        raise DoorwardError(f"write a name, an equals sign and a value, as in {example}")
    return [(name, value) for name, _, value in found]


def _bounds(arguments: argparse.Namespace) -> Mapping[str, object]:
    from gateway.kind import read_duration, read_size  # noqa: PLC0415 the readers of a configuration, which few commands need
    from gateway.task_limits import read_limits  # noqa: PLC0415 the same

    bounds: dict[str, object] = {}
    limits: dict[str, object] = {}
    try:
        for name, value in _pairs(arguments.limit, "--limit requests=500"):
            if name == "bytes" and not value.isdecimal():
                limits[name] = read_size(value)
            else:
                limits[name] = int(value) if value.isdecimal() else value
        if limits:
            bounds["limits"] = read_limits(limits)
        if arguments.duration is not None:
            bounds["duration"] = int(read_duration(arguments.duration))
    except ValueError as error:
        raise DoorwardError(str(error)) from None
    return bounds
