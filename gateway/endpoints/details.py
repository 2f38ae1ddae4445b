"""Reads what a task is to be out of `authorization_details` (RFC 9396); knows nothing of who may have it so."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from gateway.authority.refused import INVALID_DETAILS
from gateway.endpoints.answers import AnswerError
from gateway.identity.jose import TokenProblem, read_object
from gateway.spiffe import spiffe_id
from gateway.task_limits import read_limits

TYPE: Final = "agent_task"
MOST_PARAMS: Final = 16
"""The most params of one task."""
LONGEST_PARAM: Final = 256
"""The longest value of a param, in characters."""
LONGEST_DURATION: Final = 366 * 86400
"""The longest life of a task that can be asked for, in seconds."""
DETAILS_CHARACTERS: Final = 16384

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}").fullmatch
_VALUE = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{0,{LONGEST_PARAM}}}").fullmatch
_KNOWN: Final = frozenset(("type", "intents", "params", "limits", "duration", "may_act"))


@final
@dataclass(frozen=True, slots=True)
class Details:
    """What was asked for beside the intents; all of it may be left out.

    `duration` is in seconds, `may_act` the SPIFFE ID of the agent that may open a child task with the token.
    """

    params: Mapping[str, str] = field(default_factory=dict, hash=False)
    limits: Mapping[str, object] = field(default_factory=dict, hash=False)
    duration: float | None = None
    may_act: str | None = None

    @property
    def of_a_task(self) -> bool:
        """Whether something is asked for that a task is opened with, and keeps."""
        return bool(self.params or self.limits or self.duration)


def read_details(text: str | None, intents: Sequence[str]) -> Details:
    """The one element of type `agent_task`, with `intents`, `params`, `limits`, `duration` and `may_act`; none are needed.

    The intents are those of the scope, or left out here. Raises `AnswerError`; what was sent is not repeated.
    """
    if text is None:
        return Details()
    details = _one(text)
    if details.get("type") != TYPE or not _KNOWN.issuperset(details):
        raise _invalid("The type is agent_task; besides it there are intents, params, limits, duration and may_act.")
    if details.get("intents", list(intents)) != list(intents):
        raise _invalid("The intents of authorization_details are those of scope, in the same order, or left out.")
    return Details(
        _params(details.get("params", {})),
        _limits(details.get("limits", {})),
        _duration(details.get("duration")),
        _agent(details.get("may_act")),
    )


def _params(params: object) -> Mapping[str, str]:
    if not isinstance(params, dict) or len(params) > MOST_PARAMS:
        raise _invalid(f"The params are an object of at most {MOST_PARAMS} texts.")
    for name, value in params.items():
        if _NAME(name) is None or not isinstance(value, str) or _VALUE(value) is None:
            raise _invalid(
                "The name of a param has lower-case letters, digits and underscores; "
                f"its value is a text of at most {LONGEST_PARAM} characters without control characters."
            )
    return params


def _limits(limits: object) -> Mapping[str, object]:
    try:
        return read_limits(limits)
    except ValueError as error:
        raise _invalid(f"The limits are not right: {error}.") from None


def _duration(seconds: object) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_DURATION:
        raise _invalid("The duration is a whole number of seconds from 1 on.")
    return float(seconds)


def _agent(agent: object) -> str | None:
    if agent is None:
        return None
    try:
        return spiffe_id(str(agent))
    except ValueError:
        raise _invalid("The may_act is the SPIFFE ID of one agent.") from None


def _one(text: str) -> dict[str, Any]:
    if len(text) > DETAILS_CHARACTERS:
        raise _invalid("The authorization_details are too long.")
    try:
        document = read_object(f'{{"details":{text}}}'.encode())
    except (TokenProblem, UnicodeEncodeError):
        raise _invalid("The authorization_details are no JSON, or an object names a member twice.") from None
    details = document["details"]
    if len(document) > 1 or not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
        raise _invalid("The authorization_details are a list with one object.")
    return details[0]


def _invalid(sentence: str) -> AnswerError:
    return AnswerError(400, INVALID_DETAILS, sentence)
