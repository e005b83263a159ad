"""Recipients of notices: their preferences for mail, and the windows that count recent notices (R9)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vitrina.clock import epoch_seconds
from vitrina.domain.notices import NoticePreferences
from vitrina.domain.users import Role, User
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.codecs.accounts import user_from
from vitrina.store.codecs.notices import preferences_from, preferences_item
from vitrina.store.items import Item, MailWindowItem, NoticePreferencesItem, UserItem, expect_type
from vitrina.store.operations import ABSENT, Put, Query, Update
from vitrina.store.paging import every
from vitrina.store.table import MOST_KEYS, ConditionFailed, Table

_TRIES: Final = 5
_WINDOW_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An account's window: the number of notices that it has counted, and when it closes."""

    notices: int
    closes_at: datetime


class RecipientStore:
    """Finds recipients. An account that has never set preferences has the `defaults`."""

    def __init__(self, table: Table, *, defaults: NoticePreferences) -> None:
        self._table = table
        self.defaults = defaults

    async def of_role(self, role: Role) -> list[User]:
        """Return the active accounts of a role from the index: 1 call for each MB of accounts."""
        query = Query(condition=Item.listing_group == keys.role_group(role), index=keys.GROUP_BY_TIME, fresh=True)
        items = await every(self._table, query)
        return [user_from(item) for item in items if isinstance(item, UserItem) and item.active]

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Return the names of accounts that exist, by id: 1 call for each 100 ids."""
        found = await self._read([keys.user(user_id) for user_id in user_ids])
        return {item.id: item.name for item in found.values() if isinstance(item, UserItem)}

    async def preferences_of(self, user_ids: Iterable[str]) -> dict[str, NoticePreferences]:
        """Return the preferences of accounts, by id: 1 call for each 100 ids."""
        wanted = {user_id: keys.notice_preferences(user_id) for user_id in user_ids}
        found = await self._read(list(wanted.values()))
        return {user_id: self._preferences(found.get(key)) for user_id, key in wanted.items()}

    async def preferences(self, user_id: str) -> NoticePreferences:
        """Return an account's preferences: 1 call."""
        return self._preferences(await self._table.get(keys.notice_preferences(user_id), consistent=True))

    async def save(self, user_id: str, preferences: NoticePreferences) -> None:
        """Write an account's preferences."""
        await self._table.put(Put(preferences_item(user_id, preferences)))

    async def count(self, user_id: str, notices: int, *, minutes: int, at: datetime) -> Window:
        """Count notices in the window that is open at `at`, or in a new window of `minutes`. Raises Conflict.

        Retries and redelivered notices are counted again. The only effect is that a digest starts earlier.
        """
        key = keys.mail_window(user_id)
        counting = Update(key, [MailWindowItem.notices.add(notices)], MailWindowItem.closes_at > at)
        closes_at = at + timedelta(minutes=minutes)
        opening = Put(
            MailWindowItem.keyed(
                key, closes_at=closes_at, notices=notices, expires_at=epoch_seconds(closes_at + _WINDOW_KEPT)
            ),
            ABSENT | (MailWindowItem.closes_at <= at),
        )
        for _ in range(_TRIES):
            try:
                item = expect_type(await self._table.update(counting), MailWindowItem)
            except ConditionFailed:
                pass
            else:
                return Window(notices=item.notices, closes_at=item.closes_at)
            try:
                await self._table.put(opening)
            except ConditionFailed:
                continue  # Another process has opened a window in the meantime.
            return Window(notices=notices, closes_at=closes_at)
        raise Conflict

    async def _read(self, wanted: list[keys.Key]) -> dict[keys.Key, Item]:
        found: dict[keys.Key, Item] = {}
        for first in range(0, len(wanted), MOST_KEYS):
            found |= await self._table.get_many(wanted[first : first + MOST_KEYS], consistent=True)
        return found

    def _preferences(self, item: Item | None) -> NoticePreferences:
        return preferences_from(item) if isinstance(item, NoticePreferencesItem) else self.defaults
