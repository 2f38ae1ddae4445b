"""Makes a checked configuration ready to serve: everything a request needs that holds no connection; starts nothing."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, final

import orjson

from gateway.audit.sinks.file import Config as FileSinkConfig
from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.credentials.injector import Injector
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.obtain import Credentials, ManagedCredential
from gateway.credentials.rules import CredentialRule
from gateway.credentials.sources import SOURCES
from gateway.credentials.sources.file import Config as FileSourceConfig
from gateway.errors import ConfigurationError, Flaw
from gateway.http.admit import Admission
from gateway.http.fields import canonical, never_forwarded, request_vocabulary
from gateway.http.memory import Memory
from gateway.http.routes import Routes
from gateway.identity.local_users import user_id
from gateway.intent.index import OperationIndex
from gateway.intent.read_intent import Intents, Readable
from gateway.intent.readers import READERS
from gateway.model import Upstream
from gateway.policy.compile import Policy
from gateway.settings.document import Document
from gateway.settings.load import Loaded
from gateway.settings.tls import tls_files, tls_flaws, tls_warnings, upstream_files
from gateway.stores.backends.sqlite import MEMORY
from gateway.stores.backends.sqlite import Config as SqliteConfig

ALWAYS_WATCHED: Final = ("authorization", "dpop", "traceparent", "tracestate")
"""Headers that steps read and upstreams never see as the caller sent them."""
WITHHELD_TO_SCRUB: Final = ("accept-encoding", "if-range", "range")
"""Headers by which a caller would get answers in which no secret can be found: encoded, or in parts to be put together."""
SOON: Final = timedelta(days=14).total_seconds()
"""How long before the end of an exception the gateway begins to warn."""
_DIGEST_DIGITS: Final = 16
_A_DAY: Final = timedelta(days=1).total_seconds()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a configuration means. `warnings` are sentences for the operator about what will soon stop working.

    `digest` stands for the values of the file, the environment's among them; comments and layout do not change it.
    """

    digest: str
    tenant: str
    admission: Admission
    upstreams: Mapping[str, Upstream]
    routes: Routes
    intents: Intents
    policy: Policy
    warnings: tuple[str, ...]


def compile_configuration(loaded: Loaded, now: float) -> Compiled:
    """Compile what `load` has checked, as of `now` (Unix seconds).

    Raises `ConfigurationError` for what is right in itself and still cannot be used here and now.
    """
    document = loaded.document
    flaws = [
        *_exception_flaws(loaded, now),
        *_isolation_flaws(loaded),
        *_place_flaws(loaded),
        *tls_flaws(loaded, now),
        *_file_flaws(loaded),
    ]
    if flaws:
        raise ConfigurationError(flaws)
    canonical_form = orjson.dumps(loaded.positions.value, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical_form).hexdigest()[:_DIGEST_DIGITS]
    injected = {place for rule in document.credentials.values() for place in _injector(rule).places}
    upstreams = {name: _upstream(loaded, name, injected) for name in document.upstreams}
    watched = {name for upstream in upstreams.values() for name in upstream.emptied}
    watched |= injected
    return Compiled(
        digest=digest,
        tenant=document.tenant,
        admission=Admission(request_vocabulary(watched), document.gateway.limits, Memory()),
        upstreams=upstreams,
        routes=Routes(upstreams.values()),
        intents=Intents(
            canonical(document.gateway.intent_header), {name: _readable(document, name) for name in upstreams}, Memory()
        ),
        policy=Policy(document.grants, document.denials, document.intents, digest),
        warnings=(*_warnings(document, now), *tls_warnings(loaded, now)),
    )


def compile_credentials(loaded: Loaded, clock: Clock, fingerprint_key: bytes) -> Credentials:
    """Open the sources of all secrets. `fingerprint_key` marks the versions of secrets in records."""
    return Credentials({name: _credential(loaded, name, clock, fingerprint_key) for name in loaded.document.credentials}, clock)


def _upstream(loaded: Loaded, name: str, injected: Iterable[str]) -> Upstream:
    rule = loaded.document.upstreams[name]
    address = rule.address()
    places = rule.token_places()
    ours = (*ALWAYS_WATCHED, canonical(loaded.document.gateway.intent_header), *map(canonical, places))
    withheld = WITHHELD_TO_SCRUB if rule.scrub == "full" else ()
    return Upstream(
        tenant=loaded.document.tenant,
        name=name,
        origin=address.origin,
        prefix=rule.prefix(name),
        base_path=address.path,
        protocol=rule.protocol,
        credential=rule.credential,
        token_places=tuple(map(canonical, places)),
        # A header that another upstream's secret goes into is watched for all; here it is what it would be without that.
        emptied=frozenset((*ours, *withheld, *filter(never_forwarded, injected))),
        scrub=rule.scrub,
        networks=tuple(rule.networks),
        passed=frozenset(map(canonical, rule.passed)),
        tls=upstream_files(loaded, name),
        connect_timeout=rule.timeouts.connect,
        head_timeout=rule.timeouts.head,
        concurrent=rule.limits.concurrent,
    )


def _credential(loaded: Loaded, name: str, clock: Clock, fingerprint_key: bytes) -> ManagedCredential:
    rule = loaded.document.credentials[name]
    source = SOURCES[rule.secret.name].build(rule.secret.config, clock, loaded.resolve)
    ends = _usable_until(rule, loaded.document.exceptions.overdue)
    scrubbed = any(upstream.credential == name and upstream.scrub != "none" for upstream in loaded.document.upstreams.values())
    return ManagedCredential(name, source, _injector(rule), ends=ends, key=fingerprint_key, scrubbed=scrubbed)


def _injector(rule: CredentialRule) -> Injector:
    return INJECTORS[rule.inject.name].build(rule.inject.config)


def _usable_until(rule: CredentialRule, overdue: float) -> float | None:
    """The end of its exception, or that of the grace after a missed review, whichever comes first."""
    if rule.exception is None:
        return None
    return min(rule.exception.ends(), rule.exception.review_due() + overdue)


def _readable(document: Document, name: str) -> Readable:
    kind = READERS[document.upstreams[name].protocol]
    own = {intent: rule for intent, rule in document.intents.items() if rule.upstream == name}
    return Readable(kind.build(kind.config()), OperationIndex(own))


def _exception_flaws(loaded: Loaded, now: float) -> Iterator[Flaw]:
    """A static secret needs a written permission that is true and not too long."""
    longest = loaded.document.exceptions.max
    for name, rule in loaded.document.credentials.items():
        where = ("credentials", name)
        if not rule.secret.config.static and rule.exception is None:
            continue
        if rule.exception is None:
            yield loaded.flaw(
                where,
                f"the secret of '{name}' is static, so it needs an exception: "
                "{owner: ..., reason: ..., expires: 2027-01-31, review_every: 30d, reviewed: 2026-11-20}",
            )
            continue
        if rule.exception.ends() - now > longest + _A_DAY:
            days = int(longest / _A_DAY)
            yield loaded.flaw(
                (*where, "exception", "expires"), f"this is more than {days} days ahead, which is `exceptions.max`"
            )
        if rule.exception.review_due() - rule.exception.review_every > now:
            yield loaded.flaw((*where, "exception", "reviewed"), "this day is in the future; write the day of the last review")


def _isolation_flaws(loaded: Loaded) -> Iterator[Flaw]:
    own = {os.getuid()}
    for index, user in enumerate(loaded.document.admin.operators):
        try:
            own.add(user_id(user))
        except ValueError as error:
            yield loaded.flaw(("admin", "operators", index), str(error))
    for name, identity in loaded.document.identities.items():
        try:
            identity.check_isolation(own)
        except ValueError as error:
            yield loaded.flaw(("identities", name), str(error))


def _place_flaws(loaded: Loaded) -> Iterator[Flaw]:
    intent_header = canonical(loaded.document.gateway.intent_header)
    for name, rule in loaded.document.credentials.items():
        if intent_header in _injector(rule).places:
            yield loaded.flaw(("credentials", name, "inject"), "agents declare their intent in this header; it holds no secret")
    for name, upstream in loaded.document.upstreams.items():
        if intent_header in map(canonical, upstream.token_places()):
            yield loaded.flaw(("upstreams", name, "token_in"), "agents declare their intent in this header; it holds no token")


def _file_flaws(loaded: Loaded) -> Iterator[Flaw]:
    taken: dict[Path, str] = {}
    for where, what, path in _own_files(loaded):
        other = taken.setdefault(path.resolve(), what)
        if other != what:
            yield loaded.flaw(where, f"{what} and {other} would be one file; give each its own path")


def _own_files(loaded: Loaded) -> Iterator[tuple[tuple[str | int, ...], str, Path]]:
    """Every file that Doorward writes, or reads a secret from."""
    document = loaded.document
    for name, sink in document.audit.sinks.items():
        if isinstance(sink.choice.config, FileSinkConfig):
            log = loaded.resolve(sink.choice.config.path)
            for suffix in ("", ".journal", ".checkpoint"):
                yield (
                    ("audit", "sinks", name),
                    f"the audit log's file{suffix and ' ' + suffix}",
                    log.with_name(log.name + suffix),
                )
    key = loaded.resolve(document.audit.checkpoint.key.file)
    yield ("audit", "checkpoint"), "the checkpoint key", key
    yield ("audit", "checkpoint"), "the verifier key", key.with_name(key.name + ".pub")
    store = document.authority.store.config
    if isinstance(store, SqliteConfig) and store.path != MEMORY:
        yield ("authority", "store"), "the store", loaded.resolve(store.path)
    listeners = (
        ("gateway", document.gateway.listen),
        ("authority", document.authority.listen),
        ("admin", (document.admin.socket,)),
    )
    for section, addresses in listeners:
        for address in map(parse_address, addresses):
            if address.path:
                yield (section,), f"the socket of '{section}' {address.path}", loaded.resolve(address.path)
    for where, files in tls_files(loaded):
        if files.key is not None:
            yield where, "a TLS key", Path(files.key)
    secrets: dict[str, str] = {}
    for name, rule in document.credentials.items():
        if isinstance(rule.secret.config, FileSourceConfig):
            path = rule.secret.config.path
            yield ("credentials", name), secrets.setdefault(path, f"the secret of '{name}'"), loaded.resolve(path)


def _warnings(document: Document, now: float) -> Iterator[str]:
    for name, rule in document.credentials.items():
        until = _usable_until(rule, document.exceptions.overdue)
        if until is None or rule.exception is None:
            continue
        if now >= until:
            yield f"credential {name}: its exception has ended, so its requests are refused; ask {rule.exception.owner}"
        elif now >= rule.exception.review_due():
            yield f"credential {name}: its review is overdue; ask {rule.exception.owner}"
        elif until - now < SOON:
            days = int((until - now) / _A_DAY) + 1
            yield f"credential {name}: its exception ends within {days} days; ask {rule.exception.owner}"
