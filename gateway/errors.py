"""Every way to say no, in one table: code, status, public sentence and remedy; knows nothing of who asks or why.

DoorwardError               what a command tells its user in one sentence
  ConfigurationError        flaws of a configuration, each with file, line and column
Refusal                     a request is answered with a problem from the table
Interrupted                 a request ends without an answer: nobody is left to read one
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

DOCUMENTATION: Final = "https://doorward.example/refusals"

ProxyError = Literal[
    "connection_limit_reached",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "destination_not_found",
    "destination_unavailable",
    "dns_error",
    "http_protocol_error",
    "http_request_denied",
    "http_request_error",
    "http_response_content_coding",
    "http_response_header_section_size",
    "http_response_incomplete",
    "http_response_timeout",
    "http_response_transfer_coding",
    "http_upgrade_failed",
    "proxy_configuration_error",
    "proxy_internal_error",
    "proxy_internal_response",
    "tls_alert_received",
    "tls_certificate_error",
    "tls_protocol_error",
]
"""The types of RFC 9209 §2.3 that `Proxy-Status` can name here: words that every intermediary shares, and no text of ours."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table of refusals (RFC 9457): what a caller may know, and what it should do next.

    `error` is what `Proxy-Status` says of it, unless the place that refuses knows it more exactly.
    """

    code: str
    status: int
    error: ProxyError
    title: str
    remedy: str


_ROWS: Final = (
    Problem("request_malformed", 400, "http_request_error",
            "The request is not one that every HTTP parser would read alike.",
            "Send one well-formed HTTP/1.1 request with a plain path."),
    Problem("intent_malformed", 400, "http_request_error",
            "The Agent-Intent header cannot be read.",
            'Send exactly one header such as Agent-Intent: invoices.read;reason="close March".'),
    Problem("token_missing", 401, "http_request_denied",
            "No task token came with the request.",
            "Get a task token from the authority and send it as Authorization: Bearer <token>."),
    Problem("token_invalid", 401, "http_request_denied",
            "The task token is not one that this gateway accepts.",
            "Get a new task token from the authority that this gateway trusts."),
    Problem("token_expired", 401, "http_request_denied",
            "The task token has expired.",
            "Renew the token of this task at the authority, or open a new task."),
    Problem("proof_missing", 401, "http_request_denied",
            "The task token is bound to a key, or has to be, and nothing proves that the caller holds that key.",
            "Send the token as Authorization: DPoP with a DPoP proof, or over TLS with the certificate that it is bound to."),
    Problem("proof_invalid", 401, "http_request_denied",
            "The proof of possession does not hold for this request.",
            "Make a new DPoP proof for this method, address and token, with the nonce of the last DPoP-Nonce header."),
    Problem("token_revoked", 401, "http_request_denied",
            "Access was revoked: the token, its task or its agent has ended.",
            "Do not retry with this token. Open a new task if there is still work to do."),
    Problem("intent_missing", 403, "http_request_denied",
            "The request declares no intent.",
            "Say what the request is for in an Agent-Intent header, with an intent that the token carries."),
    Problem("intent_not_granted", 403, "http_request_denied",
            "The declared intent is not granted to this task.",
            "Declare an intent of the token, or ask the authority for a token with the intent."),
    Problem("intent_mismatch", 403, "http_request_denied",
            "The operation is not part of the declared intent.",
            "Declare the intent that this operation belongs to, or call an operation of the declared intent."),
    Problem("condition_failed", 403, "http_request_denied",
            "The request does not meet a condition of the grant.",
            "Ask only for what the task is for; another customer, file or time may need another task."),
    Problem("denied", 403, "http_request_denied",
            "A denial in the policy forbids this operation.",
            "Do not retry. The operator of this gateway forbids it."),
    Problem("tenant_mismatch", 403, "http_request_denied",
            "The token belongs to another tenant.",
            "Use a token of the tenant that owns this upstream."),
    Problem("upstream_unknown", 404, "destination_not_found",
            "No upstream answers at this path.",
            "Check the first segments of the path against the gateway's upstreams."),
    Problem("method_refused", 405, "http_request_error",
            "TRACE and CONNECT are not served.",
            "Use another method."),
    Problem("body_too_large", 413, "http_request_error",
            "The request body is larger than the gateway admits.",
            "Send a smaller body, or several requests."),
    Problem("limit_exceeded", 429, "http_request_denied",
            "A limit for this upstream is used up.",
            "Wait for as long as Retry-After says, then retry."),
    Problem("header_mismatch", 400, "http_request_error",
            "Headers and body of the MCP request say different things.",
            "Send Mcp-Method, Mcp-Name and MCP-Protocol-Version once each, with what the body says."),
    Problem("method_unknown", 404, "http_request_denied",
            "No method of MCP that this gateway knows has this name.",
            "Use a method of the MCP revisions that the gateway reads."),
    Problem("session_unknown", 404, "http_request_denied",
            "The MCP session or event was not given to this task here.",
            "Start a new session with initialize."),
    Problem("head_too_large", 431, "http_request_error",
            "The request head is larger than the gateway admits.",
            "Send fewer or shorter header fields."),
    Problem("internal", 500, "proxy_internal_error",
            "The gateway failed.",
            "Report the request id to the operator of this gateway."),
    Problem("upstream_failed", 502, "http_protocol_error",
            "The upstream did not give a usable answer.",
            "Retry later if the operation may be repeated."),
    Problem("credential_unavailable", 503, "proxy_internal_error",
            "The upstream's credential cannot be had now.",
            "Retry later; the operator of this gateway has to restore the credential."),
    Problem("credential_expired", 503, "proxy_configuration_error",
            "The upstream's static credential has outlived its exception.",
            "Ask the owner of the credential to review or replace it."),
    Problem("revocations_stale", 503, "proxy_internal_error",
            "The gateway cannot tell what was revoked lately.",
            "Retry later; the gateway has lost its authority."),
    Problem("audit_unavailable", 503, "proxy_internal_error",
            "The gateway cannot record requests now, so it refuses them.",
            "Retry later; the operator of this gateway has to restore the audit log."),
    Problem("signing_unavailable", 503, "proxy_internal_error",
            "The authority cannot sign tokens now; nothing was issued.",
            "Retry later; the operator of this authority has to restore its vault."),
    Problem("overloaded", 503, "proxy_internal_response",
            "The gateway has no room for another request.",
            "Wait for as long as Retry-After says, then retry."),
    Problem("upstream_timeout", 504, "http_response_timeout",
            "The upstream did not answer in time.",
            "Retry later if the operation may be repeated."),
)  # fmt: skip

PROBLEMS: Final[Mapping[str, Problem]] = {row.code: row for row in _ROWS}
"""The table by code. `docs/reference/refusals.md` lists the same rows, and a test compares them."""


class Refusal(Exception):
    """A step says no. What it holds may be shown to the caller: never a secret, a token or an internal text."""

    def __init__(
        self, code: str, detail: str = "", *, retry_after: int | None = None, error: ProxyError | None = None, cause: str = ""
    ) -> None:  # fmt: skip
        """`code` is a key of the table; `detail` tells an agent about this case; `retry_after` is in seconds.

        `error` is the type for `Proxy-Status` where the table's is less exact. `cause` is for the record alone, where the code
        says too little: which limit it was.
        """
        super().__init__(code)
        self.problem: Final = PROBLEMS[code]
        self.detail: Final = detail or self.problem.title
        self.retry_after: Final = retry_after
        self.error: Final[ProxyError] = error or self.problem.error
        self.cause: Final = cause
        self.nonce = ""
        """For the next proof of whoever reads the answer (RFC 9449 §9); empty where no proof was asked for."""
        self.nonce_wanted = False
        """Whether such a nonce is all that was missing."""

    @property
    def code(self) -> str:
        """The stable code, the same in answers, records and metrics."""
        return self.problem.code


class Interrupted(Exception):
    """A request ends without an answer; `ending` is what its closing record says of how."""

    def __init__(self, ending: str) -> None:
        """`ending` is `client_gone`, `client_stalled`, `idle` or `drained`."""
        super().__init__(ending)
        self.ending: Final = ending


class DoorwardError(Exception):
    """What a command cannot do, in one sentence that says what to do about it."""


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """One mistake in a configuration file. Line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """In the form that editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigurationError(DoorwardError):
    """A configuration that cannot be used, with all the flaws that were found."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        """`flaws` holds at least one."""
        super().__init__("\n".join(str(flaw) for flaw in sorted(flaws)))
        self.flaws: Final = tuple(sorted(flaws))
