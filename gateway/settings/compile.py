"""Makes a checked configuration ready to serve: everything a request needs that holds no connection; starts nothing."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import orjson

from gateway.audit.sinks.file import Config as FileSinkConfig
from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.credentials.injector import Injector
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.obtain import Credentials, ManagedCredential
from gateway.credentials.rules import CredentialRule
from gateway.credentials.source import Source
from gateway.credentials.sources import SOURCES
from gateway.credentials.sources.file import Config as FileSourceConfig
from gateway.errors import ConfigurationError, Flaw
from gateway.http.admit import Admission
from gateway.http.fields import canonical, never_forwarded, request_vocabulary
from gateway.http.memory import Memory
from gateway.http.permitted import Permitted
from gateway.http.routes import Routes
from gateway.identity.local_users import user_id
from gateway.intent.mirrored import MIRRORED, SEALED
from gateway.intent.read_intent import Intents
from gateway.kind import Pace
from gateway.model import Limit, Upstream
from gateway.policy.compile import Policy
from gateway.settings.captures import capture_flaws
from gateway.settings.compiled import Compiled
from gateway.settings.decisions import observing, readable
from gateway.settings.document import Document
from gateway.settings.examples import example_flaws
from gateway.settings.identities import identity_flaws
from gateway.settings.issuers import issuer_flaws, issuer_warnings
from gateway.settings.load import Loaded
from gateway.settings.protocols import MCP, protocol_flaws
from gateway.settings.resource_documents import resource_documents
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


def compile_configuration(loaded: Loaded, now: float, before: Compiled | None = None) -> Compiled:
    """Compile what `load` has checked, as of `now` (Unix seconds).

    An upstream that is what it was in `before` stays the same object, for its connections are kept under it.
    Raises `ConfigurationError` for what is right in itself and still cannot be used here and now.
    """
    parts = loaded.parts
    if flaws := [*dict.fromkeys(_flaws(loaded, now))]:
        raise ConfigurationError(flaws)
    canonical_form = orjson.dumps(loaded.values, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical_form).hexdigest()[:_DIGEST_DIGITS]
    rules = [rule for part in parts.values() for rule in part.document.credentials.values()]
    injected = {place for rule in rules for place in _injector(rule).places}
    known = {} if before is None else {name: its.upstreams for name, its in before.parts.items()}
    upstreams = {
        tenant: {
            name: _same(known.get(tenant, {}).get(name), _upstream(part, name, injected)) for name in part.document.upstreams
        }
        for tenant, part in parts.items()
    }
    every = [upstream for its in upstreams.values() for upstream in its.values()]
    watched = {name for upstream in every for name in upstream.emptied}
    watched |= injected
    if any(upstream.protocol == MCP for upstream in every):
        watched |= {*MIRRORED, *SEALED}
    vocabulary, limits = request_vocabulary(watched), loaded.document.gateway.limits
    admission = Admission(vocabulary, limits, Permitted(vocabulary, limits.headers))
    made = {tenant: _part(part, digest, admission, upstreams[tenant], now) for tenant, part in parts.items()}
    if flaws := [flaw for tenant, part in parts.items() for flaw in example_flaws(part, made[tenant])]:
        raise ConfigurationError(flaws)
    return _joined(loaded, made, admission) if loaded.tenants else made[loaded.document.tenant]


def _flaws(loaded: Loaded, now: float) -> Iterator[Flaw]:
    """What is common to all tenants is the same in each."""
    parts = [*loaded.parts.values()]
    for part in parts:
        yield from _exception_flaws(part, now)
    yield from _isolation_flaws(loaded)
    yield from identity_flaws(loaded)
    yield from issuer_flaws(loaded)
    for part in parts:
        yield from _place_flaws(part)
        yield from tls_flaws(part, now)
        yield from _file_flaws(part)
        yield from capture_flaws(part)
        yield from protocol_flaws(part)
    yield from _secret_flaws(loaded)


def _secret_flaws(loaded: Loaded) -> Iterator[Flaw]:
    """Files with secrets that two tenants would read."""
    taken: dict[Path, str] = {}
    for tenant, part in loaded.parts.items():
        for name, rule in part.document.credentials.items():
            if isinstance(rule.secret.config, FileSourceConfig):
                path = part.resolver("credentials", name)(rule.secret.config.path).resolve()
                if taken.setdefault(path, tenant) != tenant:
                    yield part.flaw(("credentials", name, "secret"), "this file holds a secret of another tenant")


def _joined(loaded: Loaded, made: Mapping[str, Compiled], admission: Admission) -> Compiled:
    """All tenants at one gateway: whose a request is says the upstream that it is for."""
    every = [upstream for part in made.values() for upstream in part.upstreams.values()]
    documents = [
        resource_documents(part.document, made[tenant].upstreams, told=False) for tenant, part in loaded.tenants.items()
    ]
    several = next(iter(made.values()))
    common = set(several.warnings).intersection(*(part.warnings for part in made.values()))
    own = [f"tenant {name}: {told}" for name, part in made.items() for told in part.warnings if told not in common]
    return replace(
        several,
        tenant="",
        upstreams={f"{upstream.tenant}/{upstream.name}": upstream for upstream in every},
        routes=Routes(every, {path: text for found in documents for path, text in found.items()}),
        intents=several.intents._replace(by_upstream={}),
        policy=Policy((), (), (), several.digest, drift=loaded.document.drift is not None),
        warnings=(*(told for told in several.warnings if told in common), *own),
        admission=admission,
        tenants=made,
    )


def _part(loaded: Loaded, digest: str, admission: Admission, upstreams: Mapping[str, Upstream], now: float) -> Compiled:
    """What one tenant's configuration means."""
    document = loaded.document
    limits = document.gateway.limits
    return Compiled(
        digest=digest,
        tenant=document.tenant,
        admission=admission,
        upstreams=upstreams,
        routes=Routes(upstreams.values(), resource_documents(document, upstreams)),
        intents=Intents(canonical(document.gateway.intent_header), readable(document), Memory(), limits.inspect),
        policy=Policy(
            document.grants, document.denials, document.intents, digest, observing(document), drift=document.drift is not None
        ),
        warnings=(
            *_observed(document),
            *_warnings(document, now),
            *tls_warnings(loaded, now),
            *issuer_warnings(document),
        ),
    )


def compile_credentials(
    loaded: Loaded, clock: Clock, fingerprint_key: bytes, before: tuple[Loaded, Credentials] | None = None
) -> Credentials:
    """Open the sources of all secrets. `fingerprint_key` marks the versions of secrets in records.

    A credential that is what it was in `before` is the same object, with the last value that its source has given.
    """
    document = loaded.document
    scrubbed = {upstream.credential for upstream in document.upstreams.values() if upstream.scrub != "none"}
    managed: dict[str, ManagedCredential] = {}
    for name, rule in document.credentials.items():
        ends = _usable_until(rule, document.exceptions.overdue)
        known = None if before is None or not _same_secret(*before, loaded, name) else before[1].managed[name]
        if known is None or (known.ends, known.scrubbed) != (ends, name in scrubbed):
            source = _source(loaded, name, clock) if known is None else known.source
            known = ManagedCredential(name, source, _injector(rule), ends=ends, key=fingerprint_key, scrubbed=name in scrubbed)
        managed[name] = known
    return Credentials(managed, clock)


def _same(before: Upstream | None, now: Upstream) -> Upstream:
    alike = before is not None and all(getattr(before, field.name) == getattr(now, field.name) for field in fields(now))
    return before if before is not None and alike else now


def _upstream(loaded: Loaded, name: str, injected: Iterable[str]) -> Upstream:
    rule = loaded.document.upstreams[name]
    address = rule.address()
    ours = (*ALWAYS_WATCHED, canonical(loaded.document.gateway.intent_header), *rule.token_headers())
    withheld = WITHHELD_TO_SCRUB if rule.scrub == "full" or rule.protocol == MCP else ()
    opened = SEALED if rule.protocol == MCP else ()
    return Upstream(
        tenant=loaded.document.tenant,
        name=name,
        origin=address.origin,
        prefix=rule.prefix(name),
        resource=loaded.document.gateway.url.rstrip("/") + rule.prefix(name),
        base_path=address.path,
        protocol=rule.protocol,
        credential=rule.credential,
        token_places=tuple(map(canonical, rule.token_places())),
        # A header that another upstream's secret goes into is watched for all; here it is what it would be without that.
        emptied=frozenset((*ours, *withheld, *opened, *filter(never_forwarded, injected))),
        scrub=rule.scrub,
        networks=tuple(rule.networks),
        passed=frozenset(map(canonical, rule.passed)),
        tls=upstream_files(loaded, name),
        connect_timeout=rule.timeouts.connect,
        head_timeout=rule.timeouts.head,
        concurrent=rule.limits.concurrent,
        rate=None if rule.limits.rate is None else _rate(loaded.document.tenant, name, rule.limits.rate),
    )


def _rate(tenant: str, name: str, pace: Pace) -> Limit:
    return Limit("rate", f"rate/{tenant}/upstream/{name}", *pace.slices(), f"to {name}", shared=True)


def _source(loaded: Loaded, name: str, clock: Clock) -> Source:
    secret = loaded.document.credentials[name].secret
    return SOURCES[secret.name].build(secret.config, clock, loaded.resolver("credentials", name))


def _same_secret(before: Loaded, known: Credentials, after: Loaded, name: str) -> bool:
    """Whether a credential takes the same secret from the same place to the same places."""
    old, new = before.document.credentials.get(name), after.document.credentials[name]
    folders = (loaded.resolver("credentials", name)("") for loaded in (before, after))
    return name in known.managed and old is not None and (old.secret, old.inject) == (new.secret, new.inject) and _one(folders)


def _one(things: Iterable[object]) -> bool:
    return len(set(things)) == 1


def _injector(rule: CredentialRule) -> Injector:
    return INJECTORS[rule.inject.name].build(rule.inject.config)


def _usable_until(rule: CredentialRule, overdue: float) -> float | None:
    """The end of its exception, or that of the grace after a missed review, whichever comes first."""
    if rule.exception is None:
        return None
    return min(rule.exception.ends(), rule.exception.review_due() + overdue)


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
        if intent_header in upstream.token_headers():
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
    if document.authority.remote is None and isinstance(store, SqliteConfig) and store.path != MEMORY:
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
    secrets: dict[Path, str] = {}
    for name, rule in document.credentials.items():
        if isinstance(rule.secret.config, FileSourceConfig):
            path = loaded.resolver("credentials", name)(rule.secret.config.path)
            yield ("credentials", name), secrets.setdefault(path, f"the secret of '{name}'"), path


def _observed(document: Document) -> Iterator[str]:
    """What is forwarded though policy refuses it; nobody should find that out by accident."""
    if document.gateway.mode == "observe":
        yield "gateway.mode is observe: what policy refuses is forwarded, and only recorded"
    for name, upstream in document.upstreams.items():
        if upstream.mode == "observe":
            yield f"upstream {name} is in observe mode: what policy refuses is forwarded, and only recorded"
    for grant in document.grants:
        if grant.mode == "observe":
            yield f"grant {grant.name}: it is in observe mode, so its conditions are only recorded"


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
