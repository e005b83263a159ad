"""Inboxes in the table: an entry is written once, is unread until it is marked as read, and expires (R9)."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from tests.store.samples import at, price_changed
from vitrina.domain.notices import Notice
from vitrina.errors import NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import NoticeItem
from vitrina.store.table import Table

EXPIRY = at(0) + timedelta(days=90)


@pytest.fixture
def store(table: Table) -> InboxStore:
    """The store of inboxes, on an empty table."""
    return InboxStore(table, retention_days=90)


def notice(user_id: str, minutes: float = 0, **fields: Any) -> Notice:  # noqa: ANN401 - each field has its own type
    """Return an entry that has not been written."""
    return Notice(user_id=user_id, change=price_changed(minutes, **fields), changed_by_name="Luis")


async def told(store: InboxStore, user_id: str, minutes: Iterable[float]) -> list[Notice]:
    """Write entries of changes at these minutes, and return them in that order."""
    made = [notice(user_id, each) for each in minutes]
    for each in made:
        assert await store.add(each, due_at=None, digest=False)
    return made


async def listed(store: InboxStore, user_id: str, *, unread: bool = False) -> list[Notice]:
    """Return a whole inbox."""
    return (await store.page(user_id, unread=unread, at=at(0), limit=100, start=None)).items


async def test_an_entry_is_read_back_as_it_was_written(store: InboxStore) -> None:
    """Including an entry whose actor is deleted and has no name."""
    made = Notice(user_id=new_id(), change=price_changed(), changed_by_name=None)
    assert await store.add(made, due_at=None, digest=False)
    assert await listed(store, made.user_id) == await listed(store, made.user_id, unread=True) == [made]


async def test_an_existing_entry_is_not_overwritten(store: InboxStore, table: Table) -> None:
    """Whether read, unread or mailed: a redelivered message changes nothing."""
    made = notice(new_id())
    assert await store.add(made, due_at=at(5), digest=True)
    await store.mark_read(made.user_id, made.id, at=at(1))
    [before] = await table.get_many_raw([keys.notice(made.user_id, made.id)], consistent=True)
    assert not await store.add(made, due_at=at(9), digest=False)
    assert await table.get_many_raw([keys.notice(made.user_id, made.id)], consistent=True) == [before]


async def test_one_of_many_writers_wins(store: InboxStore) -> None:
    made = notice(new_id())
    added = await asyncio.gather(*(store.add(made, due_at=None, digest=False) for _ in range(30)))
    assert sorted(added) == [False] * 29 + [True]


async def test_only_an_entry_to_be_mailed_is_in_the_mail_index(store: InboxStore, table: Table) -> None:
    """In the shard of its account, under its due time."""
    silent, loud = notice(new_id()), notice(new_id())
    await store.add(silent, due_at=None, digest=False)
    await store.add(loud, due_at=at(7), digest=True)
    items = [await table.get(keys.notice(each.user_id, each.id), consistent=True) for each in (silent, loud)]
    assert all(isinstance(item, NoticeItem) for item in items)
    assert [(item.due, item.due_at, item.digest) for item in items if isinstance(item, NoticeItem)] == [
        (None, None, None),
        (keys.due_mail(keys.mail_shard(loud.user_id)), at(7), True),
    ]


async def test_an_inbox_is_paged_newest_first_for_its_owner_only(store: InboxStore) -> None:
    """By the time of the change, in whatever order the entries were written."""
    owner = new_id()
    await told(store, new_id(), range(3))
    one, three, two = await told(store, owner, [1, 3, 2])
    for unread in (False, True):
        first = await store.page(owner, unread=unread, at=at(0), limit=2, start=None)
        second = await store.page(owner, unread=unread, at=at(0), limit=2, start=first.next)
        assert (first.items, second.items, second.next) == ([three, two], [one], None)


async def test_an_entry_marked_as_read_is_no_longer_unread(store: InboxStore) -> None:
    """It stays in the inbox, with the time when it was first read."""
    first, second = await told(store, new_id(), [1, 2])
    await store.mark_read(first.user_id, first.id, at=at(5))
    await store.mark_read(first.user_id, first.id, at=at(6))
    assert await listed(store, first.user_id, unread=True) == [second]
    assert [each.read_at for each in await listed(store, first.user_id)] == [None, at(5)]
    assert await store.unread_count(first.user_id, at=at(0)) == 1


async def test_a_missing_entry_cannot_be_marked_as_read(store: InboxStore) -> None:
    """Another account's, an expired or a nonexistent one; the update must not create an item."""
    [made] = await told(store, new_id(), [0])
    for user_id, notice_id, when in [
        (new_id(), made.id, at(1)),
        (made.user_id, notice(made.user_id).id, at(1)),
        (made.user_id, made.id, EXPIRY),
    ]:
        with pytest.raises(NotFound):
            await store.mark_read(user_id, notice_id, at=when)
        assert [one.id for one in await listed(store, user_id)] in ([], [made.id])
    assert await listed(store, made.user_id) == [made]


async def test_an_expired_entry_is_neither_listed_nor_counted(store: InboxStore) -> None:
    """From the second it expires, although DynamoDB's TTL may delete it days later."""
    [made] = await told(store, new_id(), [0])
    for unread in (False, True):
        for when, found in [(EXPIRY - timedelta(seconds=1), [made]), (EXPIRY, [])]:
            assert (await store.page(made.user_id, unread=unread, at=when, limit=9, start=None)).items == found
    assert await store.unread_count(made.user_id, at=EXPIRY - timedelta(seconds=1)) == 1
    assert await store.unread_count(made.user_id, at=EXPIRY) == 0
    await store.mark_read(made.user_id, made.id, at=at(0))
    with pytest.raises(NotFound):
        await store.mark_read(made.user_id, made.id, at=EXPIRY)


async def test_a_count_continues_past_one_megabyte(store: InboxStore) -> None:
    """A query returns at most 1 MB: 1,250 entries with long names take two queries."""
    owner = new_id()
    made = [notice(owner, each, name="x" * 600) for each in range(1_250)]
    for first in range(0, len(made), 50):
        await asyncio.gather(*(store.add(each, due_at=None, digest=False) for each in made[first : first + 50]))
    assert await store.unread_count(owner, at=at(0)) == 1_250
    ids = await store.unread_ids(owner, at=at(0), start=None)
    assert (len(ids.items), ids.next is None) == (100, False)
