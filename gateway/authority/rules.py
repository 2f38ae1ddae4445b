"""The authority and its operators, as written in the configuration; starts nothing and opens nothing."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.authority.addresses import AddressText, SocketText, check_socket
from gateway.authority.keys import Algorithm
from gateway.http.tls_rule import FileText, ListenerTlsRule
from gateway.kind import Choice, Config, Count, Duration, OneOf
from gateway.model import AgentPattern
from gateway.stores.backends import BACKENDS, sqlite
from gateway.stores.store import MOST_OPEN


def check_issuer(text: str) -> str:
    """Return the address that an authority calls itself. Raises `ValueError`."""
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


def check_pattern(text: str) -> str:
    """Return the text of a pattern of agents. Raises `ValueError`."""
    AgentPattern.parse(text)
    return text


Prefix = Annotated[str, Field(pattern="^[a-z][a-z0-9]{1,14}_$")]
"""What task tokens begin with."""


class TokensRule(Config):
    """How long task tokens and tasks live."""

    ttl: Duration = 300.0
    """How long a task token lives where the grant does not say."""
    max_ttl: Duration = 900.0
    """The longest that a grant may ask for."""
    max_task: Duration = 8 * 3600.0
    """How long a task may be renewed; then it has expired."""
    max_open: Annotated[Count, Field(ge=1, le=100_000)] = MOST_OPEN
    """How many open tasks an agent may have; further ones are not opened."""
    heartbeat: Annotated[Duration, Field(ge=1)] = 120.0
    """A task that has sent a heartbeat ends when none follows for so long; one that never sends any lives without."""
    prefix: Prefix = "dwt_"
    """What every task token begins with, so that scanners find leaked ones."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not 1 <= self.ttl <= self.max_ttl <= self.max_task:
            raise ValueError("expected 1s <= ttl <= max_ttl <= max_task")
        return self


def _check_vault(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ValueError("expected https:// and the address of the vault; http:// only on this host")
    return text


_VaultName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")]


class VaultTokenRule(Config):
    """Where the token for the vault is."""

    file: FileText
    """A file of mode 0600 with nothing but the token; it is read for each request, so another one may be put there."""


class VaultRule(Config):
    """A key of the transit engine of OpenBao or Vault, which never leaves it."""

    url: Annotated[str, AfterValidator(_check_vault)]
    """The address of the vault."""
    key: _VaultName
    """The name of a key of type ecdsa-p256, ed25519, or rsa-2048 and longer."""
    mount: _VaultName = "transit"
    """Where the engine is mounted."""
    token: VaultTokenRule
    """What Doorward shows to the vault; it has to read the key and to sign with it."""
    ca: FileText | None = None
    """Certificates as PEM that the vault's is checked by; those of the system if it is left out."""


class SigningRule(Config):
    """The key that signs task tokens, and how it is exchanged. It is made at the first start and kept beside the store."""

    algorithm: Algorithm = "ES256"
    """What it signs with. After a change the next key has it, and tokens of the old one stay good for as long as they live."""
    rotate_every: Annotated[Duration, Field(ge=60)] = 24 * 3600.0
    """How long a key signs until the next one does; `doorward keys rotate` begins it earlier."""
    file: FileText | None = None
    """A private key as PEM without a password, mode 0600, that somebody else makes and exchanges; it is read again when it
    changes. Then `algorithm` is that of the key, and `rotate_every` means nothing. A copy is kept beside the store."""
    vault: VaultRule | None = None
    """The key is in a vault, which signs each token. Its new version is the next key, found within 30 seconds."""
    lead: Annotated[Duration, Field(ge=1)] = 120.0
    """How long the next key is published before it signs; at least a second longer than `feed.max_staleness` in any case. Who
    reads `/jwks.json` in place of the feed has to look again within this time."""

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 2 * self.lead > self.rotate_every:
            raise ValueError("expected rotate_every to be at least twice as long as lead")
        if self.file is not None and self.vault is not None:
            raise ValueError("there is one key: remove `file` or `vault`")
        if (self.file is not None or self.vault is not None) and (
            own := sorted(self.model_fields_set & {"algorithm", "rotate_every"})
        ):
            raise ValueError(f"`{own[0]}` is for keys that are made here, and `file` or `vault` brings one; remove one of them")
        return self


class GatewaysRule(Config):
    """Who may follow the feed of revocations: gateways that run elsewhere than the authority."""

    users: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    """Users of this host, over the authority's Unix socket; the user that Doorward runs as is always one."""
    certificates: tuple[Annotated[str, Field(min_length=1, max_length=2048)], ...] = ()
    """Names in client certificates, over TLS: a SPIFFE ID or a DNS name as it stands there. Needs `authority.tls.client_ca`."""


def check_remote(text: str) -> str:
    """Return where an authority elsewhere is. Raises `ValueError`."""
    if text.startswith("unix:"):
        return check_socket(text)
    if not text.startswith("https://"):
        raise ValueError("expected https:// and the address of an authority, or unix: and the path of its socket")
    return check_issuer(text)


def _own_listen(values: dict[str, Any]) -> tuple[str, ...]:
    return () if values.get("remote") else ("127.0.0.1:8081", "unix:var/authority.sock")


def own_issuer(values: dict[str, Any]) -> str:
    """What an authority calls itself that does not say otherwise."""
    remote = values.get("remote") or ""
    return remote if remote.startswith("https://") else "http://127.0.0.1:8081"


_OF_REMOTE: Final = frozenset(("remote", "ca", "certificate", "key", "issuer", "tokens", "algorithms"))
Algorithms = Annotated[tuple[Algorithm, ...], Field(min_length=1)]
"""What task tokens may be signed with."""


class AuthorityRule(Config):
    """The token service: where it listens, what it calls itself, and where it keeps tasks; or where another one is."""

    remote: Annotated[str, AfterValidator(check_remote)] | None = None
    """Another authority, as `https://host:port` or `unix:path`. Then only a gateway runs here (a sidecar), which follows its
    feed; beside it only `issuer`, `algorithms`, `tokens.prefix` and the three files below mean anything."""
    ca: FileText | None = None
    """With `remote`: a file of PEM certificates that its certificate is verified with, instead of the system's."""
    certificate: FileText | None = None
    """With `remote`: this gateway's own certificate, as PEM, which stands in `authority.gateways` there."""
    key: FileText | None = None
    """With `remote`: the private key of that certificate, as PEM without a password."""
    listen: Annotated[tuple[AddressText, ...], Field(min_length=1)] = Field(default_factory=_own_listen)
    """Where agents reach it: `host:port` or `unix:path`. The `unix` identity needs a Unix socket."""
    tls: ListenerTlsRule | None = None
    """TLS on every address of `listen` but Unix sockets. Without it tokens cross the network in the clear."""
    gateways: GatewaysRule = GatewaysRule()
    """Who may follow the feed of revocations: gateways that run elsewhere than the authority."""
    issuer: Annotated[str, AfterValidator(check_issuer)] = Field(default_factory=own_issuer)
    """The `iss` of every task token: the address under which its keys are found; that of `remote` if it is an address."""
    store: Annotated[Choice, OneOf("store", BACKENDS)] = Choice("sqlite", sqlite.Config(path="var/doorward.db"))
    """Where tasks and revocations are kept."""
    signing: SigningRule = SigningRule()
    """The key that signs task tokens, and how it is exchanged."""
    algorithms: Algorithms = ("ES256", "EdDSA", "RS256")
    """With `remote`: what its task tokens may be signed with. One that claims another algorithm is refused."""
    tokens: TokensRule = TokensRule()
    """How long task tokens and tasks live."""
    proof: Literal["optional", "required"] = "optional"
    """`required` issues only tokens that are bound: to the key of a DPoP proof, or to the client certificate of the connection.
    A certificate binds otherwise only where `gateway.tls.client_ca` lets agents show it to the gateway too."""

    askers: tuple[Annotated[str, AfterValidator(check_pattern)], ...] = ()
    """Who may ask the policy about other agents (AuthZEN `/access/v1/evaluation`): SPIFFE IDs, exact or with a trailing `/*`.
    Every agent may ask about itself."""

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        files = [name for name in ("ca", "certificate", "key") if getattr(self, name) is not None]
        if self.remote is None:
            if others := [*files, *(["algorithms"] if "algorithms" in self.model_fields_set else [])]:
                raise ValueError(f"`{others[0]}` is for an authority elsewhere; say where it is with `remote`")
            if self.gateways.certificates and (self.tls is None or self.tls.client_ca is None):
                raise ValueError("`gateways.certificates` needs `tls` with `client_ca`, or nobody can show a certificate")
        elif own := sorted(self.model_fields_set - _OF_REMOTE):
            raise ValueError(f"`{own[0]}` is of an authority here, and `remote` says that there is none; remove one of them")
        else:
            check_files(self.remote, files)
        return self


def check_files(remote: str, files: Sequence[str]) -> None:
    """Whether these of `ca`, `certificate` and `key` are what a gateway shows there. Raises `ValueError`."""
    if remote.startswith("https://") and not {"certificate", "key"} <= set(files):
        raise ValueError("an authority is followed with a client certificate: `certificate` and `key` are missing")
    if remote.startswith("unix:") and files:
        raise ValueError(f"`{files[0]}` is of no use on a Unix socket, where users are known by the kernel")


class AdminRule(Config):
    """Where operators list and revoke tasks, and where others see how Doorward is."""

    listen: AddressText | None = None
    """Where anybody who can connect reads `/healthz`, `/readyz` and `/metrics`, over HTTP without TLS: `host:port` or
    `unix:path`. None of them shows a secret, a token or what was in a request."""
    socket: SocketText = "unix:var/admin.sock"
    """The Unix socket of `doorward task`; only the user that Doorward runs as may open it (mode 0600)."""
    operators: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    """The users of this host who may use it. Nobody is an operator who is not listed, not even root."""
