"""How an agent proves to the authority what it is: by its user on this host or by a token of its platform; sends nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, final

from gateway.client.errors import IdentityUnavailableError

LARGEST_TOKEN: Final = 16 * 1024
"""The longest identity token, in bytes."""


class Subject(NamedTuple):
    """What `POST /token` is told of who asks (RFC 8693 §2.1). `bearer` is what other calls carry; None over a Unix socket."""

    token: str
    type: str
    bearer: str | None


class Identity(Protocol):
    """A way to prove what this agent is. It is asked anew for each exchange, so that a token may change underneath."""

    needs_socket: bool
    """Whether the authority can only tell over its Unix socket."""

    def subject(self) -> Subject:
        """The proof. It may block. Raises `ClientError`."""


@final
class UnixPeer:
    """This process's user, as the kernel tells the authority on its Unix socket."""

    needs_socket = True

    def subject(self) -> Subject:
        """Nothing to show: the kernel vouches."""
        return Subject("peer", "urn:doorward:unix-peer", None)


@final
class TokenFile:
    """A JWT in a file, such as a projected service account token of Kubernetes; read again for each exchange."""

    needs_socket = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path: Final = Path(path)

    def subject(self) -> Subject:
        """What the file holds now."""
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_TOKEN + 1)
        except OSError as error:
            raise IdentityUnavailableError(f"cannot read {self._path}: {error.strerror}") from None
        return _jwt(content.decode("ascii", errors="replace"), str(self._path))


@final
class TokenVariable:
    """A JWT in an environment variable."""

    needs_socket = False

    def __init__(self, name: str) -> None:
        self._name: Final = name

    def subject(self) -> Subject:
        """What the variable holds now."""
        return _jwt(os.environ.get(self._name, ""), f"the environment variable {self._name}")


@final
class TokenFrom:
    """A JWT from a function of the agent's own, which is called in the client's thread and may block."""

    needs_socket = False

    def __init__(self, function: Callable[[], str]) -> None:
        self._function: Final = function

    def subject(self) -> Subject:
        """What the function gives."""
        with _Foreign():
            token = self._function()
        return _jwt(token, "the function that gives the identity token")


@final
class _Foreign:
    """The border to code of others: what fails there is told by its type, for its text could hold a token."""

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Translate what was raised."""
        if isinstance(error, Exception):
            raise IdentityUnavailableError(
                f"the function that gives the identity token raised {type(error).__name__}"
            ) from error


def _jwt(text: str, where: str) -> Subject:
    token = text.strip()
    if not token or len(token) > LARGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise IdentityUnavailableError(f"{where} does not hold one token")
    return Subject(token, "urn:ietf:params:oauth:token-type:jwt", token)
