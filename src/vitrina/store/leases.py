"""Leases of the stream's shards: who reads each, and how far, as in Amazon's Kinesis Client Library.

An owner's name is that of one process's life, so `owner = <name>` is all that a renewal has to ask for.
"""

from dataclasses import dataclass
from typing import Final

from vitrina.store import keys
from vitrina.store.items import Item, LeaseItem
from vitrina.store.paging import every
from vitrina.store.reads import Query
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.writes import Delete, Put, Update

TRIM_HORIZON: Final = "TRIM_HORIZON"
"""The checkpoint of a shard of which nothing has been read: it begins with the oldest record that is left."""
SHARD_END: Final = "SHARD_END"
"""The checkpoint of a shard that has been read to its end."""


class LeaseLost(Exception):
    """The lease is another's: stop at once, and send nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The reading of a shard. `counter` moves while the owner lives; `owner` is None when nobody reads it."""

    shard_id: str
    parent: str | None = None
    owner: str | None = None
    counter: int = 0
    checkpoint: str = TRIM_HORIZON

    @property
    def has_ended(self) -> bool:
        """Whether the shard has been read to its end."""
        return self.checkpoint == SHARD_END


class LeaseStore:
    """The leases of one stream, each write a conditional one."""

    def __init__(self, table: Table, *, stream_label: str) -> None:
        """Take the table and the stream's label."""
        self._table = table
        self._label = stream_label

    async def all(self) -> dict[str, Lease]:
        """Read the leases, by shard."""
        query = Query(condition=Item.pk == keys.leases(self._label), consistent=True)
        items = await every(self._table, query)
        return {item.shard_id: _lease_from(item) for item in items if isinstance(item, LeaseItem)}

    async def create(self, lease: Lease) -> None:
        """Write the lease of a shard that has none; another relay may have been quicker."""
        item = LeaseItem.keyed(
            keys.lease(self._label, lease.shard_id),
            shard_id=lease.shard_id,
            parent=lease.parent,
            owner=lease.owner,
            counter=lease.counter,
            checkpoint=lease.checkpoint,
        )
        try:
            await self._table.put(Put(item, Item.pk.does_not_exist()))
        except ConditionFailed:
            return

    async def take(self, lease: Lease, *, owner: str) -> Lease:
        """Make the lease `owner`'s, if it is still as it was seen. Raises LeaseLost when it is not."""
        was_owner = LeaseItem.owner.does_not_exist() if lease.owner is None else LeaseItem.owner == lease.owner
        write = Update(
            keys.lease(self._label, lease.shard_id),
            [LeaseItem.owner.set(owner), LeaseItem.counter.set(LeaseItem.counter + 1)],
            (LeaseItem.counter == lease.counter) & was_owner,
        )
        try:
            return _lease_from(await self._table.update(write))
        except ConditionFailed as failure:
            # The answer to the first try may have been lost.
            if isinstance(failure.item, LeaseItem) and failure.item.owner == owner != lease.owner:
                return _lease_from(failure.item)
            raise LeaseLost from failure

    async def renew(self, lease: Lease, *, checkpoint: str) -> None:
        """Say that the owner lives and how far it is, in one write. Raises LeaseLost."""
        await self._write(lease, checkpoint, gives_back=False)

    async def give_back(self, lease: Lease, *, checkpoint: str) -> None:
        """Say how far the owner came, and that it reads no more. Raises LeaseLost."""
        await self._write(lease, checkpoint, gives_back=True)

    async def delete(self, lease: Lease) -> None:
        """Delete the lease of a shard that the stream has forgotten."""
        await self._table.delete(Delete(keys.lease(self._label, lease.shard_id)))

    async def _write(self, lease: Lease, checkpoint: str, *, gives_back: bool) -> None:
        actions = [LeaseItem.counter.set(LeaseItem.counter + 1), LeaseItem.checkpoint.set(checkpoint)]
        if gives_back:
            actions.append(LeaseItem.owner.remove())
        write = Update(keys.lease(self._label, lease.shard_id), actions, LeaseItem.owner == lease.owner)
        try:
            await self._table.update(write)
        except ConditionFailed as failure:
            raise LeaseLost from failure


def _lease_from(item: Item) -> Lease:
    assert isinstance(item, LeaseItem)  # noqa: S101 - the key decides it
    return Lease(
        shard_id=item.shard_id,
        parent=item.parent,
        owner=item.owner,
        counter=item.counter,
        checkpoint=item.checkpoint,
    )
