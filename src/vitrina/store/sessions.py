"""Sessions in the table (R14), in their account's partition."""

from datetime import datetime

from pynamodb.expressions.condition import Condition

from vitrina.clock import epoch_seconds
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Session, User
from vitrina.errors import NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.codecs.accounts import session_from, session_item, user_from
from vitrina.store.items import Item, SessionItem, UserItem
from vitrina.store.operations import Delete, Put, Query, Update
from vitrina.store.paging import every, page
from vitrina.store.table import ConditionFailed, Table


class SessionStore:
    """Reads and writes sessions. Reads ignore expired items that TTL has not deleted yet."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def with_user(self, user_id: str, session_id: str, *, at: datetime) -> tuple[User, Session] | None:
        """Return an account and one of its sessions if that session is valid at `at`: 1 call.

        A session is valid if it has not expired, has the account's epoch, and the account is active.
        """
        keys_wanted = [keys.user(user_id), keys.session(user_id, session_id)]
        found = await self._table.get_many(keys_wanted, consistent=True)
        user, session = (found.get(key) for key in keys_wanted)
        if not isinstance(user, UserItem) or not isinstance(session, SessionItem):
            return None
        if not user.active or session.epoch != user.session_epoch or (session.expires_at or 0) <= epoch_seconds(at):
            return None
        return user_from(user), session_from(session)

    async def create(self, session: Session) -> None:
        """Write a new session."""
        await self._table.put(Put(session_item(session)))

    async def rotate(self, session: Session, *, at: datetime, expires_at: datetime) -> bool:
        """Advance a session to its next generation; False if `session` no longer has the current one.

        The write contains a random mark, so that the retry after a lost response is not taken for another's success.
        """
        rotation = Update(
            keys.session(session.user_id, session.id),
            [
                SessionItem.generation.set(session.generation + 1),
                SessionItem.refreshed_at.set(at),
                SessionItem.expires_at.set(epoch_seconds(expires_at)),
                SessionItem.mark.set(new_id()),
            ],
            (SessionItem.generation == session.generation) & (SessionItem.epoch == session.epoch),
        )
        try:
            await self._table.update(rotation)
        except ConditionFailed:
            return False
        return True

    async def page(self, user: User, *, at: datetime, limit: int, start: Position | None) -> Page[Session]:
        """Read a page of an account's valid sessions, newest first."""
        query = Query(
            condition=_sessions_of(user.id),
            filter=(SessionItem.expires_at > epoch_seconds(at)) & (SessionItem.epoch == user.session_epoch),
            descending=True,
            consistent=True,
        )
        return await page(self._table, query, SessionItem, session_from, limit=limit, start=start)

    async def end(self, user: User, session_id: str, *, at: datetime) -> None:
        """End a session. Raises NotFound if the account has no such valid session.

        The deletion has no condition, since its retry after a lost response would fail on it.
        """
        item = await self._table.get(keys.session(user.id, session_id), consistent=True)
        current = isinstance(item, SessionItem) and item.epoch == user.session_epoch
        if item is None or not current or (item.expires_at or 0) <= epoch_seconds(at):
            raise NotFound
        await self.discard(user.id, session_id)

    async def discard(self, user_id: str, session_id: str) -> None:
        """Delete a session; one that does not exist is no error."""
        await self._table.delete(Delete(keys.session(user_id, session_id)))

    async def clear(self, user_id: str, *, keep: str | None = None) -> None:
        """Delete the items of sessions that the account's epoch or deletion has ended, except `keep`."""
        items = await every(self._table, Query(condition=_sessions_of(user_id), consistent=True))
        ended = [item.key for item in items if item.sk != keys.session(user_id, keep or "").sk]
        await self._table.delete_many(ended)


def _sessions_of(user_id: str) -> Condition:
    condition: Condition = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.SESSION_PREFIX)
    return condition
