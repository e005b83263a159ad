"""Sessions in the table (R14): in their account's partition, so that both come with one call."""

from datetime import UTC, datetime
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.clock import epoch_seconds
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Session, User
from vitrina.errors import NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import Item, SessionItem, UserItem
from vitrina.store.paging import every, page
from vitrina.store.reads import Query
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.users import user_from
from vitrina.store.writes import Delete, Put, Update

_LONGEST_USER_AGENT: Final = 256


class SessionStore:
    """Reads and writes sign-ins. An expired item that TTL has not deleted yet is as good as gone."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def with_user(self, user_id: str, session_id: str, *, at: datetime) -> tuple[User, Session] | None:
        """Read an account and one of its sessions if that session is good at `at`: 1 call.

        It is good when it has not expired, is of the account's epoch, and the account is active.
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
        await self._table.put(Put(_session_item(session)))

    async def rotate(self, session: Session, *, at: datetime, expires_at: datetime) -> bool:
        """Make the next generation the good one; False when `session`'s generation is not the good one any more.

        The write is marked, so that its own repetition after a lost answer is not taken for somebody else's.
        """
        mark = new_id()
        rotation = Update(
            keys.session(session.user_id, session.id),
            [
                SessionItem.generation.set(session.generation + 1),
                SessionItem.refreshed_at.set(at),
                SessionItem.expires_at.set(epoch_seconds(expires_at)),
                SessionItem.mark.set(mark),
            ],
            (SessionItem.generation == session.generation) & (SessionItem.epoch == session.epoch),
        )
        try:
            await self._table.update(rotation)
        except ConditionFailed as failure:
            return isinstance(failure.item, SessionItem) and failure.item.mark == mark
        return True

    async def page(self, user: User, *, at: datetime, limit: int, start: Position | None) -> Page[Session]:
        """Read a page of an account's good sessions, newest first."""
        query = Query(
            condition=_sessions_of(user.id),
            filter=(SessionItem.expires_at > epoch_seconds(at)) & (SessionItem.epoch == user.session_epoch),
            descending=True,
            consistent=True,
        )
        return await page(self._table, query, limit=limit, start=start, decode=_session)

    async def end(self, user: User, session_id: str, *, at: datetime) -> None:
        """End a session. Raises NotFound when the account has no such good session.

        The deletion has no condition: one that is tried again after a lost answer would fail by what it did itself.
        """
        item = await self._table.get(keys.session(user.id, session_id), consistent=True)
        good = isinstance(item, SessionItem) and item.epoch == user.session_epoch
        if item is None or not good or (item.expires_at or 0) <= epoch_seconds(at):
            raise NotFound
        await self.discard(user.id, session_id)

    async def discard(self, user_id: str, session_id: str) -> None:
        """Delete a session, whether or not it is there."""
        await self._table.delete(Delete(keys.session(user_id, session_id)))

    async def clear(self, user_id: str, *, keep: str | None = None) -> None:
        """Delete the items of an account's sessions, which the account's epoch or absence has ended already."""
        items = await every(self._table, Query(condition=_sessions_of(user_id), consistent=True))
        ended = [keys.Key(item.pk, item.sk) for item in items if item.sk != keys.session(user_id, keep or "").sk]
        await self._table.delete_many(ended)


def _sessions_of(user_id: str) -> Condition:
    condition: Condition = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.SESSION_PREFIX)
    return condition


def _session_item(session: Session) -> SessionItem:
    return SessionItem.keyed(
        keys.session(session.user_id, session.id),
        id=session.id,
        user_id=session.user_id,
        epoch=session.epoch,
        generation=session.generation,
        user_agent=session.user_agent[:_LONGEST_USER_AGENT] or None,
        created_at=session.created_at,
        refreshed_at=session.refreshed_at,
        expires_at=epoch_seconds(session.expires_at),
    )


def session_from(item: SessionItem) -> Session:
    """Return the session of an item."""
    return Session(
        id=item.id,
        user_id=item.user_id,
        epoch=item.epoch,
        generation=item.generation,
        user_agent=item.user_agent or "",
        created_at=item.created_at,
        refreshed_at=item.refreshed_at,
        expires_at=datetime.fromtimestamp(item.expires_at or 0, UTC),
    )


def _session(item: Item) -> Session:
    assert isinstance(item, SessionItem)  # noqa: S101 - the sort key's prefix decides it
    return session_from(item)
