"""The first step: only what has one meaning, and fits, is let in; knows nothing of what it is for."""

from typing import NamedTuple

from gateway.http.downstream import Downstream
from gateway.http.fields import Vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.http.limits import Limits


class Admission(NamedTuple):
    """What a request head is measured by."""

    vocabulary: Vocabulary
    limits: Limits


def admit(caller: Downstream, admission: Admission) -> RequestHead:
    """Parse the head and begin to follow the body. Raises `Refusal` for what is malformed, ambiguous or too large."""
    head = parse_request(caller.take_head(), admission.vocabulary, most_lines=admission.limits.headers)
    caller.expect(head)
    return head
