"""Counts of failed sign-ins."""

import asyncio

import pytest

from vitrina.store import keys
from vitrina.store.items import LoginAttemptsItem
from vitrina.store.login_attempts import LoginAttemptStore
from vitrina.store.operations import Update
from vitrina.store.table import Table


@pytest.fixture
def store(table: Table) -> LoginAttemptStore:
    """The store of the counts, on an empty table."""
    return LoginAttemptStore(table)


async def test_attempts_are_counted_by_subject_and_window(store: LoginAttemptStore) -> None:
    """A negative number takes attempts back."""
    assert await store.add("ana", window=7, seconds=900, number=1) == 1
    assert await store.add("ana", window=7, seconds=900, number=2) == 3
    assert await store.add("ana", window=8, seconds=900, number=1) == 1
    assert await store.add("ana", window=7, seconds=900, number=-1) == 2
    assert await store.add("luis", window=8, seconds=900, number=1) == 1


async def test_a_count_is_deleted_in_one_window_only(store: LoginAttemptStore) -> None:
    """Deleting a count that does not exist is no error."""
    await store.add("ana", window=7, seconds=900, number=1)
    await store.add("ana", window=8, seconds=900, number=1)
    await store.forget("ana", window=7)
    await store.forget("ana", window=7)
    assert await store.add("ana", window=7, seconds=900, number=1) == 1
    assert await store.add("ana", window=8, seconds=900, number=1) == 2


async def test_ttl_may_delete_a_count_after_its_window_and_not_before(store: LoginAttemptStore, table: Table) -> None:
    """An item outlives its window by one window, so that clocks may differ."""
    await store.add("ana", window=7, seconds=900, number=1)
    item = await table.get(keys.login_attempts("ana", 7), consistent=True)
    assert isinstance(item, LoginAttemptsItem)
    assert item.expires_at == 9 * 900


async def test_an_attempt_whose_response_is_lost_counts_once(lossy: Table, table: Table) -> None:
    """The first response to each call is lost, so that all are sent twice."""
    store = LoginAttemptStore(lossy)
    assert [await store.add("ana", window=7, seconds=900, number=number) for number in (1, 1, -1)] == [1, 2, 1]
    # An older release counts in between: it takes no name away, so a repeated call still finds its own.
    key, tries = keys.login_attempts("ana", 7), LoginAttemptsItem.tries
    await table.update(Update(key, [tries.add(1)]))
    assert await store.add("ana", window=7, seconds=900, number=1) == 3


async def test_attempts_that_come_between_two_tries_make_it_count_twice_at_most(lossy: Table, table: Table) -> None:
    """So an account's limit may be reached early, by as many attempts as responses were lost, and never late."""
    counts = await asyncio.gather(
        *(LoginAttemptStore(lossy).add("ana", window=7, seconds=900, number=1) for _ in range(10))
    )
    item = await table.get(keys.login_attempts("ana", 7), consistent=True)
    assert isinstance(item, LoginAttemptsItem)
    assert 10 <= item.tries <= 20
    assert len(set(counts)) == 10 or item.tries > 10
