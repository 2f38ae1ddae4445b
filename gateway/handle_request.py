"""The life of one request, from the parsed head to the closed record; knows the order of the steps, nothing of how they work.

Admit, route, authenticate, read the intent, decide, spend, record, obtain, apply, relay, close. Each step returns the typed
value that the next one demands, so that none can be skipped: without a permit there is no credential, and without a
credential there is no outbound request. Steps neither log nor catch; foreign errors become refusals where they are met.
"""

from gateway.credentials.apply import apply
from gateway.errors import Interrupted, Refusal
from gateway.http.admit import admit
from gateway.http.downstream import Downstream
from gateway.identity.authenticate import authenticate, still_good
from gateway.intent.read_intent import read_intent
from gateway.limits.spend import spend
from gateway.model import Outcome
from gateway.policy.decide import decide
from gateway.snapshot import Snapshot


async def handle_request(now: Snapshot, caller: Downstream) -> None:
    """Serve one request on one snapshot. The connection drives this coroutine; it is no task."""
    record = now.audit.open(caller.source)
    outcome = Outcome()
    try:
        record.reserve()
        head = record.head = admit(caller, now.admission)  # 1
        caller.expect(head)
        upstream = record.upstream = now.routes.match(head)  # 2
        bearer = record.principal = authenticate(head, upstream, now.standing)  # 3, whose token it is
        principal = still_good(bearer, now.standing)  # 3, and that nothing has ended it
        use = record.use = await read_intent(head, upstream, caller, now.intents)  # 4
        permit = decide(now.policy, principal, use, upstream)  # 5
        now.admission.permitted.keep(head.raw, head)
        with spend(permit, upstream, now.counters):  # 6
            record.decided(permit)  # 7, before any secret is touched
            credential = record.credential = await now.credentials.obtain(permit)  # 8
            outbound = apply(credential, permit, head, record)  # 9, a new head; the inbound one is never edited
            await now.relay(outbound, head, caller, outcome, lambda: still_good(bearer, now.standing))  # 10, both ways
    except Refusal as refusal:
        record.refused(refusal)
        caller.refuse(refusal, record.request_id, outcome)
    except Interrupted as end:
        outcome.ending = end.ending
        caller.abort()
    except Exception as bug:  # noqa: BLE001 the one place: whatever fails is answered and recorded
        outcome.error = type(bug).__name__
        internal = Refusal("internal")
        record.refused(internal)
        caller.refuse(internal, record.request_id, outcome)
    finally:
        outcome.received = caller.received
        record.close(outcome)  # 11, synchronous; its place was reserved in step 1
