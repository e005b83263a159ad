"""The inboxes of admins (R9), with one entry for each notice however often it is delivered."""

from datetime import datetime, timedelta
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.clock import epoch_seconds
from vitrina.domain.notices import Notice
from vitrina.domain.pages import Page, Position
from vitrina.errors import NotFound
from vitrina.store import keys
from vitrina.store.codecs.notices import notice_from, notice_item
from vitrina.store.items import Item, NoticeItem
from vitrina.store.operations import ABSENT, Put, Query, Update
from vitrina.store.paging import page
from vitrina.store.table import ConditionFailed, Table

_UNREAD_PAGE: Final = 100


class InboxStore:
    """Reads and writes inbox entries. Reads ignore expired ones that TTL has not deleted yet."""

    def __init__(self, table: Table, *, retention_days: int) -> None:
        """`retention_days` is the lifetime of an entry, counted from its change."""
        self._table = table
        self._retention = timedelta(days=retention_days)

    async def add(self, notice: Notice, *, due_at: datetime | None, digest: bool) -> bool:
        """Write an entry; return False and change nothing if it exists. With a `due_at` its mail becomes due then.

        The condition guarantees one entry for each notice, whatever is redelivered or retried.
        """
        item = notice_item(notice, expires_at=notice.change.changed_at + self._retention)
        if due_at is not None:
            item.due = keys.due_mail(keys.mail_shard(notice.user_id))
            item.due_at = due_at
            item.digest = digest
        try:
            await self._table.put(Put(item, ABSENT))
        except ConditionFailed:
            return False
        return True

    async def page(
        self, user_id: str, *, unread: bool, at: datetime, limit: int, start: Position | None
    ) -> Page[Notice]:
        """Read a page of an inbox, newest first: all entries or the unread ones.

        Reads of all entries are consistent. Unread entries are read from an index, which may lag for a moment.
        """
        if unread:
            query = _unread(user_id, at)
        else:
            condition = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.NOTICE_PREFIX)
            query = Query(condition=condition, filter=_kept(at), descending=True, consistent=True)
        return await page(self._table, query, NoticeItem, notice_from, limit=limit, start=start)

    async def unread_count(self, user_id: str, *, at: datetime) -> int:
        """Count the unread entries in the index."""
        return await self._table.count(_unread(user_id, at))

    async def unread_ids(self, user_id: str, *, at: datetime, start: Position | None) -> Page[str]:
        """Read the ids of a page of up to 100 unread entries, as `page` does."""
        found = await self.page(user_id, unread=True, at=at, limit=_UNREAD_PAGE, start=start)
        return Page([notice.id for notice in found.items], found.next)

    async def mark_read(self, user_id: str, notice_id: str, *, at: datetime) -> None:
        """Mark an entry as read and remove it from the unread ones. Idempotent. Raises NotFound."""
        marking = Update(
            keys.notice(user_id, notice_id),
            [NoticeItem.read_at.set(at), NoticeItem.listing.remove(), NoticeItem.by_time.remove()],
            _kept(at) & NoticeItem.read_at.does_not_exist(),
        )
        try:
            await self._table.update(marking)
        except ConditionFailed as failure:
            if failure.item is None or (failure.item.expires_at or 0) <= epoch_seconds(at):
                raise NotFound from failure


def _unread(user_id: str, at: datetime) -> Query:
    return Query(
        condition=Item.listing == keys.unread_notices(user_id),
        index=keys.LISTING_BY_TIME,
        filter=_kept(at),
        descending=True,
        fresh=True,
    )


def _kept(at: datetime) -> Condition:
    kept: Condition = Item.expires_at > epoch_seconds(at)
    return kept
