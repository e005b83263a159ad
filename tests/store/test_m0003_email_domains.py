"""Migration 3 moves the claims of e-mail addresses to their keys by IDNA 2008, and breaks no account."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.store.samples import HASH, user
from vitrina.domain.users import Role, User
from vitrina.store import keys
from vitrina.store.codecs.accounts import email_claim, user_item
from vitrina.store.items import EmailItem, Item
from vitrina.store.migrations import ledger as ledger_module
from vitrina.store.migrations.ledger import Entry, State
from vitrina.store.migrations.runner import migrate, standing
from vitrina.store.operations import Delete, Put, Scan
from vitrina.store.table import Table
from vitrina.store.users import UserStore


@pytest.fixture
def store(table: Table) -> UserStore:
    """The store of accounts, on an empty table."""
    return UserStore(table)


async def old(table: Table, email: str, **fields: object) -> User:
    """Write an account as a release before migration 3 did."""
    made = user(email=email, **fields)
    await UserStore(table).create(made, HASH)
    older, *_ = keys.emails(email)
    await table.delete(Delete(keys.email(email)))
    await table.put(Put(EmailItem.keyed(older, user_id=made.id)))
    return made


async def claimed(table: Table) -> dict[str, str]:
    """Return the ids of accounts by the keys of their claims."""
    items, _ = await table.scan(Scan(filter=Item.type.is_in(EmailItem), consistent=True), limit=99)
    return {item.pk: item.user_id for item in items if isinstance(item, EmailItem)}


async def entry_of(table: Table) -> Entry:
    """Run the migrations and return the ledger's entry."""
    await migrate(table, lambda _: None)
    return (await standing(table))[2]


async def test_claims_move_to_their_keys_by_idna_2008(table: Table, store: UserStore) -> None:
    """The accounts stay as they are, sign in by both spellings, and leave the older key to its real domain."""
    one, two = await old(table, "uma@faß.example"), await old(table, "Ulf@bücher.example")
    ascii_only, nonsense = await old(table, "ida@example.com"), await old(table, "ida@not_a_domain.example")
    entry = await entry_of(table)
    assert (entry.state, entry.seen, entry.changed, entry.notes) == (State.FINISHED, 4, 2, ())
    assert await claimed(table) == {
        "EMAIL#uma@xn--fa-hia.example": one.id,
        "EMAIL#ulf@xn--bcher-kva.example": two.id,
        "EMAIL#ida@example.com": ascii_only.id,
        "EMAIL#ida@not_a_domain.example": nonsense.id,
    }
    for account, email in (
        (one, "uma@xn--fa-hia.example"),
        (one, "UMA@FAẞ.example"),
        (nonsense, "Ida@not_a_domain.example"),
    ):
        assert await store.by_email(email) == account
    await store.create(user(email="uma@fass.example"), HASH)


async def test_a_clash_is_reported_and_both_accounts_sign_in_as_before(table: Table, store: UserStore) -> None:
    """A second run says the same, and moves the claim once the clash is resolved."""
    one = await old(table, "uma@faß.example")
    other = user(email="uma@xn--fa-hia.example")
    await table.put_many([user_item(other), email_claim(other)])
    before = await claimed(table)
    entry = await entry_of(table)
    assert entry.changed == 0
    [note] = entry.notes
    assert one.id in note
    assert other.id in note
    assert "@" not in note
    assert await claimed(table) == before
    assert await store.by_email("uma@faß.example") == one
    assert await store.by_email("uma@xn--fa-hia.example") == other
    await migrate(table, lambda _: None, again=3)
    assert (await standing(table))[2].notes == (note,)
    await store.update(other, replace(other, email="other@example.com", version=2))
    await migrate(table, lambda _: None, again=3)
    assert (await standing(table))[2].notes == ()
    assert (await claimed(table))["EMAIL#uma@xn--fa-hia.example"] == one.id
    assert await store.by_email("uma@faß.example") == one


async def test_admins_who_get_no_mail_are_named(table: Table) -> None:
    """Older releases accepted addresses that mail servers do not; the accounts sign in as before."""
    admin = await old(table, "josé@example.com", role=Role.ADMIN)
    await old(table, "josé@example.org", role=Role.USER)
    [note] = (await entry_of(table)).notes
    assert note.startswith(f"admin {admin.id} gets no mail")
    assert "josé" not in note


@pytest.mark.parametrize("moment", ["snapshot", "commit"])
async def test_a_change_of_the_address_meanwhile_is_never_overwritten(
    table: Table, store: UserStore, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Before the migration reads the claims, and between that and its write."""
    one = await old(table, "uma@faß.example")
    original: Callable[..., Any] = getattr(table, moment)

    async def after_a_change(*arguments: object) -> Any:  # noqa: ANN401 - the method's own
        monkeypatch.undo()
        await store.update(one, replace(one, email="ulf@faß.example", version=2))
        return await original(*arguments)

    monkeypatch.setattr(table, moment, after_a_change)
    assert (await entry_of(table)).state is State.FINISHED
    assert await claimed(table) == {"EMAIL#ulf@xn--fa-hia.example": one.id}


async def test_it_can_be_cancelled_at_every_request(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later run moves what is left, and keeps the notes of the earlier ones."""
    monkeypatch.setattr(ledger_module, "PAGE", 1)
    monkeypatch.setattr(ledger_module, "SEGMENTS", 1)
    accounts = [await old(table, f"uma{number}@faß.example") for number in range(3)]
    one = await old(table, "ida@faß.example")
    other = user(email="ida@xn--fa-hia.example")
    await table.put_many([user_item(other), email_claim(other)])
    call, budget = table._call, 0

    async def counted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the method's own
        nonlocal budget
        budget -= 1
        if budget == 0:
            raise asyncio.CancelledError
        return await call(*arguments, **options)

    monkeypatch.setattr(table, "_call", counted)
    for budget_of_run in range(2, 60):
        budget = budget_of_run
        try:
            await migrate(table, lambda _: None)
        except asyncio.CancelledError:
            continue
        break
    budget = -1
    entry = (await standing(table))[2]
    assert (entry.state, len(entry.notes)) == (State.FINISHED, 1)
    assert await claimed(table) == {
        **{f"EMAIL#uma{number}@xn--fa-hia.example": each.id for number, each in enumerate(accounts)},
        "EMAIL#ida@fass.example": one.id,
        "EMAIL#ida@xn--fa-hia.example": other.id,
    }
