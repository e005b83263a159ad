"""Which leases a relay creates, takes and deletes."""

from collections import Counter

from hypothesis import given, strategies as st

from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease
from vitrina.store.stream import Shard
from vitrina.workers.relay_sharing import childless, forgotten, readable, to_take, unleased


def shards(**parents: str | None) -> dict[str, Shard]:
    """Shards by name, with their parents."""
    return {name: Shard(id=name, parent=parent) for name, parent in parents.items()}


def leases(*given: Lease) -> dict[str, Lease]:
    """Leases by shard."""
    return {lease.shard_id: lease for lease in given}


def owned(owner: str | None, *names: str) -> list[Lease]:
    """Leases of one owner."""
    return [Lease(shard_id=name, owner=owner, checkpoint="1") for name in names]


def taken(seen: dict[str, Lease], *, reading: set[str] | None = None, silent: set[str] | None = None) -> set[str]:
    """The shards whose leases relay `me` takes."""
    own = {lease.shard_id for lease in seen.values() if lease.owner == "me"}
    found = to_take(seen, me="me", reading=own if reading is None else reading, silent=silent or set())
    return {lease.shard_id for lease in found}


def test_each_shard_gets_a_lease_from_its_oldest_record_on() -> None:
    """If it began at the newest one, records written before the discovery would be lost."""
    made = unleased(shards(a=None, b="a"), leases(Lease(shard_id="a")))
    assert made == [Lease(shard_id="b", parent="a", owner=None, checkpoint=TRIM_HORIZON)]


def test_a_child_is_read_after_its_parent() -> None:
    """A parent without a lease is ignored."""
    seen = leases(
        Lease(shard_id="open"),
        Lease(shard_id="waits", parent="open"),
        Lease(shard_id="ended", checkpoint=SHARD_END),
        Lease(shard_id="starts", parent="ended"),
        Lease(shard_id="orphan", parent="trimmed"),
    )
    assert set(readable(seen)) == {"open", "starts", "orphan"}


def test_a_single_relay_takes_all_leases() -> None:
    """Those without an owner, and its own that it is not reading, as after a restart."""
    seen = leases(*owned(None, "a", "b"), *owned("me", "c"))
    assert taken(seen, reading=set()) == {"a", "b", "c"}
    assert taken(seen) == {"a", "b"}


def test_a_silent_relay_loses_its_shards() -> None:
    """It is not counted when the shares are computed."""
    seen = leases(*owned("dead", "a", "b", "c"), *owned("me", "d"))
    assert taken(seen, silent={"a", "b", "c"}) == {"a", "b", "c"}


def test_a_relay_takes_no_more_than_its_share() -> None:
    seen = leases(*owned(None, "a", "b", "c", "d"), *owned("other", "e", "f"))
    assert len(taken(seen)) == 3


def test_a_relay_takes_one_lease_from_the_largest_owner() -> None:
    """Unless that would only swap the two relays' shares."""
    assert len(taken(leases(*owned("other", "a", "b", "c", "d")))) == 1
    assert len(taken(leases(*owned("other", "a", "b"), *owned("third", "c")))) == 1
    assert taken(leases(*owned("other", "a"))) == set()
    assert taken(leases(*owned("other", "a", "b"), *owned("me", "c"))) == set()


def test_no_lease_is_taken_from_others_while_one_is_free() -> None:
    seen = leases(*owned("other", "a", "b", "c"), *owned(None, "d"))
    assert taken(seen) == {"d"}


@given(st.lists(st.sampled_from([None, "r0", "r1", "r2", "gone"]), max_size=14), st.integers(1, 3))
def test_relays_converge_to_even_shares(owners: list[str | None], relays: int) -> None:
    """From any initial state, every shard gets a reader, shares differ by at most one, and leases stop moving."""
    alive = [f"r{number}" for number in range(relays)]
    seen = {str(number): Lease(shard_id=str(number), owner=owner) for number, owner in enumerate(owners)}

    def turn(relay: str) -> int:
        reading = {shard_id for shard_id, lease in seen.items() if lease.owner == relay}
        silent = {shard_id for shard_id, lease in seen.items() if lease.owner not in {None, *alive}}
        found = to_take(seen, me=relay, reading=reading, silent=silent)
        seen.update({lease.shard_id: Lease(shard_id=lease.shard_id, owner=relay) for lease in found})
        return len(found)

    while sum(turn(relay) for relay in alive):
        pass
    counts = Counter(dict.fromkeys(alive, 0))
    counts.update(lease.owner or "nobody" for lease in seen.values())
    assert counts.keys() == set(alive)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_lease_is_deleted_when_its_children_have_started() -> None:
    """Its shard must be read to the end and no longer be listed."""
    seen = leases(
        Lease(shard_id="listed", checkpoint=SHARD_END),
        Lease(shard_id="old", checkpoint=SHARD_END),
        Lease(shard_id="parent", checkpoint=SHARD_END),
        Lease(shard_id="child", parent="parent"),
        Lease(shard_id="begun-parent", checkpoint=SHARD_END),
        Lease(shard_id="begun", parent="begun-parent", checkpoint="12"),
        Lease(shard_id="unread", checkpoint="12"),
        Lease(shard_id="expecting", checkpoint=SHARD_END),
    )
    found = forgotten(shards(listed=None, child="parent", begun="begun-parent", unmade="expecting"), seen)
    assert {lease.shard_id for lease in found} == {"old", "begun-parent"}


def test_a_shard_that_ended_without_children_triggers_discovery() -> None:
    """The stream may list the children a moment later."""
    ended = leases(Lease(shard_id="a", checkpoint=SHARD_END))
    assert childless(shards(a=None), ended)
    assert not childless(shards(a=None, b="a"), ended)
    assert not childless(shards(b="a"), ended)
    assert not childless(shards(a=None), leases(Lease(shard_id="a")))
