"""Recipients, their mail preferences, and the windows that count their notices (R9)."""

import asyncio
from dataclasses import replace

import pytest

from tests.store.samples import HASH, at, user
from vitrina.domain.notices import EmailMode, Language, NoticePreferences
from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import MailWindowItem
from vitrina.store.operations import Update
from vitrina.store.recipients import RecipientStore, Window
from vitrina.store.table import Table
from vitrina.store.users import UserStore

DEFAULTS = NoticePreferences(email=EmailMode.DIGEST, digest_minutes=15, language=Language.ENGLISH)
OTHER = NoticePreferences(email=EmailMode.EACH, digest_minutes=60, language=Language.SPANISH)


@pytest.fixture
def store(table: Table) -> RecipientStore:
    """The store of recipients, on an empty table."""
    return RecipientStore(table, defaults=DEFAULTS)


async def test_recipients_are_the_active_accounts_of_a_role(store: RecipientStore, table: Table) -> None:
    """As they are now: inactive, demoted and deleted accounts and those of other roles are left out."""
    users = UserStore(table)
    admin, idle, demoted, deleted = (user(role=Role.ADMIN, active=active) for active in (True, False, True, True))
    boss, other = user(role=Role.SUPER_ADMIN), user(role=Role.SUPER_ADMIN)
    for each in (admin, idle, demoted, deleted, boss, other, user()):
        await users.create(each, HASH)
    await users.update(demoted, replace(demoted, role=Role.USER, version=2))
    await users.delete(deleted)
    assert await store.of_role(Role.ADMIN) == [admin]
    assert sorted(each.id for each in await store.of_role(Role.SUPER_ADMIN)) == sorted([boss.id, other.id])


async def test_names_of_existing_accounts_are_returned(store: RecipientStore, table: Table) -> None:
    """Missing accounts are left out, and an empty list is no error."""
    made = user(name="Luis")
    await UserStore(table).create(made, HASH)
    assert await store.names([made.id, new_id()]) == {made.id: "Luis"}
    assert await store.names([]) == {}


async def test_preferences_are_the_defaults_until_they_are_written(store: RecipientStore) -> None:
    """Each write replaces all of them; one read covers more accounts than a batch holds."""
    owner, stranger = new_id(), new_id()
    assert await store.preferences(owner) == DEFAULTS
    await store.save(owner, replace(OTHER, email=EmailMode.OFF))
    await store.save(owner, OTHER)
    assert await store.preferences(owner) == OTHER
    crowd = [new_id() for _ in range(120)]
    preferences = await store.preferences_of([*crowd, owner, stranger])
    assert preferences == dict.fromkeys([*crowd, stranger], DEFAULTS) | {owner: OTHER}


async def test_a_window_counts_until_it_closes(store: RecipientStore) -> None:
    """At its exact end a new window opens, for the number of minutes wanted then."""
    owner = new_id()
    assert await store.count(owner, 2, minutes=15, at=at(0)) == Window(notices=2, closes_at=at(15))
    assert await store.count(owner, 5, minutes=60, at=at(14.99)) == Window(notices=7, closes_at=at(15))
    assert await store.count(owner, 1, minutes=60, at=at(15)) == Window(notices=1, closes_at=at(75))
    assert await store.count(new_id(), 1, minutes=60, at=at(15)) == Window(notices=1, closes_at=at(75))


async def test_a_window_expires_a_day_after_it_has_closed(store: RecipientStore, table: Table) -> None:
    """TTL removes the windows of admins who get no more notices."""
    owner = new_id()
    await store.count(owner, 1, minutes=15, at=at(0))
    item = await table.get(keys.mail_window(owner), consistent=True)
    assert item is not None
    assert item.expires_at == at(15 + 24 * 60).timestamp()


async def test_concurrent_openings_of_a_window_lose_no_count(store: RecipientStore) -> None:
    """One opens the window, the others are counted in it."""
    owner = new_id()
    windows = await asyncio.gather(*(store.count(owner, 1, minutes=15, at=at(0)) for _ in range(30)))
    assert sorted(window.notices for window in windows) == list(range(1, 31))
    assert {window.closes_at for window in windows} == {at(15)}


async def test_a_window_without_an_end_is_a_conflict(store: RecipientStore, table: Table) -> None:
    """After a few attempts, since it is neither open nor closed."""
    owner = new_id()
    await store.count(owner, 1, minutes=15, at=at(0))
    await table.update(Update(keys.mail_window(owner), [MailWindowItem.closes_at.remove()]))
    with pytest.raises(Conflict):
        await store.count(owner, 1, minutes=15, at=at(0))
