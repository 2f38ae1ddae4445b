"""What a task's own agent asks of the authority, each call and its answer as values; knows no thread and no time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, final

from gateway.client.errors import AuthorityRefusedError, AuthorityUnreachableError, MisusedError, TaskEndedError
from gateway.client.identity import Identity
from gateway.client.wire import Said, Wire

COMPLETED: Final = "complete"
FAILED: Final = "fail"

_GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_OK: Final = range(200, 300)
_UNAVAILABLE: Final = 500
_OVER: Final = frozenset(("invalid_grant", "task_ended", "task_unknown"))
_LONGEST_SENTENCE: Final = 500


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """A token of a task; `lifetime` is in seconds."""

    task: str
    token: str = field(repr=False)
    lifetime: float
    intents: tuple[str, ...]


@final
class Calls:
    """The calls of one agent to one authority. All of them block."""

    def __init__(self, wire: Wire, identity: Identity) -> None:
        """Raises `MisusedError` if the authority could not tell over `wire` who asks."""
        if identity.needs_socket and wire.socket is None:
            raise MisusedError(f"{wire.there} cannot tell which user this is; give an identity, or the authority's Unix socket")
        self._wire: Final = wire
        self._identity: Final = identity

    def open_task(self, intents: Sequence[str], params: Mapping[str, str]) -> Issued:
        """Open a task and get its first token (RFC 8693). Raises `ClientError`."""
        details = json.dumps([{"type": "agent_task", "params": dict(params)}]) if params else ""
        return self._exchange({"scope": " ".join(intents), "authorization_details": details})

    def renew(self, task: str) -> Issued:
        """Get one more token of a task, for all of its intents. Raises `ClientError`."""
        return self._exchange({"task": task})

    def heartbeat(self, task: str) -> float:
        """Say that the work goes on; returns after how many seconds of silence the task ends. Raises `ClientError`."""
        silence = self._of_task(task, "heartbeat").get("silence")
        if isinstance(silence, bool) or not isinstance(silence, (int, float)) or silence <= 0:
            raise self._odd()
        return float(silence)

    def end(self, task: str, how: str) -> None:
        """End a task, as `COMPLETED` or `FAILED`; once more has no effect. Raises `ClientError`."""
        self._of_task(task, how)

    def _of_task(self, task: str, call: str) -> Mapping[str, Any]:
        said = self._wire.post(f"/tasks/{task}/{call}", {}, bearer=self._identity.subject().bearer)
        return said.members if said.status in _OK else self._refuse(said)

    def _exchange(self, form: Mapping[str, str]) -> Issued:
        subject = self._identity.subject()
        asked = {"grant_type": _GRANT_TYPE, "subject_token": subject.token, "subject_token_type": subject.type, **form}
        said = self._wire.post("/token", {name: value for name, value in asked.items() if value})
        if said.status not in _OK:
            self._refuse(said)
        match said.members:
            case {
                "access_token": str() as token,
                "task": str() as task,
                "scope": str() as scope,
                "expires_in": int() | float() as lifetime,
            }:
                return Issued(task, token, float(lifetime), tuple(scope.split()))
        raise self._odd()

    def _refuse(self, said: Said) -> NoReturn:
        code, sentence = said.members.get("error"), said.members.get("error_description")
        if not isinstance(code, str) or not isinstance(sentence, str):
            raise self._odd()
        if said.status >= _UNAVAILABLE:
            raise AuthorityUnreachableError(sentence[:_LONGEST_SENTENCE])
        kind = TaskEndedError if code in _OVER else AuthorityRefusedError
        raise kind(said.status, code, sentence[:_LONGEST_SENTENCE])

    def _odd(self) -> AuthorityUnreachableError:
        return AuthorityUnreachableError(f"{self._wire.there} did not answer as Doorward does")
