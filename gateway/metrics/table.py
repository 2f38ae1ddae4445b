"""Every metric that `/metrics` may show, in one table with its labels and its meaning; knows no figure.

Names follow the conventions of Prometheus: `doorward_`, base units, `_total` for what only grows. Every label has few values:
names of the configuration, words of the code, numbers of workers. Nothing that a caller sends is ever one.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Together = Literal["sum", "greatest", "least"]

DURATIONS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""The upper edges of the buckets of histograms, in seconds; the last bucket has none."""


class Metric(NamedTuple):
    """One row: `together` says what the figures of several processes under the same labels make."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    together: Together = "sum"


_EXCHANGE: Final = ("tenant", "upstream")

_ROWS: Final = (
    # Requests.
    Metric(
        "doorward_requests_total", "counter",
        "Requests that have ended. The decision is allow, observed (policy would have refused) or deny, and none where the "
        "caller left before, or asked for what the gateway answers by itself; code is that of the refusal, "
        "as in records, and empty without one; status is the class of the answer, such as 2xx, and none without one.",
        (*_EXCHANGE, "decision", "code", "status"),
    ),
    Metric(
        "doorward_exchange_endings_total", "counter",
        "How exchanges ended, in the words of the audit log: complete, refused, cut, client_gone and others.",
        (*_EXCHANGE, "ending"),
    ),
    Metric(
        "doorward_request_duration_seconds", "histogram",
        "From the whole head of a request to the end of its answer; a stream counts when it ends.", _EXCHANGE,
    ),
    Metric(
        "doorward_upstream_head_seconds", "histogram",
        "From a request's leaving to the head of its upstream's answer.", _EXCHANGE,
    ),
    Metric("doorward_request_body_bytes_total", "counter", "Content that came in with requests.", _EXCHANGE),
    Metric("doorward_response_body_bytes_total", "counter", "Content that went out with answers.", _EXCHANGE),
    Metric(
        "doorward_scrubbed_total", "counter",
        "Places of an upstream's answers where its own secret stood, and was masked.", _EXCHANGE,
    ),
    Metric(
        "doorward_resent_requests_total", "counter",
        "Requests sent once more, since the kept connection that they were sent on turned out to be dead.", _EXCHANGE,
    ),
    Metric(
        "doorward_limit_refusals_total", "counter",
        "Requests refused for a limit, by its kind: requests, bytes, rate or concurrent.", (*_EXCHANGE, "limit"),
    ),
    Metric("doorward_exchanges_open", "gauge", "Exchanges under way: decided, and not ended."),
    # Connections.
    Metric("doorward_connections_open", "gauge", "Connections of callers, and those that are in their TLS handshake."),
    Metric("doorward_connections_turned_away_total", "counter", "Connections beyond gateway.limits.connections."),
    Metric("doorward_upstream_connections_open", "gauge", "Connections to upstreams.", ("state",)),
    # What a gateway knows of its authority, and of each further issuer.
    Metric(
        "doorward_feed_staleness_seconds", "gauge",
        "Since the read of the store that the last heartbeat proves; +Inf before the first. Beyond feed.max_staleness "
        "every token of the issuer is refused. Of several gateways the greatest.",
        ("issuer",), "greatest",
    ),
    Metric(
        "doorward_feed_entry", "gauge",
        "The number of the newest entry of the feed that is known. Of several gateways the least.", ("issuer",), "least",
    ),
    Metric("doorward_feed_lost_total", "counter", "How often the line to the issuer ended, or could not be had.", ("issuer",)),
    Metric(
        "doorward_revocations_live", "gauge", "Revocations that a gateway keeps in memory. Of several the most.",
        ("issuer",), "greatest",
    ),
    Metric("doorward_tokens_remembered", "gauge", "Verified tokens that need not be verified again."),
    Metric(
        "doorward_policy_differs", "gauge",
        "1 while a gateway's policy is not its authority's, so that both have to allow; else 0.", together="greatest",
    ),
    # Leases.
    Metric("doorward_lease_waits_total", "counter", "Requests that had to wait for a lease."),
    Metric("doorward_leases", "gauge", "Limits of which a gateway has a lease, or had one lately."),
    # The audit log.
    Metric(
        "doorward_audit_available", "gauge", "1 while the audit log takes records; else 0, and requests are refused.",
        together="least",
    ),
    Metric("doorward_audit_records_total", "counter", "The number of the last record, of all logs together."),
    Metric("doorward_audit_backlog_bytes", "gauge", "Lines that are safe from a kill, and not yet in the file."),
    Metric("doorward_audit_waiting_records", "gauge", "What the authority did and the log did not take yet."),
    # Credentials and certificates.
    Metric(
        "doorward_credential_end_timestamp_seconds", "gauge",
        "When the exception of a static credential ends, or its review is overdue: then its requests are refused.",
        ("credential",), "least",
    ),
    Metric("doorward_credential_usable", "gauge", "1 while the secret can be had; else 0.", ("credential",), "least"),
    Metric(
        "doorward_tls_certificate_end_timestamp_seconds", "gauge",
        "When the certificate ends that a side of TLS shows: gateway, authority or an upstream's client certificate.",
        ("side",), "least",
    ),
    # The configuration.
    Metric(
        "doorward_config_info", "gauge", "The digest of the configuration in force; two series are two configurations.",
        ("policy",), "greatest",
    ),
    Metric(
        "doorward_config_reloads_total", "counter", "Attempts to take a changed configuration: loaded, refused.", ("outcome",),
    ),
    Metric(
        "doorward_config_last_reload_successful", "gauge", "1 while the files are what is in force; 0 once they were refused.",
        together="least",
    ),
    Metric("doorward_config_loaded_timestamp_seconds", "gauge", "When the configuration came into force.", together="greatest"),
    # The authority.
    Metric(
        "doorward_authority_requests_total", "counter",
        "What agents asked of the authority, by endpoint; error is empty for what was done, else the code of the answer.",
        ("endpoint", "error"),
    ),
    Metric(
        "doorward_tokens_issued_total", "counter", "Task tokens: the first of a task (issued), or a further one (renewed).",
        ("event",),
    ),
    Metric("doorward_tasks_ended_total", "counter", "Tasks that ended, by how and why.", ("state", "cause")),
    Metric("doorward_revocations_total", "counter", "Revocations by what they revoke and why.", ("kind", "cause")),
    Metric("doorward_store_available", "gauge", "1 while the last heartbeat could read the store; else 0.", together="least"),
    Metric("doorward_store_errors_total", "counter", "Transactions that failed, since the store could not be read or written."),
    Metric("doorward_gateways_connected", "gauge", "Gateways in other processes that follow the authority's feed now."),
    # The program.
    Metric("doorward_ready", "gauge", "What /readyz says: 1 for ready, 0 while requests would be refused.", together="least"),
    Metric("doorward_workers", "gauge", "Places for workers; ready or not.", ("state",)),
    Metric("doorward_worker_ends_total", "counter", "Workers that ended: asked to, or died.", ("how",)),
    Metric("doorward_workers_unheard", "gauge", "Workers that did not answer now: their figures are older."),
    Metric(
        "doorward_build_info", "gauge", "The version, and whether the modules that serve requests are compiled.",
        ("version", "python", "compiled"), "greatest",
    ),
    Metric("doorward_process_cpu_seconds_total", "counter", "User and system time.", ("process",)),
    Metric("doorward_process_resident_memory_bytes", "gauge", "Resident memory.", ("process",)),
    Metric("doorward_process_open_fds", "gauge", "Open file descriptors.", ("process",)),
    Metric("doorward_process_max_fds", "gauge", "How many may be open.", ("process",)),
    Metric("doorward_process_start_time_seconds", "gauge", "When it was started, in Unix seconds.", ("process",)),
)  # fmt: skip

METRICS: Final[Mapping[str, Metric]] = {row.name: row for row in _ROWS}
"""The table by name. `docs/reference/metrics.md` is made of the same rows, and a test compares."""
