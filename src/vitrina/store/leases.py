"""Leases of the stream's shards: owner and checkpoint of each, as in Amazon's Kinesis Client Library.

Each process has a new owner name when it starts, so `owner = <name>` is a sufficient condition for a renewal.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from vitrina.store import keys
from vitrina.store.items import Item, LeaseItem, expect_type
from vitrina.store.operations import ABSENT, Delete, Put, Query, Update
from vitrina.store.paging import every
from vitrina.store.table import ConditionFailed, Table

TRIM_HORIZON: Final = "TRIM_HORIZON"
"""The checkpoint of an unread shard: reading starts with its oldest retained record."""
SHARD_END: Final = "SHARD_END"
"""The checkpoint of a shard that was read to its end."""


class LeaseLost(Exception):
    """Another process owns the lease: the caller must stop at once and send nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A shard's lease. `counter` increases while the owner is alive; `owner` is None if no process reads the shard."""

    shard_id: str
    parent: str | None = None
    owner: str | None = None
    counter: int = 0
    checkpoint: str = TRIM_HORIZON

    @property
    def has_ended(self) -> bool:
        """Whether the shard was read to its end."""
        return self.checkpoint == SHARD_END


class LeaseStore:
    """Reads and writes the leases of one stream; takes and renewals are conditional writes."""

    def __init__(self, table: Table, *, stream_label: str) -> None:
        self._table = table
        self._label = stream_label

    async def all(self) -> dict[str, Lease]:
        """Return the leases by shard id: 1 call for each MB."""
        query = Query(condition=Item.pk == keys.leases(self._label), consistent=True)
        items = await every(self._table, query)
        return {item.shard_id: _lease_from(item) for item in items if isinstance(item, LeaseItem)}

    async def create(self, lease: Lease) -> None:
        """Write the lease of a new shard, unless another relay has already done so."""
        item = LeaseItem.keyed(keys.lease(self._label, lease.shard_id), **asdict(lease))
        with suppress(ConditionFailed):
            await self._table.put(Put(item, ABSENT))

    async def take(self, lease: Lease, *, owner: str) -> Lease:
        """Assign an unchanged lease to `owner` and return it. Raises LeaseLost if it has changed."""
        was_owner = LeaseItem.owner.does_not_exist() if lease.owner is None else LeaseItem.owner == lease.owner
        write = Update(
            keys.lease(self._label, lease.shard_id),
            [LeaseItem.owner.set(owner), LeaseItem.counter.set(lease.counter + 1)],
            (LeaseItem.counter == lease.counter) & was_owner,
        )
        try:
            return _lease_from(expect_type(await self._table.update(write), LeaseItem))
        except ConditionFailed as failure:
            raise LeaseLost from failure

    async def delete(self, lease: Lease) -> None:
        """Delete the lease of a shard that the stream no longer has."""
        await self._table.delete(Delete(keys.lease(self._label, lease.shard_id)))

    async def renew(self, lease: Lease, *, checkpoint: str, release: bool = False) -> None:
        """Store the checkpoint, and renew or release the lease, in one write. Raises LeaseLost."""
        actions = [LeaseItem.counter.set(LeaseItem.counter + 1), LeaseItem.checkpoint.set(checkpoint)]
        if release:
            actions.append(LeaseItem.owner.remove())
        write = Update(keys.lease(self._label, lease.shard_id), actions, LeaseItem.owner == lease.owner)
        try:
            await self._table.update(write)
        except ConditionFailed as failure:
            raise LeaseLost from failure


def _lease_from(item: LeaseItem) -> Lease:
    return Lease(
        shard_id=item.shard_id,
        parent=item.parent,
        owner=item.owner,
        counter=item.counter,
        checkpoint=item.checkpoint,
    )
