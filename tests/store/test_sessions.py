"""A session is valid until it expires or ends, whether or not TTL has deleted its item (R14)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.samples import HASH, at, session, user
from vitrina.domain.users import Session, User
from vitrina.errors import NotFound
from vitrina.store import keys
from vitrina.store.items import Item, SessionItem
from vitrina.store.operations import Query
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


async def test_a_sign_in_removes_what_has_ended_and_the_oldest_of_too_many(
    store: SessionStore, owner: User, table: Table
) -> None:
    """Up to 25 at a time; a session that a concurrent change of the password has kept is not ended."""
    ended = [await create(store, owner, expires_at=at(1)), await create(store, owner)]
    owner = replace(owner, session_epoch=1)
    kept = await create(store, owner, epoch=2)
    live = [await create(store, owner) for _ in range(104)]
    await store.prune(owner, keep=live[-1].id, at=at(2))
    left = {key.sk for key in await session_keys(table, owner)}
    wanted = {keys.session(owner.id, one.id).sk for one in live[-100:]}
    assert wanted == left
    assert not left & {keys.session(owner.id, one.id).sk for one in (*ended, kept)}
    again = await create(store, owner, epoch=2)
    await store.prune(owner, keep=live[-1].id, at=at(2))
    assert keys.session(owner.id, again.id) in await session_keys(table, owner)
    assert len(await session_keys(table, owner)) == 100


async def session_keys(table: Table, owner: User) -> list[keys.Key]:
    """Return the keys of all stored sessions of an account."""
    sessions = (Item.pk == keys.user(owner.id).pk) & Item.sk.startswith(keys.SESSION_PREFIX)
    query = Query(condition=sessions, consistent=True)
    return [item.key for item in (await table.query(query, limit=999))[0]]


async def test_pruning_few_sessions_deletes_only_what_has_ended(store: SessionStore, owner: User, table: Table) -> None:
    """By one call, or two if there are any."""
    ended = await create(store, owner, epoch=-1)
    made = [await create(store, owner) for _ in range(3)]
    await store.prune(owner, keep=made[-1].id, at=at(0))
    assert {key.sk for key in await session_keys(table, owner)} == {keys.session(owner.id, one.id).sk for one in made}
    assert keys.session(owner.id, ended.id) not in await session_keys(table, owner)
