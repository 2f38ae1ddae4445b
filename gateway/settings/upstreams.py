"""Upstreams as operators write them; knows nothing of connections and resolves no name."""

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.http.fields import PASSABLE, canonical, is_spoken_for
from gateway.http.tls_rule import FileText
from gateway.identity.places import BASIC, IN_QUERY
from gateway.kind import Config, Count, Duration, Rate
from gateway.policy.rules import Mode
from gateway.settings.names import Name
from gateway.settings.web_address import UrlText, WebAddress, read_url

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+").fullmatch
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}").fullmatch
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]{1,64}").fullmatch
_ALWAYS_A_PLACE: Final = "authorization"


def _check_prefix(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("a prefix begins with a slash, as in /billing")
    if text != "/" and text.endswith("/"):
        raise ValueError("a prefix has no slash at its end")
    if text != "/" and _PREFIX(text) is None:
        raise ValueError("a prefix has plain segments of letters, digits, dots, dashes, underscores and tildes")
    return text


def _check_network(text: str) -> str:
    if text == "public":
        return text
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("expected `public`, or a network such as 10.1.0.0/16 or 127.0.0.1/32") from None
    if text != str(network):
        raise ValueError(f"write this network as {network}")
    return text


def _check_header(text: str) -> str:
    if _FIELD_NAME(text) is None:
        raise ValueError("expected the name of a header, such as x-api-key")
    return text.lower()


def _check_token_place(text: str) -> str:
    if text == BASIC:
        return text
    if text.startswith(IN_QUERY):
        if _PARAMETER(text.removeprefix(IN_QUERY)) is None:
            raise ValueError("expected the name of a parameter, such as query:key")
        return text
    name = _check_header(text)
    if name != _ALWAYS_A_PLACE and is_spoken_for(canonical(name)):
        raise ValueError("this header has another meaning in HTTP or here; name one such as x-api-key")
    return name


def _check_passed(text: str) -> str:
    name = _check_header(text)
    if name not in PASSABLE:
        raise ValueError(f"only these are dropped unless they are named here: {', '.join(sorted(PASSABLE))}")
    return name


PrefixText = Annotated[str, AfterValidator(_check_prefix)]
NetworkText = Annotated[str, AfterValidator(_check_network)]
TokenPlaceText = Annotated[str, AfterValidator(_check_token_place)]
PassedText = Annotated[str, AfterValidator(_check_passed)]
VariableText = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class PlaceRule(Config):
    """Where agents find an upstream on the gateway."""

    prefix: PrefixText
    """The first segments of the path, as in `/billing`; they are taken off before the request is forwarded. `/` is the root."""


class UpstreamLimitsRule(Config):
    """How much one upstream is asked to bear."""

    concurrent: Count = Field(default=256, ge=1, le=100_000)
    """How many requests may be under way to it at once, in all gateways together; further ones are answered with 429."""
    rate: Rate | None = None
    """How many requests it gets in a time, such as `100/s`, in all gateways together: in any stretch of t seconds no more than
    100 t, and a burst of 100 besides."""


class UpstreamTimeoutsRule(Config):
    """How long the gateway waits for one upstream."""

    connect: Duration = Field(default=5.0, ge=0.01)
    """How long connecting may take, TLS included."""
    head: Duration = Field(default=60.0, ge=0.01)
    """How long the response head may take from the end of the request."""


class UpstreamTlsRule(Config):
    """How one upstream proves that it is the right one, and how the gateway does. Files are read again when they change."""

    ca: FileText | None = None
    """A file of PEM certificates that are trusted instead of the system's. The name is verified in any case."""
    client_certificate: FileText | None = None
    """A file of PEM certificates to show to the upstream: the gateway's own, then its intermediates."""
    client_key: FileText | None = None
    """The private key of that certificate, as PEM without a password; it may stand in the same file."""

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key stand together or not at all")
        return self


class EnvRule(Config):
    """What `doorward run` sets for its command, so that an SDK that knows nothing of Doorward calls this upstream."""

    base_url: VariableText
    """The environment variable from which the SDK takes the address of the API."""
    key: VariableText
    """The one from which it takes its API key: it gets one that is good for as long as the command runs."""
    path: PrefixText = "/"
    """What the address ends with, as the SDK expects it: `/v1`."""


class UpstreamRule(Config):
    """A downstream API: where it is, where agents find it, and which credential it takes."""

    url: UrlText
    """Its address; http or https, without user, query and fragment. A path is put in front of every request's path."""
    at: PlaceRule | None = None
    """Where agents find it on the gateway; `/` and its name when left out."""
    protocol: Literal["http", "mcp"] = "http"
    """What it speaks: plain `http`, or `mcp`, of which `url` is the endpoint (Model Context Protocol, streamable HTTP)."""
    credential: Name
    """The entry of `credentials` whose secret is put into its requests."""
    token_in: tuple[TokenPlaceText, ...] = ()
    """Where besides Authorization an agent may put the task token, for unmodified SDKs: a header, `basic` (the password of
    Authorization: Basic) or `query:NAME`, a parameter of the query. Every place is emptied first."""
    passed: tuple[PassedText, ...] = Field(default=(), alias="pass")
    """Response headers otherwise dropped: `alt-svc`, `proxy-authenticate`, `proxy-status`, `set-cookie`, `www-authenticate`."""
    scrub: Literal["full", "headers", "none"] = "full"
    """Where its own secret is masked if it repeats it: in `full` answers, in their `headers`, or `none`. For `full` it is asked
    for plain answers: Range and If-Range are dropped, an answer that is encoded all the same is refused."""
    networks: Annotated[tuple[NetworkText, ...], Field(min_length=1)] = ("public",)
    """Where its name may resolve to: `public`, or CIDRs. Loopback, private and metadata addresses only if they are named."""
    limits: UpstreamLimitsRule = UpstreamLimitsRule()
    """How much it is asked to bear."""
    timeouts: UpstreamTimeoutsRule = UpstreamTimeoutsRule()
    """How long the gateway waits for it."""
    mode: Mode = "enforce"
    """`observe` forwards what policy would refuse of its requests, and records the refusal."""
    tls: UpstreamTlsRule = UpstreamTlsRule()
    """How it proves that it is the right one, and how the gateway does."""

    env: EnvRule | None = None
    """What `doorward run` sets for its command."""

    def address(self) -> WebAddress:
        """Its origin, and the path that is put in front of every request's."""
        return read_url(self.url)

    def prefix(self, name: str) -> str:
        """Its path on the gateway, for the name of its entry: `/billing`, or empty for the root."""
        prefix = f"/{name}" if self.at is None else self.at.prefix
        return "" if prefix == "/" else prefix

    def token_places(self) -> tuple[str, ...]:
        """Where besides Authorization a task token may stand, each once."""
        return tuple(dict.fromkeys(name for name in self.token_in if name != _ALWAYS_A_PLACE))

    def token_headers(self) -> tuple[str, ...]:
        """Those of the places that are headers of their own, in canonical form."""
        return tuple(canonical(name) for name in self.token_places() if name != BASIC and not name.startswith(IN_QUERY))
