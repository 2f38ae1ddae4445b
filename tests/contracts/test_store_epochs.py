"""What every store promises of its epochs: each comes after the one before, and none that is over comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.authority import NOW, StillClock, first_token, task_row
from fakes.kept_stores import KEPT, KeptStore
from fakes.shared_authorities import One

from gateway.errors import DoorwardError
from gateway.stores import epochs
from gateway.stores.backends import BACKENDS
from gateway.stores.store import KEEP_SPENT, IssuedToken, Store, StoreUnavailableError

TASK, OTHER = "1" * 32, "2" * 32


@pytest.fixture(params=list(BACKENDS))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeptStore]:
    """A store of each kind, in no use yet."""
    made = KEPT[request.param](tmp_path)
    yield made
    made.end()


async def opened(kept: KeptStore, name: str = "authority") -> Store:
    store = kept.build(name)
    await store.open()
    return store


async def keep_task(store: Store, name: str = TASK) -> None:
    task = task_row(name)
    await store.open_task(task, first_token(task, f"token of {name}"))


async def sweep_too_late(store: Store) -> None:
    """Begins a new epoch: it was swept by a date that turns out to have been ahead."""
    await store.purge(NOW + 2 * KEEP_SPENT, ["acme"])
    await store.look_back(NOW)


async def test_a_new_epoch_comes_after_the_one_that_it_ends(store: Store):
    """Whatever ended it."""
    first = await store.beat()
    second = await store.begin_epoch(first.epoch, first.seq + 1)
    await sweep_too_late(store)
    names = [first.epoch, second.epoch, (await store.beat()).epoch]
    assert [epochs.number(name) for name in names] == [1, 2, 3]


@pytest.mark.parametrize("running", [True, False], ids=["running", "restarted"])
@pytest.mark.parametrize("emptied", [True, False], ids=["emptied", "swept"])
async def test_an_epoch_that_is_over_does_not_come_back(kept: KeptStore, *, emptied: bool, running: bool):
    """A store of before is put back: nobody takes it for the epoch in which its tokens were good."""
    store = await opened(kept)
    await keep_task(store)
    seen = [(await store.beat()).epoch]
    kept.keep()
    await store.end_task(TASK, "revoked", "operator", NOW)
    if emptied:
        kept.empty()
    else:
        await sweep_too_late(store)
    seen.append((await store.beat()).epoch)
    for _ in range(2):
        if not running:
            await store.close()
        kept.put_back()
        if not running:
            store = await opened(kept)
        begun = await store.beat()
        assert begun.seq == 0
        assert epochs.number(begun.epoch) == epochs.number(seen[-1]) + 1
        assert (await store.beat()) == begun
        seen.append(begun.epoch)
    assert len(set(seen)) == len(seen)
    await store.close()


@pytest.mark.parametrize("lost", ["a revocation", "a token"])
async def test_an_older_store_put_back_while_nobody_ran_ends_its_tokens(
    kept: KeptStore, lost: str, capsys: pytest.CaptureFixture[str]
):
    """Its authority knows that it was further, and says so: by an end that is lost, and by a token that nobody could end."""
    clock = StillClock()
    before = One(kept.build(), clock)
    await before.open()
    await before.keep(TASK)
    epoch = before.feed.epoch
    assert before.accepts(TASK, epoch)
    kept.keep()
    if lost == "a revocation":
        await before.endings.end(TASK, "revoked", "operator", by="an operator")
    else:
        await before.keep(OTHER)
    await before.store.close()
    kept.put_back()
    assert "epoch_began" not in capsys.readouterr().out
    after = One(kept.build(), clock)
    await after.open()
    assert "epoch_began" in capsys.readouterr().out
    assert not after.accepts(TASK, epoch)
    assert not after.accepts(OTHER, epoch)
    assert after.feed.epoch != epoch
    await after.keep("3" * 32)
    assert after.accepts("3" * 32, after.feed.epoch)
    await after.store.close()


async def test_an_older_store_put_back_under_an_authority_takes_no_token_of_before(kept: KeptStore):
    """Not even in the first transaction after it, and its feed tells of the new epoch at the next heartbeat."""
    one = One(kept.build(), StillClock())
    await one.open()
    await one.keep(TASK)
    epoch = one.feed.epoch
    kept.keep()
    await one.endings.end(TASK, "revoked", "operator", by="an operator")
    kept.put_back()
    late = IssuedToken("late", TASK, NOW + 300, epoch)
    with pytest.raises(StoreUnavailableError):
        await one.store.issue(late, NOW)
    await one.feed.beat()
    assert one.feed.epoch != epoch
    assert not one.accepts(TASK, epoch)
    assert await one.store.task_of("late", NOW) is None
    await one.store.close()


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "killed"])
async def test_a_store_that_goes_on_keeps_its_epoch(kept: KeptStore, *, ended: bool):
    """Over restarts, with and without an end; and where nobody remembers it, as in every installation of before."""
    found, left = set(), []
    for number in range(5):
        store = await opened(kept)
        found.add((await store.beat()).epoch)
        await keep_task(store, f"{number:032x}")
        await store.end_task(f"{number:032x}", "revoked", "operator", NOW)
        if ended or number == 4:
            await store.close()
        else:
            left.append(store)
        if number == 2:
            kept.memory().unlink()
    assert len(found) == 1
    for store in left:
        await store.close()


async def test_a_newer_epoch_of_another_authority_is_taken_over(kept: KeptStore):
    """Who has slept through it learns of it, and ends nothing."""
    one, other = await opened(kept), await opened(kept, "other")
    before = (await one.beat()).epoch
    await sweep_too_late(other)
    begun = (await other.beat()).epoch
    assert {(await one.beat()).epoch, (await other.beat()).epoch} == {begun}
    assert begun != before
    await one.close()
    one = await opened(kept)
    assert (await one.beat()).epoch == begun
    await one.close()
    await other.close()


async def test_what_is_remembered_is_private_and_whole(kept: KeptStore):
    """What cannot be read is not taken for nothing: the sentence names the file, which stays as it is."""
    store = await opened(kept)
    await store.close()
    file = kept.memory()
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.glob(f"{file.name}.*")) == [], "no draft is left"
    file.with_name(f"{file.name}.killed").touch()
    store = await opened(kept)
    assert list(file.parent.glob(f"{file.name}.*")) == [], "nor one that a kill has left"
    await store.close()
    file.write_text("{")
    store = kept.build()
    with pytest.raises(DoorwardError, match=file.name):
        await store.open()
    await store.close()
    assert file.read_text() == "{"
