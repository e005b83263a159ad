"""Who is told of notices, what they want to be mailed, and how many came lately (R9)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vitrina.clock import epoch_seconds
from vitrina.domain.notices import EmailMode, Language, NoticePreferences
from vitrina.domain.users import Role, User
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.items import Item, MailWindowItem, NoticePreferencesItem, UserItem
from vitrina.store.paging import every
from vitrina.store.reads import Query
from vitrina.store.table import MOST_KEYS, ConditionFailed, Table
from vitrina.store.users import user_from
from vitrina.store.writes import Put, Update

_TRIES: Final = 5
_WINDOW_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An admin's window: how many notices it has counted, and when it closes."""

    notices: int
    closes_at: datetime


class RecipientStore:
    """Finds who is to be told. Who has never said what they want has the `defaults`."""

    def __init__(self, table: Table, *, defaults: NoticePreferences) -> None:
        """Take the table and what an account wants that never said."""
        self._table = table
        self.defaults = defaults

    async def of_role(self, role: Role) -> list[User]:
        """Find the active accounts of a role, by index: 1 call a MB of accounts."""
        query = Query(condition=Item.listing_group == keys.role_group(role), index=keys.GROUP_BY_TIME, fresh=True)
        items = await every(self._table, query)
        return [user_from(item) for item in items if isinstance(item, UserItem) and item.active]

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Read the names of accounts, those that are there: no call for none, 1 for up to 100."""
        found = await self._read([keys.user(user_id) for user_id in user_ids])
        return {item.id: item.name for item in found.values() if isinstance(item, UserItem)}

    async def wishes(self, user_ids: Iterable[str]) -> dict[str, NoticePreferences]:
        """Read what accounts want: 1 call for up to 100."""
        wanted = {user_id: keys.notice_preferences(user_id) for user_id in user_ids}
        found = await self._read(list(wanted.values()))
        return {user_id: self._preferences(found.get(key)) for user_id, key in wanted.items()}

    async def preferences(self, user_id: str) -> NoticePreferences:
        """Read what an account wants: 1 call."""
        return self._preferences(await self._table.get(keys.notice_preferences(user_id), consistent=True))

    async def save(self, user_id: str, preferences: NoticePreferences) -> None:
        """Write what an account wants."""
        item = NoticePreferencesItem.keyed(
            keys.notice_preferences(user_id),
            email=preferences.email.value,
            digest_minutes=preferences.digest_minutes,
            language=preferences.language.value,
        )
        await self._table.put(Put(item))

    async def count(self, user_id: str, notices: int, *, minutes: int, at: datetime) -> Window:
        """Count notices in the window that is open at `at`, or in a new one of so many minutes. Raises Conflict.

        A write that is repeated counts twice, and a redelivered notice again: all that comes of it is a digest sooner.
        """
        key = keys.mail_window(user_id)
        counting = Update(key, [MailWindowItem.notices.add(notices)], MailWindowItem.closes_at > at)
        closes_at = at + timedelta(minutes=minutes)
        opening = Put(
            MailWindowItem.keyed(
                key, closes_at=closes_at, notices=notices, expires_at=epoch_seconds(closes_at + _WINDOW_KEPT)
            ),
            Item.pk.does_not_exist() | (MailWindowItem.closes_at <= at),
        )
        for _ in range(_TRIES):
            try:
                item = await self._table.update(counting)
            except ConditionFailed:
                pass
            else:
                assert isinstance(item, MailWindowItem)  # noqa: S101 - its key decides it
                return Window(notices=item.notices, closes_at=item.closes_at)
            try:
                await self._table.put(opening)
            except ConditionFailed:
                continue  # Another process has opened it meanwhile.
            return Window(notices=notices, closes_at=closes_at)
        raise Conflict

    async def _read(self, wanted: list[keys.Key]) -> dict[keys.Key, Item]:
        found: dict[keys.Key, Item] = {}
        for first in range(0, len(wanted), MOST_KEYS):
            found |= await self._table.get_many(wanted[first : first + MOST_KEYS], consistent=True)
        return found

    def _preferences(self, item: Item | None) -> NoticePreferences:
        return preferences_from(item) if isinstance(item, NoticePreferencesItem) else self.defaults


def preferences_from(item: NoticePreferencesItem) -> NoticePreferences:
    """Return the preferences of an item."""
    return NoticePreferences(
        email=EmailMode(item.email), digest_minutes=item.digest_minutes, language=Language(item.language)
    )
