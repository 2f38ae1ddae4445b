"""The life of one request, from the parsed head to the closed record; knows the order of the steps, nothing of how they work.

Admit, route, authenticate, read the intent, decide, spend, record, obtain, apply, relay, close. Each step returns the typed
value that the next one demands, so that none can be skipped: without a permit there is no credential, and without a
credential there is no outbound request. Steps neither log nor catch; foreign errors become refusals where they are met.
"""

from gateway.audit.record import Record
from gateway.credentials.apply import apply
from gateway.errors import Interrupted, Refusal
from gateway.http.admit import admit
from gateway.http.downstream import Downstream
from gateway.http.own_answer import OwnAnswer
from gateway.identity.authenticate import authenticate, still_good
from gateway.intent.read_intent import read_intent
from gateway.limits.spend import spend
from gateway.model import NO_LABELS, Outcome, Principal, Upstream, Use
from gateway.policy.asked import UNLEARNT, Learnt
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
        bearer = record.principal = caller.bearer = authenticate(head, upstream, now.issuers, caller.source)  # 3
        now = _of_bearer(now, bearer, upstream, record) if bearer.tenant != now.tenant else now  # 3, one tenant with 2
        principal = still_good(bearer, now.standing)  # 3, and that nothing has ended it
        if bearer.binding is not None or now.possession.required:
            now.possession.prove(bearer, head, upstream, caller)  # 3, and that the caller holds its key
        use = record.use = await read_intent(head, upstream, caller, now.intents)  # 4
        if use is not head.use:  # it was read from a body, and waited for that
            still_good(bearer, now.standing)
        learnt = await _learnt(now, record, bearer, use, caller) if use.reads_labels or now.policy.counting else UNLEARNT
        permit = decide(now.policy, principal, use, upstream, head, caller.source, now.standing.clock, learnt)  # 5
        now.admission.permitted.keep(head)
        with spend(permit, upstream, now.leases) as owed:  # 6
            if owed is not None:
                await record.waiting_for(owed.pay(caller))  # waits for a lease where one is short
                still_good(bearer, now.standing)
            record.decided(permit)  # 7, before any secret is touched
            if use.adds or use.durable:
                await _settled(now, record, bearer, use, caller)  # waits until all know, and until the disk has it
            credential = record.credential = await now.credentials.obtain(permit)  # 8
            outbound = apply(credential, permit, head, record)  # 9, a new head; the inbound one is never edited
            await now.relay(outbound, head, caller, outcome, lambda: still_good(bearer, now.standing))  # 10, both ways
    except Refusal as refusal:
        record.refused(refusal)
        caller.refuse(refusal, record.request_id, outcome, record.upstream)
        if refusal.code in now.policy.drifting and record.principal is not None:
            now.leases.drifted(record.principal.task)
    except OwnAnswer as own:
        record.answered()
        own.give(caller, outcome)
    except Interrupted as end:
        outcome.ending = end.ending
        caller.abort()
    except Exception as bug:  # noqa: BLE001 the one place: whatever fails is answered and recorded
        outcome.error = type(bug).__name__
        internal = Refusal("internal")
        record.refused(internal)
        caller.refuse(internal, record.request_id, outcome, record.upstream)
    finally:
        outcome.received = caller.received
        record.close(outcome)  # 11, synchronous; its place was reserved in step 1


def _of_bearer(now: Snapshot, bearer: Principal, upstream: Upstream, record: Record) -> Snapshot:
    """What issuer and tenant of the token use, of several. The upstream of another tenant looks like none at all."""
    if now.by_issuer:
        now = now.by_issuer[bearer.issuer]
        if bearer.tenant == now.tenant:
            return now
    if bearer.tenant != upstream.tenant:
        record.upstream = None
        raise Refusal("upstream_unknown")
    return now.tenants[bearer.tenant]


async def _learnt(now: Snapshot, record: Record, bearer: Principal, use: Use, caller: Downstream) -> Learnt:
    """What rules can ask of the task: its labels, and how many requests it has made. Waits for the authority."""
    labels, requests = NO_LABELS, None
    if use.reads_labels:
        labels = await record.waiting_for(now.leases.labels.of(bearer.task, caller))
    if now.policy.view(bearer.agent).counts:
        requests = await record.waiting_for(now.leases.requests.before(bearer, len(use.operation.parts) or 1, caller))
    still_good(bearer, now.standing)
    return Learnt(labels, requests)


async def _settled(now: Snapshot, record: Record, bearer: Principal, use: Use, caller: Downstream) -> None:
    """What has to be certain before the request goes on: that every gateway knows its labels, that the disk has its record."""
    if use.adds:
        await now.leases.labels.add(bearer.task, use.adds, caller)
    if use.durable:
        await record.durable(caller)
    still_good(bearer, now.standing)
