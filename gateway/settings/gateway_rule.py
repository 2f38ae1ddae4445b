"""The gateway's own section: where it listens and what it calls itself; knows nothing of upstreams and policy."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.authority.addresses import AddressText
from gateway.http.fields import canonical, is_spoken_for
from gateway.http.limits import Limits
from gateway.http.tls_rule import ListenerTlsRule
from gateway.kind import Config, Count
from gateway.policy.rules import Mode
from gateway.settings.web_address import OriginText

_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}").fullmatch
_EVERY_ADDRESS: Final = frozenset(("0.0.0.0", "[::]"))  # noqa: S104 compared with, not listened on


def _check_intent_header(text: str) -> str:
    if _FIELD_NAME(text) is None:
        raise ValueError("expected the name of a header, such as Agent-Intent")
    name = canonical(text)
    if name == "authorization" or (is_spoken_for(name) and not name.startswith("agent-")):
        raise ValueError("this header has another meaning in HTTP; choose a name such as Agent-Intent")
    return text


def _first_address(values: dict[str, Any]) -> str:
    for address in values["listen"]:
        if not address.startswith("unix:") and address.rpartition(":")[0] not in _EVERY_ADDRESS:
            return f"{'http' if values.get('tls') is None else 'https'}://{address}"
    return ""


class GatewayRule(Config):
    """The listener that agents send their requests to."""

    listen: Annotated[tuple[AddressText, ...], Field(min_length=1)] = ("127.0.0.1:8080",)
    """Where it listens: `host:port`, `[IPv6]:port` or `unix:path`."""
    tls: ListenerTlsRule | None = None
    """TLS on every address of `listen` but Unix sockets. Without it tokens cross the network in the clear."""
    url: OriginText = Field(default_factory=_first_address)
    """The address that agents use, never taken from Host; `http://` or, with `tls`, `https://` and the first address of
    `listen` when left out."""
    audience: Annotated[str, Field(min_length=1, max_length=200)] = "doorward"
    """What every task token must carry in `aud`."""
    workers: Annotated[Count, Field(ge=0, le=256)] = 1
    """How many processes serve requests: 1 is one process for everything, more are started beside the authority, 0 is one for
    each core. Limits on connections hold for each of them."""
    proof: Literal["optional", "required"] = "optional"
    """`required` refuses every token that is not bound to a key or a certificate of its holder. One that is bound has to be
    proved in either case."""
    mode: Mode = "enforce"
    """`observe` forwards what policy would refuse, and records the refusal; everything but policy is enforced as ever."""
    intent_header: Annotated[str, AfterValidator(_check_intent_header)] = "Agent-Intent"
    """The request header in which agents declare their intent."""
    limits: Limits = Limits()
    """How large, how many and how slow connections and requests may be."""

    @model_validator(mode="after")
    def _check_url(self) -> "GatewayRule":
        if not self.url:
            raise PydanticCustomError("url", "'url' is missing: `listen` names no single address that agents could use")
        return self
