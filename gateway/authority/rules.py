"""The authority and its operators, as written in the configuration; starts nothing and opens nothing."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.authority.addresses import AddressText, SocketText
from gateway.http.tls_rule import ListenerTlsRule
from gateway.kind import Choice, Config, Duration, OneOf
from gateway.stores.backends import BACKENDS, sqlite


def _check_issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    # RFC 8414 §2: no query, no fragment. A trailing slash would be a second spelling of one issuer.
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or any(mark in text for mark in "?#@ ")
        or text.endswith("/")
    ):
        raise ValueError("expected the address of this authority such as http://127.0.0.1:8081, without a slash at its end")
    return text


class TokensRule(Config):
    """How long task tokens and tasks live."""

    ttl: Duration = 300.0
    """How long a task token lives where the grant does not say."""
    max_ttl: Duration = 900.0
    """The longest that a grant may ask for."""
    max_task: Duration = 8 * 3600.0
    """How long a task may be renewed; then it has expired."""
    prefix: Annotated[str, Field(pattern="^[a-z][a-z0-9]{1,14}_$")] = "dwt_"
    """What every task token begins with, so that scanners find leaked ones."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not 1 <= self.ttl <= self.max_ttl <= self.max_task:
            raise ValueError("expected 1s <= ttl <= max_ttl <= max_task")
        return self


class AuthorityRule(Config):
    """The token service: where it listens, what it calls itself, and where it keeps tasks."""

    listen: Annotated[tuple[AddressText, ...], Field(min_length=1)] = ("127.0.0.1:8081", "unix:var/authority.sock")
    """Where agents reach it: `host:port` or `unix:path`. The `unix` identity needs a Unix socket."""
    tls: ListenerTlsRule | None = None
    """TLS on every address of `listen` but Unix sockets. Without it tokens cross the network in the clear."""
    issuer: Annotated[str, AfterValidator(_check_issuer)] = "http://127.0.0.1:8081"
    """The `iss` of every task token: the address under which its keys are found."""
    store: Annotated[Choice, OneOf("store", BACKENDS)] = Choice("sqlite", sqlite.Config(path="var/doorward.db"))
    """Where tasks and revocations are kept."""
    tokens: TokensRule = TokensRule()
    """How long task tokens and tasks live."""


class AdminRule(Config):
    """Where operators list and revoke tasks."""

    socket: SocketText = "unix:var/admin.sock"
    """The Unix socket of `doorward task`; only the user that Doorward runs as may open it (mode 0600)."""
    operators: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    """The users of this host who may use it. Nobody is an operator who is not listed, not even root."""
