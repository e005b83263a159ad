"""Sessions in the table (R14), in their account's partition."""

from datetime import datetime
from typing import Final

from pynamodb.expressions.condition import Condition

from vitrina.clock import epoch_seconds
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Session, User
from vitrina.errors import NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.codecs.accounts import session_from, session_item, user_from
from vitrina.store.items import Item, SessionItem, UserItem, expect_type
from vitrina.store.operations import Delete, Put, Query, Update
from vitrina.store.paging import page
from vitrina.store.table import MOST_PUTS, ConditionFailed, Table

MOST_SESSIONS: Final = 100
"""Live sessions of an account; the oldest end when there are more."""


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
        account = user_from(user)
        return (account, session_from(session)) if user.active and _is_valid(session, account, at) else None

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
        if not isinstance(item, SessionItem) or not _is_valid(item, user, at):
            raise NotFound
        await self.discard(user.id, session_id)

    async def discard(self, user_id: str, session_id: str) -> None:
        """Delete a session; one that does not exist is no error."""
        await self._table.delete(Delete(keys.session(user_id, session_id)))

    async def prune(self, user: User, *, keep: str, at: datetime) -> None:
        """Delete sessions that have ended, and the oldest beyond `MOST_SESSIONS`, `keep` included: 1 call, 2 if any.

        It looks at the newest, and deletes as many as one call can: each sign-in adds one session and removes up to 25,
        so their number stays bounded. What the account's epoch has ended needs no other end, and TTL deletes the rest.
        """
        query = Query(condition=_sessions_of(user.id), descending=True, consistent=True)
        items, _ = await self._table.query(query, limit=MOST_SESSIONS + MOST_PUTS)
        others = [expect_type(item, SessionItem) for item in items if item.sk != keys.session(user.id, keep).sk]
        # A higher epoch than that of `user`, which was read before, belongs to a session that a new password has kept.
        live = [item.sk for item in others if _is_live(item, at) and item.epoch >= user.session_epoch]
        live = live[: MOST_SESSIONS - 1]
        surplus = [item.key for item in others if item.sk not in live]
        await self._table.delete_many(surplus[-MOST_PUTS:])


def _sessions_of(user_id: str) -> Condition:
    condition: Condition = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.SESSION_PREFIX)
    return condition


def _is_valid(session: SessionItem, user: User, at: datetime) -> bool:
    return session.epoch == user.session_epoch and _is_live(session, at)


def _is_live(session: SessionItem, at: datetime) -> bool:
    return (session.expires_at or 0) > epoch_seconds(at)
