"""Which leases a relay makes, takes and deletes: pure functions of what it sees, as in Amazon's KCL.

There is no leader. Each relay looks at the same leases and takes what makes the shares even; two that want the same are
told apart by the condition of the write.
"""

import random
from collections import Counter
from collections.abc import Mapping, Set as AbstractSet

from vitrina.store.leases import TRIM_HORIZON, Lease
from vitrina.store.stream import Shard


def unleased(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> list[Lease]:
    """Return leases to make, for shards that have none: nobody's, and never from the newest record on.

    A parent that the stream has forgotten, and of which there is no lease, holds nobody up.
    """
    return [Lease(shard_id=shard.id, parent=shard.parent) for shard in shards.values() if shard.id not in leases]


def forgotten(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> list[Lease]:
    """Return leases that have done their duty: of shards read to their end that the stream has forgotten.

    One stays for as long as a child has not been begun, since the child waits for it.
    """
    waiting = {lease.parent for lease in leases.values() if lease.checkpoint == TRIM_HORIZON}
    waiting |= {shard.parent for shard in shards.values() if shard.id not in leases}
    return [
        lease
        for shard_id, lease in leases.items()
        if lease.has_ended and shard_id not in shards and shard_id not in waiting
    ]


def childless(shards: Mapping[str, Shard], leases: Mapping[str, Lease]) -> bool:
    """Say whether a shard was read to its end while no child of it is known: then it is time to look for one."""
    parents = {shard.parent for shard in shards.values()}
    return any(lease.has_ended and shard_id not in parents for shard_id, lease in leases.items() if shard_id in shards)


def readable(leases: Mapping[str, Lease]) -> dict[str, Lease]:
    """Return the leases whose shards can be read now: not at their end, and their parent, if known, at its end."""
    return {
        shard_id: lease
        for shard_id, lease in leases.items()
        if not lease.has_ended
        and (lease.parent is None or lease.parent not in leases or leases[lease.parent].has_ended)
    }


def to_take(
    leases: Mapping[str, Lease], *, me: str, reading: AbstractSet[str], silent: AbstractSet[str]
) -> list[Lease]:
    """Return the leases that relay `me`, which is `reading` some already, should try to take.

    It wants an even share of those that can be read. First come those that nobody reads: without an owner, with one
    that is `silent`, or its own that it does not read. When there are none, it takes one from who has most, unless
    that would only turn the inequality round.
    """
    open_leases = readable(leases)
    free = [lease for lease in open_leases.values() if _is_free(lease, me=me, reading=reading, silent=silent)]
    owners = Counter({me: 0})
    owners.update(lease.owner for lease in open_leases.values() if lease not in free and lease.owner is not None)
    share = -(-len(open_leases) // len(owners))
    wanted = max(share - owners[me], 0)
    taken = random.sample(free, min(wanted, len(free)))  # Relays that start together begin at different ends.
    richest, most = owners.most_common(1)[0]
    if not free and most - owners[me] > 1:
        theirs = [lease for lease in open_leases.values() if lease.owner == richest]
        taken.append(random.choice(theirs))  # noqa: S311 - not a secret
    return taken


def _is_free(lease: Lease, *, me: str, reading: AbstractSet[str], silent: AbstractSet[str]) -> bool:
    if lease.owner == me:
        return lease.shard_id not in reading
    return lease.owner is None or lease.shard_id in silent
