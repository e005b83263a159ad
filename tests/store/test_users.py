"""Accounts in the table: e-mail addresses are unique, and one super_admin must remain (R1 to R4)."""

from dataclasses import replace

import pytest

from tests.store.samples import HASH, at, session, user
from vitrina.domain.pages import Page
from vitrina.domain.users import Role, User
from vitrina.errors import Conflict, EmailTaken, LastSuperAdmin, NotFound
from vitrina.store import keys
from vitrina.store.items import EmailItem, Item, SuperAdminsItem
from vitrina.store.operations import Check, Delete, Put, Step
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore


@pytest.fixture
def store(table: Table) -> UserStore:
    """The store of accounts, on an empty table."""
    return UserStore(table)


async def create(store: UserStore, **fields: object) -> User:
    """Write a new account and return it."""
    made = user(**fields)
    await store.create(made, HASH)
    return made


def changed(before: User, **fields: object) -> User:
    """Return the next version of an account."""
    values: dict[str, object] = {"version": before.version + 1, "updated_at": at(1)} | fields
    return replace(before, **values)  # type: ignore[arg-type]


async def members(table: Table) -> int | None:
    """Return the stored count of super_admins; None before the first."""
    item = await table.get(keys.SUPER_ADMINS, consistent=True)
    return item.members if isinstance(item, SuperAdminsItem) else None


async def test_an_account_is_read_back_by_id_and_by_email_in_any_case(store: UserStore) -> None:
    """The address is returned as it was given and found regardless of case."""
    made = await create(store, email="Uma.Straße@Example.com", name="Uma Ü")
    assert await store.get(made.id) == made
    for email in ("uma.straße@example.com", "UMA.STRASSE@EXAMPLE.COM"):
        assert await store.by_email(email) == made
        assert await store.email_is_taken(email)


async def test_a_missing_account_is_none(store: UserStore) -> None:
    assert await store.get(user().id) is None
    assert await store.by_email("nobody@example.com") is None
    assert not await store.email_is_taken("nobody@example.com")


async def test_an_email_is_unique_regardless_of_case(store: UserStore) -> None:
    """A refused creation writes nothing."""
    await create(store, email="uma@example.com")
    other = user(email="UMA@example.com")
    with pytest.raises(EmailTaken):
        await store.create(other, HASH)
    assert await store.get(other.id) is None


async def test_a_domain_is_one_account_in_unicode_and_as_a_labels(store: UserStore) -> None:
    """By IDNA 2008, in which `faß` and `fass` are two domains."""
    made, other = await create(store, email="uma@Faß.example"), await create(store, email="uma@fass.example")
    for email in ("UMA@faß.example", "uma@FAẞ.example", "uma@XN--FA-HIA.example"):
        assert await store.by_email(email) == made
        assert await store.email_is_taken(email)
        with pytest.raises(EmailTaken):
            await store.create(user(email=email), HASH)
    assert await store.by_email("uma@FASS.example") == other


async def test_a_claim_moves_with_the_domain(store: UserStore) -> None:
    """Another spelling of the same domain keeps the claim, another domain releases it."""
    made = await create(store, email="uma@faß.example")
    await store.update(made, made := changed(made, email="uma@xn--fa-hia.example"))
    assert await store.by_email("uma@faß.example") == made
    await store.update(made, made := changed(made, email="uma@fass.example"))
    assert await store.by_email("uma@fass.example") == made
    assert not await store.email_is_taken("uma@faß.example")
    await store.update(made, made := changed(made, email="uma@faß.example"))
    await store.delete(made)
    for email in ("uma@fass.example", "uma@faß.example"):
        assert not await store.email_is_taken(email)


async def test_a_claim_of_before_migration_3_counts_until_it_is_released(store: UserStore, table: Table) -> None:
    """The account signs in, nobody takes its address, and its change or deletion releases that claim."""

    async def old(email: str) -> User:
        made = await create(store, email=email)
        older, key = keys.emails(email)
        await table.delete(Delete(key))
        await table.put(Put(EmailItem.keyed(older, user_id=made.id)))
        return made

    one, other = await old("uma@faß.example"), await create(store, email="other@example.com")
    for email in ("uma@faß.example", "uma@FAẞ.example"):
        assert await store.by_email(email) == one
        assert await store.email_is_taken(email)
        with pytest.raises(EmailTaken):
            await store.update(other, changed(other, email=email))
    await store.update(one, changed(one, email="ulf@faß.example"))
    two = await old("ida@faß.example")
    await store.delete(two)
    for email in ("uma@faß.example", "uma@fass.example", "ida@faß.example", "ida@fass.example"):
        assert not await store.email_is_taken(email)


async def test_an_id_is_used_once(store: UserStore) -> None:
    """Whatever the e-mail of the second account."""
    made = await create(store)
    with pytest.raises(Conflict):
        await create(store, id=made.id)


async def test_the_error_of_an_additional_step_takes_precedence(store: UserStore) -> None:
    """The steps of `also` are part of the creation's transaction."""
    await create(store, email="uma@example.com")
    forbidden = Step(Check(keys.sku("x"), Item.pk.exists()), lambda _: PermissionError())
    with pytest.raises(PermissionError):
        await store.create(user(email="uma@example.com"), HASH, also=[forbidden])


async def test_an_update_claims_the_new_email_and_releases_the_old_one(store: UserStore) -> None:
    """In one transaction; the same address in another case needs no new claim."""
    before = await create(store, email="old@example.com")
    after = changed(before, email="New@example.com")
    await store.update(before, after)
    assert await store.by_email("new@example.com") == after
    assert await store.by_email("old@example.com") is None
    await store.update(after, again := changed(after, email="NEW@example.com"))
    assert await store.by_email("new@example.com") == again
    await create(store, email="old@example.com")


async def test_an_update_to_a_taken_email_changes_nothing(store: UserStore) -> None:
    """The account keeps its own address."""
    await create(store, email="taken@example.com")
    before = await create(store, email="mine@example.com")
    with pytest.raises(EmailTaken):
        await store.update(before, changed(before, email="TAKEN@example.com"))
    assert await store.by_email("mine@example.com") == before


async def test_a_stale_version_is_a_conflict_and_a_deleted_account_is_not_found(store: UserStore) -> None:
    """The update must not create an item."""
    before = await create(store)
    await store.update(before, changed(before, name="First"))
    for write in (store.update(before, changed(before, name="Second")), store.delete(before)):
        with pytest.raises(Conflict):
            await write
    gone = user()
    for write in (store.update(gone, changed(gone)), store.delete(gone)):
        with pytest.raises(NotFound):
            await write


async def test_deletion_releases_the_email(store: UserStore, table: Table) -> None:
    """At once; no item of the account is left."""
    made = await create(store, email="uma@example.com")
    claim = await table.get(keys.email("uma@example.com"), consistent=True)
    assert isinstance(claim, EmailItem)
    assert claim.user_id == made.id
    await store.delete(made)
    assert await store.get(made.id) is None
    assert not await store.email_is_taken("uma@example.com")
    await create(store, email="uma@example.com")


async def test_only_super_admins_are_counted(store: UserStore, table: Table) -> None:
    """In the transaction that creates, promotes, demotes or deletes them."""
    await create(store, role=Role.ADMIN)
    assert await members(table) is None
    first = await create(store, role=Role.SUPER_ADMIN)
    second = await create(store, role=Role.SUPER_ADMIN)
    assert await members(table) == 2
    await store.update(second, renamed := changed(second, name="Sol"))
    assert await members(table) == 2
    await store.update(renamed, demoted := changed(renamed, role=Role.ADMIN))
    assert await members(table) == 1
    await store.update(demoted, promoted := changed(demoted, role=Role.SUPER_ADMIN))
    assert await members(table) == 2
    await store.delete(first)
    assert await members(table) == 1
    assert (await store.get(promoted.id) or first).role is Role.SUPER_ADMIN


async def test_the_last_super_admin_is_neither_deleted_nor_demoted(store: UserStore, table: Table) -> None:
    """R1."""
    last = await create(store, role=Role.SUPER_ADMIN)
    for write in (store.delete(last), store.update(last, changed(last, role=Role.USER))):
        with pytest.raises(LastSuperAdmin):
            await write
    assert await store.get(last.id) == last
    assert await members(table) == 1


async def test_a_higher_epoch_can_keep_one_session(store: UserStore, table: Table) -> None:
    """A new password ends the other sessions; the current one gets the new epoch in the same transaction."""
    before = await create(store)
    sessions = SessionStore(table)
    kept, ended = session(before), session(before)
    for one in (kept, ended):
        await sessions.create(one)
    await store.update(before, changed(before, session_epoch=1), keep_session=kept.id)
    assert await sessions.with_user(before.id, kept.id, at=at(0)) is not None
    assert await sessions.with_user(before.id, ended.id, at=at(0)) is None


async def test_an_ended_session_is_not_kept(store: UserStore, table: Table) -> None:
    """A deleted session or one of an older epoch must not become valid again."""
    before = await create(store, session_epoch=2)
    with pytest.raises(NotFound):
        await store.update(before, changed(before, session_epoch=3), keep_session=session(before).id)
    old = session(before, epoch=1)
    await SessionStore(table).create(old)
    with pytest.raises(Conflict):
        await store.update(before, changed(before, session_epoch=3), keep_session=old.id)
    assert await store.get(before.id) == before


async def test_accounts_are_paged_newest_first_all_or_of_a_role(store: UserStore) -> None:
    """A new role moves an account to the other list; a deletion removes it from both."""
    made = [await create(store, role=list(Role)[number % 3], created_at=at(number // 2)) for number in range(9)]
    newest = sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)
    first = await store.page(role=None, limit=4, start=None)
    second = await store.page(role=None, limit=5, start=first.next)
    assert (first.items + second.items, second.next) == (newest, None)
    admins = [one for one in newest if one.role is Role.ADMIN]
    assert await store.page(role=Role.ADMIN, limit=3, start=None) == Page(admins, None)
    await store.update(admins[0], moved := changed(admins[0], role=Role.USER))
    await store.delete(admins[1])
    assert (await store.page(role=Role.ADMIN, limit=3, start=None)).items == admins[2:]
    assert moved in (await store.page(role=Role.USER, limit=9, start=None)).items
    assert len((await store.page(role=None, limit=9, start=None)).items) == 8
