"""The first step: only what has one meaning, and fits, is let in; knows nothing of what it is for."""

from typing import NamedTuple

from gateway.errors import Refusal
from gateway.http.downstream import Downstream
from gateway.http.fields import Vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.http.limits import Limits
from gateway.http.permitted import Permitted


class Admission(NamedTuple):
    """What a request head is measured by, and the heads that were permitted before."""

    vocabulary: Vocabulary
    limits: Limits
    permitted: Permitted


def admit(caller: Downstream, admission: Admission) -> RequestHead:
    """Return the parsed head. Raises `Refusal` for what is malformed, ambiguous or too large.

    A parsed head says nothing but what its bytes say and is never changed, so one that comes again is the same object.
    """
    raw = caller.take_head()
    head = admission.permitted.known.get(raw)
    if head is None:
        head = admission.permitted.assemble(raw)
    if head is None:
        head = parse_request(raw, admission.vocabulary, most_lines=admission.limits.headers)
    if head.absolute is not None and head.absolute.scheme != caller.scheme:  # RFC 9110 §7.4
        raise Refusal("request_malformed", f"The target begins with {head.absolute.scheme}, and the connection is not of it.")
    return head
