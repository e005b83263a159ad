"""Mail to admins in the table (R9): an index of due mail, and at most one mail in progress for each account."""

from collections.abc import Container
from datetime import UTC, datetime, timedelta
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.domain.notices import Mail, Notice, NoticePreferences, Waiting
from vitrina.domain.pages import Position
from vitrina.domain.users import User
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.codecs.accounts import user_from
from vitrina.store.codecs.notices import mail_from, mail_item, notice_from, preferences_from
from vitrina.store.items import Item, MailItem, NoticeItem, NoticePreferencesItem, UserItem, expect_type
from vitrina.store.operations import ABSENT, Delete, Put, Query, Update
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.table_clock import TableClock

MOST_NOTICES: Final = 500
"""Notices in one digest; the rest go into the next one."""
_PAGE: Final = 250
MOST_ACCOUNTS: Final = 64
"""Accounts after which the reading of a shard ends: fewer are all that have due mail."""
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_SETTLED: Final = timedelta(seconds=0.5)
"""Time for which a due digest waits, because the index may lack its last notices; they would need a second mail."""


class MailHeld(Exception):
    """Another sender holds the mail to this account until `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__("held")
        self.until = until


class MailStore:
    """Finds due mail, and guarantees that each notice goes into one mail and each mail has one sender at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def due(
        self,
        shard: int,
        *,
        at: datetime,
        since: datetime | None = None,
        leave_out: Container[str] = (),
        clock: TableClock | None = None,
    ) -> list[Waiting]:
        """Find the mail that has become due from `since` to `at` in one shard: 1 call for each page of 250 items.

        The index lags behind the table, so a notice may have been mailed already. Accounts in `leave_out` are skipped,
        so that many notices of one of them do not delay the others. The `clock` follows the dates of the responses.
        """
        condition = (Item.due == keys.due_mail(shard)) & Item.due_at.between(since or _EARLIEST, at)
        query = Query(condition=condition, index=keys.DUE_BY_TIME, fresh=True)
        clock = clock or TableClock()
        found: dict[str, Waiting] = {}
        position: Position | None = None
        while True:
            sent = clock.ticks
            items, position, date = await self._table.query_dated(query, limit=_PAGE, start=position)
            clock.note(date, sent=sent)
            for item in items:
                assert isinstance(item, (MailItem, NoticeItem))  # noqa: S101 - only these have the index's keys
                if item.user_id not in leave_out and not _may_grow(item, at):
                    _collect(item, found.setdefault(item.user_id, Waiting(item.user_id)))
            if position is None or len(found) >= MOST_ACCOUNTS:
                return list(found.values())

    async def take(
        self, user_id: str, notice_ids: tuple[str, ...], *, digest: bool, at: datetime, lease: timedelta
    ) -> Mail:
        """Start a mail with these notices, or take over a due one; the caller has `lease` to send the returned mail.

        Raises MailHeld.
        """
        mail = Mail(
            id=new_id(),
            user_id=user_id,
            notice_ids=notice_ids,
            digest=digest,
            attempt=1,
            created_at=at,
            due_at=at + lease,
        )
        try:
            await self._table.put(Put(mail_item(mail), ABSENT))
        except ConditionFailed as failure:
            there = mail_from(failure.item) if isinstance(failure.item, MailItem) else None
            if there is None or there.due_at > at:
                raise MailHeld(at if there is None else there.due_at) from failure
            return await self.take_over(there, at=at, lease=lease)
        return mail

    async def take_over(self, mail: Mail, *, at: datetime, lease: timedelta) -> Mail:
        """Start the next attempt of a due mail. Raises MailHeld if another sender was faster or the mail is gone."""
        actions = [MailItem.due_at.set(at + lease), MailItem.attempts.set(mail.attempt + 1)]
        try:
            item = await self._table.update(
                Update(keys.mail(mail.user_id), actions, _is(mail) & (MailItem.due_at == mail.due_at))
            )
        except ConditionFailed as failure:
            raise MailHeld(at) from failure
        return mail_from(expect_type(item, MailItem))

    async def attach(self, mail: Mail, notice_id: str) -> Notice | None:
        """Assign a pending notice to a mail; None if it is in another mail or gone.

        All attempts of a mail get the same notices.
        """
        taking = Update(
            keys.notice(mail.user_id, notice_id),
            [NoticeItem.mail.set(mail.id), NoticeItem.due.remove(), NoticeItem.due_at.remove()],
            NoticeItem.due.exists() | (NoticeItem.mail == mail.id),
        )
        try:
            item = await self._table.update(taking)
        except ConditionFailed:
            return None
        return notice_from(expect_type(item, NoticeItem))

    async def recipient(self, user_id: str) -> tuple[User, NoticePreferences | None] | None:
        """Return an account and its preferences, if it has set any: 1 call. None if the account is gone."""
        wanted = [keys.user(user_id), keys.notice_preferences(user_id)]
        found = await self._table.get_many(wanted, consistent=True)
        user, preferences = (found.get(key) for key in wanted)
        if not isinstance(user, UserItem):
            return None
        if not isinstance(preferences, NoticePreferencesItem):
            return user_from(user), None
        return user_from(user), preferences_from(preferences)

    async def postpone(self, mail: Mail, *, until: datetime, failed: bool) -> bool:
        """Postpone a mail, because its sender needs more time or because this attempt `failed`.

        Returns False if another attempt has taken the mail over.
        """
        actions = [MailItem.due_at.set(until), MailItem.failures.set(mail.failures + failed)]
        try:
            await self._table.update(Update(keys.mail(mail.user_id), actions, _is(mail)))
        except ConditionFailed:
            return False
        return True

    async def finish(self, mail: Mail) -> None:
        """Delete a mail that was sent or given up; one that is already gone is no error."""
        try:
            await self._table.delete(Delete(keys.mail(mail.user_id), MailItem.id == mail.id))
        except ConditionFailed:
            return


def _is(mail: Mail) -> Condition:
    """Return the condition that a mail exists and is at this attempt."""
    condition: Condition = (MailItem.id == mail.id) & (MailItem.attempts == mail.attempt)
    return condition


def _may_grow(item: MailItem | NoticeItem, at: datetime) -> bool:
    """Return whether a digest has been due for so short a time that the index may lack some of its notices."""
    return isinstance(item, NoticeItem) and bool(item.digest) and item.due_at > at - _SETTLED


def _collect(item: MailItem | NoticeItem, found: Waiting) -> None:
    if isinstance(item, MailItem):
        found.mail = mail_from(item)
    elif not item.digest:
        found.notice_ids.append(item.id)
    elif len(found.digest_ids) < MOST_NOTICES:
        found.digest_ids.append(item.id)
