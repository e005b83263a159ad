"""Mail to admins in the table (R9): what is due by index, and the one mail at a time that each account gets."""

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.domain.mails import Mail, Waiting
from vitrina.domain.notices import Notice, NoticePreferences
from vitrina.domain.users import User
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.inbox import notice_from
from vitrina.store.items import Item, MailItem, NoticeItem, NoticePreferencesItem, UserItem
from vitrina.store.reads import Query
from vitrina.store.recipients import preferences_from
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.users import user_from
from vitrina.store.writes import Delete, Put, Update

MOST_NOTICES: Final = 500
"""Notices of one digest; more that are due wait for the next."""
_PAGE: Final = 250
_MOST_ACCOUNTS: Final = 64


class MailHeld(Exception):
    """Somebody else is sending a mail to this account, or will at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__("held")
        self.until = until


@dataclass(slots=True)
class _Found:
    """What a pass over a shard has found of one account."""

    mail: Mail | None = None
    notice_ids: list[str] = field(default_factory=list)
    digest_ids: list[str] = field(default_factory=list)


class MailStore:
    """Finds what is due, and sees to it that each notice goes into one mail and each mail has one sender."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def due(self, shard: int, *, at: datetime, leave_out: Container[str] = ()) -> list[Waiting]:
        """Find what is due at `at` in one shard: a call a page of 250 items, until 64 accounts or the end are found.

        The index lags behind the table: what it shows may have been mailed already. Accounts of `leave_out` are passed
        over, so that many notices of one of them hold back nobody.
        """
        query = Query(
            condition=(Item.due == keys.due_mail(shard)) & (Item.due_at <= at), index=keys.DUE_BY_TIME, fresh=True
        )
        found: dict[str, _Found] = {}
        items, position = await self._table.query(query, limit=_PAGE)
        while True:
            for item in items:
                assert isinstance(item, (MailItem, NoticeItem))  # noqa: S101 - only these carry the index's keys
                if item.user_id not in leave_out:
                    _sort(item, found.setdefault(item.user_id, _Found()))
            if position is None or len(found) >= _MOST_ACCOUNTS:
                break
            items, position = await self._table.query(query, limit=_PAGE, start=position)
        return [
            Waiting(
                user_id=user_id,
                mail=each.mail,
                notice_ids=tuple(each.notice_ids),
                digest_ids=tuple(each.digest_ids[:MOST_NOTICES]),
            )
            for user_id, each in found.items()
        ]

    async def take(
        self, user_id: str, notice_ids: tuple[str, ...], *, digest: bool, at: datetime, lease: timedelta
    ) -> Mail:
        """Begin the mail of these notices, or take over one that is due: what comes back is to be sent within `lease`.

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
            await self._table.put(Put(_mail_item(mail), Item.pk.does_not_exist()))
        except ConditionFailed as failure:
            there = mail_from(failure.item) if isinstance(failure.item, MailItem) else None
            if there is None or (there.due_at > at and there.id != mail.id):
                raise MailHeld(at if there is None else there.due_at) from failure
            # A write that was repeated after its answer was lost finds itself.
            return mail if there.id == mail.id else await self.take_over(there, at=at, lease=lease)
        return mail

    async def take_over(self, mail: Mail, *, at: datetime, lease: timedelta) -> Mail:
        """Begin the next attempt of a mail that is due. Raises MailHeld when somebody was quicker, or it is gone."""
        actions = [MailItem.due_at.set(at + lease), MailItem.attempts.set(mail.attempt + 1)]
        try:
            item = await self._table.update(
                Update(keys.mail(mail.user_id), actions, _is(mail) & (MailItem.due_at == mail.due_at))
            )
        except ConditionFailed as failure:
            raise MailHeld(at) from failure
        assert isinstance(item, MailItem)  # noqa: S101 - its key decides it
        return mail_from(item)

    async def attach(self, mail: Mail, notice_id: str) -> Notice | None:
        """Take a notice up into a mail, which it waits for no longer; None when it was mailed before or is gone.

        Each attempt of one mail finds the same notices.
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
        assert isinstance(item, NoticeItem)  # noqa: S101 - its key decides it
        return notice_from(item)

    async def recipient(self, user_id: str) -> tuple[User, NoticePreferences | None] | None:
        """Read an account and what it wants, if it ever said: 1 call. None when the account is gone."""
        wanted = [keys.user(user_id), keys.notice_preferences(user_id)]
        found = await self._table.get_many(wanted, consistent=True)
        user, preferences = (found.get(key) for key in wanted)
        if not isinstance(user, UserItem):
            return None
        if not isinstance(preferences, NoticePreferencesItem):
            return user_from(user), None
        return user_from(user), preferences_from(preferences)

    async def postpone(self, mail: Mail, *, until: datetime, failed: bool) -> bool:
        """Let a mail be due later: its sender needs more time, or it `failed` and waits for its next attempt.

        False when it is this attempt's no longer.
        """
        actions = [MailItem.due_at.set(until), MailItem.failures.set(mail.failures + failed)]
        try:
            await self._table.update(Update(keys.mail(mail.user_id), actions, _is(mail)))
        except ConditionFailed:
            return False
        return True

    async def finish(self, mail: Mail) -> None:
        """Delete a mail that was sent or given up; one that is gone already is fine."""
        try:
            await self._table.delete(Delete(keys.mail(mail.user_id), MailItem.id == mail.id))
        except ConditionFailed:
            return


def mail_from(item: MailItem) -> Mail:
    """Return the mail of an item."""
    assert item.due_at is not None  # noqa: S101 - a mail is due for as long as there is one
    return Mail(
        id=item.id,
        user_id=item.user_id,
        notice_ids=tuple(item.notices),
        digest=item.digest,
        attempt=item.attempts,
        failures=item.failures,
        created_at=item.created_at,
        due_at=item.due_at,
    )


def _mail_item(mail: Mail) -> MailItem:
    return MailItem.keyed(
        keys.mail(mail.user_id),
        id=mail.id,
        user_id=mail.user_id,
        notices=list(mail.notice_ids),
        digest=mail.digest,
        attempts=mail.attempt,
        failures=mail.failures,
        created_at=mail.created_at,
        due=keys.due_mail(keys.mail_shard(mail.user_id)),
        due_at=mail.due_at,
    )


def _is(mail: Mail) -> Condition:
    """Require that a mail is there and at this attempt."""
    condition: Condition = (MailItem.id == mail.id) & (MailItem.attempts == mail.attempt)
    return condition


def _sort(item: MailItem | NoticeItem, found: _Found) -> None:
    if isinstance(item, MailItem):
        found.mail = mail_from(item)
    elif item.digest:
        found.digest_ids.append(item.id)
    else:
        found.notice_ids.append(item.id)
