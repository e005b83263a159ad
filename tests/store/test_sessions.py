"""A session is valid until it expires or ends, whether or not TTL has deleted its item (R14)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.samples import HASH, at, session, user
from vitrina.domain.users import Session, User
from vitrina.errors import NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import SessionItem
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(table: Table) -> SessionStore:
    """The store of sessions, on an empty table."""
    return SessionStore(table)


@pytest.fixture
async def owner(table: Table) -> User:
    """An account."""
    made = user()
    await UserStore(table).create(made, HASH)
    return made


async def create(store: SessionStore, owner: User, **fields: object) -> Session:
    """Write a new session and return it."""
    made = session(owner, **fields)
    await store.create(made)
    return made


async def test_a_valid_session_is_returned_with_its_account(store: SessionStore, owner: User) -> None:
    """By one request, both unchanged."""
    made = await create(store, owner)
    assert await store.with_user(owner.id, made.id, at=at(0)) == (owner, made)


async def test_a_user_agent_is_cut_and_an_empty_one_stays_empty(store: SessionStore, owner: User) -> None:
    """The client sets the header to any length."""
    for agent, kept in [("", ""), ("x" * 300, "x" * 256)]:
        made = await create(store, owner, user_agent=agent)
        assert await store.with_user(owner.id, made.id, at=at(0)) == (owner, replace(made, user_agent=kept))


async def test_a_session_is_valid_until_it_expires(store: SessionStore, owner: User) -> None:
    """DynamoDB may keep an expired item for days."""
    made = await create(store, owner)
    assert await store.with_user(owner.id, made.id, at=made.expires_at - SECOND) is not None
    assert await store.with_user(owner.id, made.id, at=made.expires_at) is None
    with pytest.raises(NotFound):
        await store.end(owner, made.id, at=made.expires_at)


async def test_a_session_without_an_expiry_is_invalid(store: SessionStore, owner: User, table: Table) -> None:
    """An item that lost its expiry must not be valid for ever."""
    made = await create(store, owner)
    item = await table.get(keys.session(owner.id, made.id), consistent=True)
    assert isinstance(item, SessionItem)
    key = {"pk": {"S": item.pk}, "sk": {"S": item.sk}}
    await table._writer.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE expires_at")
    assert await store.with_user(owner.id, made.id, at=at(0)) is None


async def test_sessions_end_when_their_account_is_deleted_deactivated_or_gets_a_new_epoch(
    store: SessionStore, owner: User, table: Table
) -> None:
    """At the next request, before any item is deleted."""
    users = UserStore(table)
    made = await create(store, owner)
    inactive = replace(owner, active=False, version=2)
    await users.update(owner, inactive)
    assert await store.with_user(owner.id, made.id, at=at(0)) is None
    ended = replace(owner, session_epoch=1, version=3)
    await users.update(inactive, ended)
    assert await store.with_user(owner.id, made.id, at=at(0)) is None
    again = await create(store, ended)
    assert await store.with_user(owner.id, again.id, at=at(0)) == (ended, again)
    await users.delete(ended)
    assert await store.with_user(owner.id, again.id, at=at(0)) is None


async def test_a_session_of_another_account_is_not_found(store: SessionStore, owner: User, table: Table) -> None:
    """The account is part of the session's key."""
    made = await create(store, owner)
    other = user()
    await UserStore(table).create(other, HASH)
    assert await store.with_user(other.id, made.id, at=at(0)) is None
    with pytest.raises(NotFound):
        await store.end(other, made.id, at=at(0))


async def test_rotation_makes_the_next_generation_valid(store: SessionStore, owner: User) -> None:
    """It also extends the session from then on."""
    made = await create(store, owner)
    assert await store.rotate(made, at=at(5), expires_at=at(65))
    rotated = replace(made, generation=2, refreshed_at=at(5), expires_at=at(65))
    assert await store.with_user(owner.id, made.id, at=at(61)) == (owner, rotated)


async def test_a_used_generation_or_an_ended_session_is_not_rotated(store: SessionStore, owner: User) -> None:
    """Nothing is written, and an ended session is not recreated."""
    made = await create(store, owner)
    assert await store.rotate(made, at=at(5), expires_at=at(65))
    assert not await store.rotate(made, at=at(6), expires_at=at(66))
    assert not await store.rotate(replace(made, generation=2, epoch=7), at=at(6), expires_at=at(66))
    await store.discard(owner.id, made.id)
    assert not await store.rotate(replace(made, generation=2), at=at(7), expires_at=at(67))
    assert await store.with_user(owner.id, made.id, at=at(8)) is None


async def test_valid_sessions_are_paged_newest_first(store: SessionStore, owner: User) -> None:
    """Pages are full even when expired sessions and those of an older epoch lie between."""
    good = []
    kinds: list[dict[str, object]] = [{}, {"expires_at": at(1)}, {"epoch": 9}]
    for fields in kinds * 4:
        made = await create(store, owner, **fields)
        good += [] if fields else [made]
    first = await store.page(owner, at=at(1), limit=3, start=None)
    second = await store.page(owner, at=at(1), limit=3, start=first.next)
    assert first.items == good[:0:-1]
    assert (second.items, second.next) == (good[:1], None)


async def test_an_ended_session_is_not_found(store: SessionStore, owner: User) -> None:
    """Ending it again raises not found; discarding it again is no error."""
    made = await create(store, owner)
    await store.end(owner, made.id, at=at(0))
    with pytest.raises(NotFound):
        await store.end(owner, made.id, at=at(0))
    await store.discard(owner.id, made.id)
    assert await store.with_user(owner.id, made.id, at=at(0)) is None


async def test_clearing_deletes_all_sessions_but_one_and_nothing_else(store: SessionStore, owner: User) -> None:
    """In more than one batch."""
    made = [await create(store, owner, id=new_id()) for _ in range(30)]
    await store.clear(owner.id, keep=made[7].id)
    assert (await store.page(owner, at=at(0), limit=99, start=None)).items == [made[7]]
    await store.clear(owner.id)
    await store.clear(owner.id)
    assert (await store.page(owner, at=at(0), limit=99, start=None)).items == []
    again = await create(store, owner)
    assert await store.with_user(owner.id, again.id, at=at(0)) == (owner, again)
