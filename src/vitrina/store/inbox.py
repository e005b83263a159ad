"""The inboxes of admins (R9): an entry for each notice, in the table once whatever is delivered twice."""

from datetime import datetime, timedelta
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.clock import epoch_seconds
from vitrina.domain.notices import Notice, PriceChanged
from vitrina.domain.pages import Page, Position
from vitrina.errors import NotFound
from vitrina.store import keys
from vitrina.store.items import Item, NoticeItem
from vitrina.store.paging import page
from vitrina.store.reads import Query
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.writes import Put, Update

_UNREAD_PAGE: Final = 100


class InboxStore:
    """Reads and writes entries. An expired one that TTL has not deleted yet is as good as gone."""

    def __init__(self, table: Table, *, retention_days: int) -> None:
        """Take the table, and for how long after its change an entry is kept."""
        self._table = table
        self._retention = timedelta(days=retention_days)

    async def add(self, notice: Notice, *, due_at: datetime | None, digest: bool) -> bool:
        """Write an entry; False when it was there, and stays as it is. It waits for its mail if it has a `due_at`.

        The condition, not the queue, makes it exactly once: whatever is redelivered or repeated finds the entry.
        """
        change = notice.change
        item = NoticeItem.keyed(
            keys.notice(notice.user_id, notice.id),
            id=notice.id,
            user_id=notice.user_id,
            product_id=change.product_id,
            version=change.version,
            sku=change.sku,
            name=change.name,
            old_price=change.old_price,
            old_currency=change.old_currency,
            price=change.price,
            currency=change.currency,
            changed_at=change.changed_at,
            changed_by=change.changed_by,
            changed_by_name=notice.changed_by_name,
            request_id=change.request_id,
            listing=keys.unread_notices(notice.user_id),
            by_time=keys.by_time(change.changed_at, notice.id),
            expires_at=epoch_seconds(change.changed_at + self._retention),
        )
        if due_at is not None:
            item.due = keys.due_mail(keys.mail_shard(notice.user_id))
            item.due_at = due_at
            item.digest = digest
        try:
            await self._table.put(Put(item, Item.pk.does_not_exist()))
        except ConditionFailed:
            return False
        return True

    async def page(
        self, user_id: str, *, unread: bool, at: datetime, limit: int, start: Position | None
    ) -> Page[Notice]:
        """Read a page of an inbox, newest first, all of it or what is unread.

        All of it is as it is now. What is unread is found by index, which may lag behind the table for a moment.
        """
        if unread:
            query = _unread(user_id, at)
        else:
            condition = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.NOTICE_PREFIX)
            query = Query(condition=condition, filter=_kept(at), descending=True, consistent=True)
        return await page(self._table, query, limit=limit, start=start, decode=_notice)

    async def unread_count(self, user_id: str, *, at: datetime) -> int:
        """Count what is unread, by index."""
        return await self._table.count(_unread(user_id, at))

    async def unread_ids(self, user_id: str, *, at: datetime, start: Position | None) -> Page[str]:
        """Read ids of what is unread, as `page` does, a hundred at most."""
        read = self.page(user_id, unread=True, at=at, limit=_UNREAD_PAGE, start=start)
        found = await read
        return Page([notice.id for notice in found.items], found.next)

    async def read(self, user_id: str, notice_id: str, *, at: datetime) -> None:
        """Mark an entry as read and take it out of what is unread; again changes nothing. Raises NotFound."""
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


def notice_from(item: NoticeItem) -> Notice:
    """Return the entry of an item."""
    change = PriceChanged(
        product_id=item.product_id,
        version=item.version,
        sku=item.sku,
        name=item.name,
        old_price=item.old_price,
        old_currency=item.old_currency,
        price=item.price,
        currency=item.currency,
        changed_at=item.changed_at,
        changed_by=item.changed_by,
        request_id=item.request_id,
    )
    return Notice(user_id=item.user_id, change=change, changed_by_name=item.changed_by_name, read_at=item.read_at)


def _notice(item: Item) -> Notice:
    assert isinstance(item, NoticeItem)  # noqa: S101 - the sort key's prefix and the index's partition decide it
    return notice_from(item)


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
