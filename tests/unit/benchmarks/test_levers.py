"""What memories gain is measured beside gateways that lack exactly one of them, or all; knows no figure."""

from benchmarks.levers import EVERYTHING, NOTHING, Client, measure, rows_of, snapshots
from benchmarks.request_in_process import prepared, request
from gateway.snapshot import Snapshot


def filled(snapshot: Snapshot) -> dict[str, int]:
    """How much each memory of a snapshot holds."""
    return {
        "no verified tokens": len(snapshot.standing.remembered),
        "no permitted heads and their fields": len(snapshot.admission.permitted.known),
        "no header lines": len(snapshot.admission.vocabulary.known),
        "no declarations": len(snapshot.intents.declarations.known),
        "no response heads": len(snapshot.relay._heads.known),
    }


async def test_each_gateway_lacks_the_memory_that_it_is_named_after() -> None:
    """With all, each memory holds something after some requests; the others hold nothing of what they are to be without."""
    async with prepared() as (bench, token):
        found = await snapshots(bench)
        repeated = [request(token, 1, different=False)] * 5
        different = [request(token, number, different=True) for number in range(5)]
        for snapshot in found.values():
            Client(bench, snapshot).run(repeated + different)
        assert all(filled(found[EVERYTHING]).values())
        assert not any(filled(found[NOTHING]).values())
        for name in found.keys() - {EVERYTHING, NOTHING}:
            assert [lacking for lacking, held in filled(found[name]).items() if not held] == [name]


async def test_what_is_gained_is_what_is_missing_without_it() -> None:
    """Each line says what a request takes; with everything nothing is gained."""
    async with prepared() as (bench, token):
        found = {"repeated heads": await measure(bench, token, different=False, count=5, rounds=2)}
    header, first, *others = rows_of(found)
    assert header == ["", "µs, repeated heads", "±", "gained"]
    assert (first[0], first[-1]) == (EVERYTHING, "0.0")
    assert others[-1][0] == NOTHING
    assert all(float(row[1]) > 0 for row in (first, *others))
