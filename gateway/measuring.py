"""Takes the figures of all parts of a process and puts them under the names of the table; knows no HTTP, no other process."""

import platform
from typing import TYPE_CHECKING, Final

from gateway import __version__
from gateway.audit import traffic
from gateway.audit.traffic import Flow
from gateway.credentials.injector import UnfitSecretError
from gateway.credentials.obtain import ManagedCredential
from gateway.credentials.source import SecretUnavailableError
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.metrics.figures import Figures
from gateway.metrics.kernel import measure_process
from gateway.reload import P, Reload
from gateway.settings.issuers import OWN

if TYPE_CHECKING:  # a process has one of the two, and does not hold the modules of the other
    from gateway.authority.remote import RemoteFeed
    from gateway.authority_side import AuthoritySide

MAIN: Final = "main"
"""How the process is called that was started; workers are called by their numbers."""
_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def measure_ground(figures: Figures, ground: Ground, process: str = MAIN) -> None:
    """What every process has."""
    ledger = ground.ledger
    figures.put("doorward_audit_available", ledger.available)
    figures.put("doorward_audit_records_total", ledger.seq)
    figures.put("doorward_audit_backlog_bytes", ledger.backlog)
    figures.put("doorward_exchanges_open", ledger.open_exchanges)
    figures.put("doorward_config_info", 1, ground.compiled.digest)
    for side, end in ground.tls.ends().items():
        figures.put("doorward_tls_certificate_end_timestamp_seconds", end, side)
    compiled = not traffic.__file__.endswith(".py")
    figures.put("doorward_build_info", 1, __version__, platform.python_version(), "yes" if compiled else "no")
    measure_process(figures, process)


def measure_gateway(figures: Figures, gateway: GatewaySide, ground: Ground) -> None:
    """What requests pass, once it has started."""
    for flow in [*ground.ledger.traffic.flows.values()]:
        _measure_flow(figures, flow)
    if not gateway.addresses:
        return
    listener, pool = gateway.listener, gateway.pool
    followed = [(each.name, each.standing, each.leases) for each in gateway.followed]
    issuers = [(OWN, gateway.standing, gateway.leases), *followed]
    figures.put("doorward_connections_open", listener.count())
    figures.put("doorward_connections_turned_away_total", listener.turned_away)
    figures.put("doorward_upstream_connections_open", pool.idle, "idle")
    figures.put("doorward_upstream_connections_open", pool.size - pool.idle, "used")
    for name, standing, _ in issuers:
        figures.put("doorward_feed_staleness_seconds", standing.age, name)
        figures.put("doorward_feed_entry", standing.seq, name)
        figures.put("doorward_revocations_live", len(standing.ended), name)
    for each in gateway.followed:
        figures.put("doorward_feed_lost_total", each.feed.lost, each.name)
    figures.put("doorward_tokens_remembered", sum(len(standing.remembered) for _, standing, _ in issuers))
    figures.put("doorward_lease_waits_total", sum(leases.waits for _, _, leases in issuers))
    figures.put("doorward_leases", sum(leases.size for _, _, leases in issuers))
    for tenant, part in gateway.snapshot.parts.items():
        for name, managed in part.credentials.managed.items():
            label = f"{tenant}/{name}" if gateway.snapshot.tenants else name
            figures.put("doorward_credential_usable", _usable(managed), label)
            if managed.ends is not None:
                figures.put("doorward_credential_end_timestamp_seconds", managed.ends, label)


def measure_feed(figures: Figures, feed: "RemoteFeed") -> None:
    """The line to the gateway's own authority where that is another process."""
    figures.put("doorward_feed_lost_total", feed.lost, OWN)
    figures.put("doorward_policy_differs", feed.differs)


def measure_authority(figures: Figures, side: "AuthoritySide") -> None:
    """What issues and revokes, once it has started."""
    for (endpoint, error), times in side.answered.items():
        figures.put("doorward_authority_requests_total", times, endpoint, error)
    authority = side.authority
    for event, times in authority.tenants.given.items():
        figures.put("doorward_tokens_issued_total", times, event)
    for (state, cause), times in authority.endings.tasks.items():
        figures.put("doorward_tasks_ended_total", times, state, cause)
    for (kind, cause), times in authority.endings.revoked.items():
        figures.put("doorward_revocations_total", times, kind, cause)
    figures.put("doorward_store_available", authority.feed.reading)
    figures.put("doorward_store_errors_total", authority.store.failures)
    figures.put("doorward_audit_waiting_records", authority.unrecorded)
    figures.put("doorward_gateways_connected", side.feed.open)


def measure_reload(figures: Figures, reload: Reload[P] | None) -> None:
    """What became of changed files, once they are watched."""
    if reload is not None:
        figures.put("doorward_config_reloads_total", reload.taken, "loaded")
        figures.put("doorward_config_reloads_total", reload.turned_down, "refused")
        figures.put("doorward_config_last_reload_successful", reload.refused is None)
        figures.put("doorward_config_loaded_timestamp_seconds", reload.since)


def _measure_flow(figures: Figures, flow: Flow) -> None:
    where = (flow.tenant, flow.upstream)
    answers = {(traffic.ALLOW, "", status): times for status, times in enumerate(flow.answers) if times}
    for (decision, code, status), times in {**answers, **flow.refusals}.items():
        figures.put("doorward_requests_total", times, *where, decision, code, _CLASSES[status])
    for ending, times in flow.endings.items():
        figures.put("doorward_exchange_endings_total", times, *where, ending)
    for limit, times in flow.limits.items():
        figures.put("doorward_limit_refusals_total", times, *where, limit)
    figures.put_buckets("doorward_request_duration_seconds", flow.durations, flow.seconds, *where)
    figures.put_buckets("doorward_upstream_head_seconds", flow.heads, flow.head_seconds, *where)
    figures.put("doorward_request_body_bytes_total", flow.received, *where)
    figures.put("doorward_response_body_bytes_total", flow.sent, *where)
    figures.put("doorward_scrubbed_total", flow.scrubbed, *where)
    figures.put("doorward_resent_requests_total", flow.resent, *where)


def _usable(managed: ManagedCredential) -> bool:
    try:
        managed.credential()
    except (SecretUnavailableError, UnfitSecretError):
        return False
    return True
