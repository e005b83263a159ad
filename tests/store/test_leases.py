"""Each lease has one owner at a time, whatever requests are repeated or late."""

import asyncio

import pytest

from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease, LeaseLost, LeaseStore
from vitrina.store.table import Table

SHARD = "shardId-1"


@pytest.fixture
def leases(table: Table) -> LeaseStore:
    """The leases of a stream."""
    return LeaseStore(table, stream_label="2026-11-24T07:00:00.000")


async def made(leases: LeaseStore) -> Lease:
    """A lease without an owner."""
    await leases.create(Lease(shard_id=SHARD, parent="shardId-0"))
    return (await leases.all())[SHARD]


async def test_a_new_lease_begins_at_the_oldest_record(leases: LeaseStore) -> None:
    """It is created once; a second relay that creates it changes nothing."""
    lease = await made(leases)
    assert lease == Lease(shard_id=SHARD, parent="shardId-0", owner=None, counter=0, checkpoint=TRIM_HORIZON)
    mine = await leases.take(lease, owner="a")
    await leases.renew(mine, checkpoint="17")
    assert (await made(leases)).checkpoint == "17"


async def test_streams_have_leases_of_their_own(leases: LeaseStore, table: Table) -> None:
    """A table that is recreated has another stream."""
    await made(leases)
    assert await LeaseStore(table, stream_label="another").all() == {}


async def test_one_of_many_takes_a_lease(leases: LeaseStore) -> None:
    """All read the same lease; the condition of the update lets one of them succeed."""
    lease = await made(leases)
    taken = await asyncio.gather(
        *(leases.take(lease, owner=f"r{number}") for number in range(20)), return_exceptions=True
    )
    winners = [each for each in taken if isinstance(each, Lease)]
    assert len(winners) == 1
    assert {type(each) for each in taken if each not in winners} == {LeaseLost}
    assert (await leases.all())[SHARD] == winners[0]


async def test_a_renewed_lease_is_not_taken(leases: LeaseStore) -> None:
    """Its owner is alive."""
    mine = await leases.take(await made(leases), owner="a")
    seen = (await leases.all())[SHARD]
    await leases.renew(mine, checkpoint="17")
    with pytest.raises(LeaseLost):
        await leases.take(seen, owner="b")
    after = (await leases.all())[SHARD]
    assert (after.owner, after.counter, after.checkpoint) == ("a", seen.counter + 1, "17")


async def test_a_former_owner_cannot_write_to_a_lease(leases: LeaseStore) -> None:
    """Neither a checkpoint nor the end; the new owner's lease stays unchanged."""
    mine = await leases.take(await made(leases), owner="a")
    theirs = await leases.take((await leases.all())[SHARD], owner="b")
    for late in (leases.renew(mine, checkpoint="99"), leases.renew(mine, checkpoint=SHARD_END, release=True)):
        with pytest.raises(LeaseLost):
            await late
    assert (await leases.all())[SHARD] == theirs


async def test_a_released_lease_has_no_owner(leases: LeaseStore) -> None:
    """It keeps the checkpoint, and another relay can take it at once."""
    mine = await leases.take(await made(leases), owner="a")
    await leases.renew(mine, checkpoint=SHARD_END, release=True)
    seen = (await leases.all())[SHARD]
    assert (seen.owner, seen.checkpoint, seen.has_ended) == (None, SHARD_END, True)
    assert (await leases.take(seen, owner="b")).owner == "b"


async def test_a_lease_can_be_deleted(leases: LeaseStore) -> None:
    """Deleting it twice is no error."""
    lease = await made(leases)
    for _ in range(2):
        await leases.delete(lease)
    assert await leases.all() == {}
