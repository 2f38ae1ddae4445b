"""What either side of Doorward stands on in its process: configuration, clock, audit log, TLS files; knows neither side."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, final

import orjson

from gateway import __version__
from gateway.audit.build import build as build_ledger
from gateway.audit.configuration import record_configuration
from gateway.audit.ledger import Ledger
from gateway.authority.addresses import is_local, parse_address
from gateway.clock import Clock
from gateway.errors import ConfigurationError, DoorwardError, Refusal
from gateway.http.tls_context import UnusableFileError
from gateway.http.tls_rule import ListenerTlsRule
from gateway.http.tls_watch import LiveContext, Roots, TlsWatch
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded
from gateway.settings.tls import listener_files

_DECIDING: Final = ("tenant", "intents", "grants", "denials")
_DIGEST_DIGITS: Final = 12
_SEVERAL: Final = "doorward"
"""Whose audit log it is where there are several tenants."""


@final
class Ground:
    """Made first and stopped last, so that whatever a side does is recorded."""

    def __init__(self, loaded: Loaded, clock: Clock, worker: int | None = None) -> None:
        """Compile the configuration; a `worker` writes an audit log of its own. Raises `ConfigurationError`.

        Nothing is opened yet.
        """
        self.loaded = loaded
        self.clock: Final = clock
        self.compiled: Compiled = compile_configuration(loaded, clock.now())
        self.tls: Final = TlsWatch(clock)
        self.ledger: Ledger
        self.worker: Final = worker
        """The number of the worker that stands here; None for the process that was started."""
        self._started: Final = AsyncExitStack()

    @property
    def warnings(self) -> Sequence[str]:
        """What the configuration alone tells: credentials near their end, agents that nothing isolates, tokens in the clear."""
        document = self.loaded.document
        shared = [
            f"identity {name}: an agent shares its user with Doorward or an operator, so nothing isolates it (same_user: true)"
            for name, rule in document.identities.items()
            if rule.same_user
        ]
        exposed = [
            f"{section} listens on {text} without TLS: tokens cross the network in the clear"
            for section, rule in (("gateway", document.gateway), ("authority", document.authority))
            for text in rule.listen
            if rule.tls is None and not is_local(parse_address(text))
        ]
        return (*self.compiled.warnings, *shared, *exposed)

    @property
    def policy(self) -> str:
        """The digest of what decides: gateways elsewhere compare it with their authority's, though all else may differ."""
        each = [{name: part.positions.value.get(name) for name in _DECIDING} for _, part in sorted(self.loaded.parts.items())]
        deciding = each if self.loaded.tenants else each[0]
        return hashlib.sha256(orjson.dumps(deciding, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGEST_DIGITS]

    async def start(self) -> None:
        """Open the audit log, record the configuration, and look after the files of TLS.

        Raises `DoorwardError`; then nothing stays started.
        """
        try:
            self.ledger = await self._start_audit()
        except BaseException:
            await self._started.aclose()
            raise
        self._started.callback(self.clock.spawn(self.tls.run(), "files of TLS").cancel)

    async def stop(self) -> None:
        """Seal the audit log and let go of it."""
        await self._started.aclose()

    def live(self, section: str, rule: ListenerTlsRule | None, roots: Roots | None = None) -> LiveContext | None:
        """TLS of the listener of a section, if it has any. Raises `ConfigurationError`.

        `roots` gives the certificates (DER) that may vouch for its clients beside those of `client_ca`.
        """
        if rule is None:
            return None
        try:
            optional = rule.client_certificate == "optional"
            return self.tls.serve(section, listener_files(self.loaded, rule), optional=optional, roots=roots)
        except UnusableFileError as error:  # the files were good when the configuration was compiled
            raise ConfigurationError([self.loaded.flaw((section, "tls"), str(error))]) from None

    async def _start_audit(self) -> Ledger:
        document = self.loaded.document
        rule = document.audit if self.worker is None else document.audit.of_worker(self.worker)
        ledger = build_ledger(rule, name=document.tenant or _SEVERAL, clock=self.clock, resolve=self.loaded.resolve)
        self._started.push_async_callback(ledger.stop)
        own = {} if self.worker is None else {"worker": self.worker}
        await ledger.start({"version": __version__, "pid": os.getpid(), **own, "warnings": list(self.warnings)})
        try:
            for file, text in self.loaded.texts.items():
                for record in record_configuration(ledger, self.compiled.digest, str(file), text):
                    record()
        except Refusal:
            raise DoorwardError("the configuration cannot be recorded, for the audit log takes no records") from None
        return ledger
