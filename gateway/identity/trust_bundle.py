"""Where the trust bundle of a SPIFFE trust domain comes from, as an operator writes it; verifies nothing with it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.identity import workload_api
from gateway.identity.asking import Asking, check_address
from gateway.identity.kept import ContentProblem, Kept, KeptFetch, KeptFile, KeptStream
from gateway.identity.keyset import KEY_SET_BYTES
from gateway.identity.provider import ProviderConfig, Tools
from gateway.identity.spiffe_bundle import ALGORITHMS, Bundle, read_bundle, split_der
from gateway.kind import Config
from gateway.model import AgentPattern
from gateway.spiffe import trust_domain

_SOCKET_PATH: Final = 100


def _socket(text: str) -> str:
    path = text.removeprefix("unix:")
    path = path.removeprefix("//")  # SPIFFE_ENDPOINT_SOCKET has the form unix:///path
    if not text.startswith("unix:") or not path or len(path) > _SOCKET_PATH:
        raise ValueError("expected unix: and the path of the agent's socket, such as unix:/run/spire/agent.sock")
    return path


def _address(text: str) -> str:
    check_address(text, "a trust bundle")
    return text


class BundleRule(Config):
    """Where a trust bundle comes from: exactly one of `file`, `url` and `workload_api`."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """A SPIFFE bundle (a JWK set), a set of them by trust domain, or PEM certificates. It is read again when it changes."""
    url: Annotated[str, Field(max_length=2000), AfterValidator(_address)] | None = None
    """A bundle endpoint (profile `https_web`): https, or http on a loopback address. It is asked every five minutes."""
    ca: Annotated[str, Field(min_length=1)] | None = None
    """With `url`: a file of PEM certificates that its TLS is verified with, instead of the system's."""
    workload_api: Annotated[str, AfterValidator(_socket)] | None = None
    """The socket of a SPIFFE agent, as `unix:/run/spire/agent.sock`; it tells of every change at once, of federated trust
    domains too. Needs `pip install 'doorward[spiffe]'`."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        named = [name for name in ("file", "url", "workload_api") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError("say where the bundle comes from with exactly one of file, url and workload_api")
        if self.ca is not None and self.url is None:
            raise ValueError("`ca` is for a bundle from a url")
        return self


class TrustDomainConfig(ProviderConfig):
    """SVIDs of one trust domain, whatever form they have."""

    trust_domain: Annotated[str, AfterValidator(trust_domain)]
    """The trust domain: what stands behind `spiffe://` in the ids of its workloads."""
    bundle: BundleRule
    """Where the keys and certificates of the trust domain come from. The system's are never asked."""

    def within(self) -> AgentPattern:
        """Every workload of the trust domain."""
        return AgentPattern.parse(f"spiffe://{self.trust_domain}/*")


def open_bundle(
    rule: BundleRule,
    kind: workload_api.Kind,
    trust_domain: str,
    tools: Tools,
    algorithms: Sequence[str] = ALGORITHMS,
) -> Kept[Bundle]:
    """Keep the bundle of a trust domain, for SVIDs of one kind. Raises `ValueError` when it can be seen not to work."""
    what = f"the trust bundle of {trust_domain}"

    def read(text: bytes) -> Bundle:
        return read_bundle(text, trust_domain, algorithms)

    if rule.file is not None:
        return KeptFile(tools.resolve(rule.file), read, limit=KEY_SET_BYTES, what=what, clock=tools.clock)
    if rule.url is not None:
        asking = Asking("the bundle endpoint", tools.fetch, tools.clock, tools.resolve, ca=rule.ca)
        return KeptFetch(_asked(rule.url, asking, read), what=what, clock=tools.clock)
    workload_api.check_installed()
    socket = str(tools.resolve(str(rule.workload_api)))

    async def told() -> AsyncGenerator[Bundle, None]:
        async for bundle in workload_api.follow(socket, kind, trust_domain):
            yield read(bundle) if kind == "JWT" else Bundle({}, split_der(bundle))

    return KeptStream(told, what=what, clock=tools.clock)


def _asked(url: str, asking: Asking, read: Callable[[bytes], Bundle]) -> Callable[[], Awaitable[Bundle]]:
    """Asks a bundle endpoint. What it has given before is never followed by something older (SPIFFE Bundle §4.1.1)."""
    newest = -1

    async def ask() -> Bundle:
        nonlocal newest
        bundle = read(await asking.get(url, limit=KEY_SET_BYTES))
        if bundle.sequence is not None:
            if bundle.sequence < newest:
                raise ContentProblem("the bundle endpoint gave an older bundle than before (spiffe_sequence)")
            newest = bundle.sequence
        return bundle

    return ask
