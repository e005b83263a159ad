"""Decides which leases a relay creates, takes and deletes: pure functions of shards and leases, as in Amazon's KCL.

There is no leader. Each relay sees the same leases and takes those that balance the shares. If two want the same lease,
the condition of the write lets one of them have it.
"""

import random
from collections import Counter
from collections.abc import Mapping, Set as AbstractSet

from vitrina.store.leases import TRIM_HORIZON, Lease
from vitrina.store.stream import Shard


def unleased(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> list[Lease]:
    """Return new leases for the shards that have none: without an owner, and from the oldest record on.

    A shard need not wait for a parent that has no lease and that the stream no longer lists.
    """
    return [Lease(shard_id=shard.id, parent=shard.parent) for shard in shards.values() if shard.id not in leases]


def forgotten(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> list[Lease]:
    """Return leases to delete: their shards were read to the end and are no longer listed by the stream.

    A lease stays until all its children have been started, because they wait for it.
    """
    waiting = {lease.parent for lease in leases.values() if lease.checkpoint == TRIM_HORIZON}
    waiting |= {shard.parent for shard in shards.values() if shard.id not in leases}
    return [
        lease
        for shard_id, lease in leases.items()
        if lease.has_ended and shard_id not in shards and shard_id not in waiting
    ]


def childless(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> bool:
    """Return whether a shard was read to its end and no child of it is known yet: then the shards must be listed."""
    parents = {shard.parent for shard in shards.values()}
    return any(lease.has_ended and shard_id not in parents for shard_id, lease in leases.items() if shard_id in shards)


def readable(leases: Mapping[str, Lease]) -> dict[str, Lease]:
    """Return the leases of unfinished shards whose parent is finished or unknown."""
    return {
        shard_id: lease
        for shard_id, lease in leases.items()
        if not lease.has_ended
        and (lease.parent is None or lease.parent not in leases or leases[lease.parent].has_ended)
    }


def to_take(
    leases: Mapping[str, Lease], *, me: str, reading: AbstractSet[str], silent: AbstractSet[str]
) -> list[Lease]:
    """Return the leases that relay `me`, which reads the shards `reading`, should try to take.

    It takes up to an even share of the readable ones. Free leases come first: without an owner, of shards in `silent`,
    or its own that it does not read. If none is free, it takes one from the relay with the most leases, unless that
    would only swap the two relays' shares.
    """
    open_leases = readable(leases)
    free = [lease for lease in open_leases.values() if _is_free(lease, me=me, reading=reading, silent=silent)]
    owners = Counter({me: 0})
    owners.update(lease.owner for lease in open_leases.values() if lease not in free and lease.owner is not None)
    share = -(-len(open_leases) // len(owners))
    wanted = max(share - owners[me], 0)
    taken = random.sample(
        free, min(wanted, len(free))
    )  # Random, so that relays that start together try different leases.
    largest, most = owners.most_common(1)[0]
    if not free and most - owners[me] > 1:
        theirs = [lease for lease in open_leases.values() if lease.owner == largest]
        taken.append(random.choice(theirs))  # noqa: S311 - not a secret
    return taken


def _is_free(lease: Lease, *, me: str, reading: AbstractSet[str], silent: AbstractSet[str]) -> bool:
    if lease.owner == me:
        return lease.shard_id not in reading
    return lease.owner is None or lease.shard_id in silent
