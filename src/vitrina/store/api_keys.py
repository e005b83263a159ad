"""API keys in the table, in their account's partition."""

import contextlib
from collections.abc import Sequence
from datetime import date, datetime

from vitrina.clock import epoch_seconds
from vitrina.domain.api_keys import MOST_KEYS, ApiKey
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import User
from vitrina.errors import NotFound, TooManyApiKeys
from vitrina.store import keys
from vitrina.store.codecs.accounts import api_key_from, api_key_item, user_from
from vitrina.store.items import ApiKeyItem, Item, UserItem
from vitrina.store.operations import Delete, Put, Query, Step, Update
from vitrina.store.paging import page
from vitrina.store.table import ConditionFailed, Table


class ApiKeyStore:
    """Reads and writes API keys. Reads ignore expired items that TTL has not deleted yet."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def with_user(self, user_id: str, key_id: str, *, at: datetime) -> tuple[User, ApiKey] | None:
        """Return an account and one of its keys if that key is valid at `at`: 1 call.

        A key is valid if it has not expired, has the account's `key_epoch`, and the account is active.
        """
        wanted = [keys.user(user_id), keys.api_key(user_id, key_id)]
        found = await self._table.get_many(wanted, consistent=True)
        user_item, key = (found.get(each) for each in wanted)
        if not isinstance(user_item, UserItem) or not isinstance(key, ApiKeyItem):
            return None
        user = user_from(user_item)
        return (user, api_key_from(key)) if user.active and _is_valid(key, user, at) else None

    async def create(self, user: User, key: ApiKey, *, also: Sequence[Step] = ()) -> None:
        """Write a new key of an account. Raises TooManyApiKeys, Conflict and the errors of the steps in `also`.

        Keys that are created at the same moment may exceed the limit, each of which is counted at the next creation.
        """
        if await self._table.count(_valid_keys(user, key.created_at)) >= MOST_KEYS:
            raise TooManyApiKeys
        await self._table.commit([*also, Step(Put(api_key_item(key)))])

    async def mark_used(self, key: ApiKey, day: date) -> None:
        """Set the day on which a key was last used: at most one write a day, however many requests use the key."""
        last_used_on = ApiKeyItem.last_used_on
        marking = Update(
            keys.api_key(key.user_id, key.id),
            [last_used_on.set(day.isoformat())],
            Item.pk.exists() & (last_used_on.does_not_exist() | (last_used_on < day.isoformat())),
        )
        with contextlib.suppress(ConditionFailed):  # Another request has written it, or the key was deleted.
            await self._table.update(marking)

    async def page(self, user: User, *, at: datetime, limit: int, start: Position | None) -> Page[ApiKey]:
        """Read a page of an account's valid keys, newest first."""
        query = _valid_keys(user, at)
        return await page(self._table, query, ApiKeyItem, api_key_from, limit=limit, start=start)

    async def delete(self, user: User, key_id: str, *, at: datetime) -> None:
        """Delete a key. Raises NotFound if the account has no such valid key.

        The deletion has no condition, since its retry after a lost response would fail on it.
        """
        item = await self._table.get(keys.api_key(user.id, key_id), consistent=True)
        if not isinstance(item, ApiKeyItem) or not _is_valid(item, user, at):
            raise NotFound
        await self._table.delete(Delete(item.key))


def _valid_keys(user: User, at: datetime) -> Query:
    return Query(
        condition=(Item.pk == keys.user(user.id).pk) & Item.sk.startswith(keys.API_KEY_PREFIX),
        filter=(ApiKeyItem.expires_at > epoch_seconds(at)) & (ApiKeyItem.epoch == user.key_epoch),
        descending=True,
        consistent=True,
    )


def _is_valid(key: ApiKeyItem, user: User, at: datetime) -> bool:
    return key.epoch == user.key_epoch and (key.expires_at or 0) > epoch_seconds(at)
