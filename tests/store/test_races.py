"""Of racing writers one succeeds, the others get an error, and no write is partial. Runs on DynamoDB Local."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

import pytest

from tests.store.samples import HASH, START, at, create, delete, edit, product, restore, session, user
from vitrina.domain.products import Action, describe
from vitrina.domain.users import Role
from vitrina.errors import Conflict, EmailTaken, LastSuperAdmin, SkuTaken
from vitrina.store import consistency, keys
from vitrina.store.idempotency import AlreadyAnswered, Claim, IdempotencyStore, StoredResponse
from vitrina.store.items import SuperAdminsItem
from vitrina.store.listings import ProductListings
from vitrina.store.login_attempts import LoginAttemptStore
from vitrina.store.products import ProductStore
from vitrina.store.retries import TimePassed
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

T = TypeVar("T")


@pytest.fixture
def store(table: Table) -> ProductStore:
    """The store of products, on an empty table."""
    return ProductStore(table)


async def at_once(work: Iterable[Awaitable[T]]) -> tuple[list[T], list[Exception]]:
    """Await all of it concurrently; returns the results of those that succeeded and the errors of the others."""
    results = await asyncio.gather(*work, return_exceptions=True)
    failed = [result for result in results if isinstance(result, Exception)]
    return [result for result in results if not isinstance(result, BaseException)], failed


async def nothing_is_torn(table: Table) -> bool:
    """Check that the SKU items and deletion markers match the products."""
    return [finding async for finding in consistency.check(table)] == []


@pytest.mark.engine("dynamodb_local", "ministack")
@pytest.mark.parametrize("rivals", [40, 200])
async def test_of_many_creations_of_one_sku_one_succeeds(store: ProductStore, table: Table, rivals: int) -> None:
    """The errors of the others name the holder, whatever the case of their SKU (R6)."""
    spellings = ["lamp-1", "Lamp-1", "LAMP-1"]
    made, failed = await at_once(create(store, sku=spellings[number % 3]) for number in range(rivals))
    assert len(made) == 1
    assert Counter(type(error) for error in failed) == {SkuTaken: rivals - 1}
    assert {error.holder_id for error in failed if isinstance(error, SkuTaken)} == {made[0].id}
    page = await ProductListings(table).history(made[0].id, limit=9, start=None)
    assert len(page.items) == 1
    assert await nothing_is_torn(table)


async def test_of_many_accounts_with_one_domain_in_two_spellings_one_is_created(table: Table) -> None:
    """In Unicode and as A-labels."""
    users = UserStore(table)
    spellings = ["uma@faß.example", "UMA@xn--fa-hia.example"]
    made, failed = await at_once(users.create(user(email=spellings[number % 2]), HASH) for number in range(40))
    assert len(made) == 1
    assert Counter(type(error) for error in failed) == {EmailTaken: 39}
    assert await nothing_is_torn(table)


async def test_of_many_changes_of_one_version_one_succeeds(store: ProductStore) -> None:
    """The others get a conflict and write nothing."""
    before = await create(store)
    made, failed = await at_once(edit(store, before, name=f"N{number}") for number in range(40))
    assert len(made) == 1
    assert Counter(type(error) for error in failed) == {Conflict: 39}
    assert await store.get(before.id, consistent=True) == made[0]


@pytest.mark.engine("dynamodb_local", "aws")
async def test_every_retried_change_is_written_once(store: ProductStore, table: Table) -> None:
    """By 20 writers of one product: the version counts all changes, and the history has each (R10)."""
    made = await create(store, price=Decimal(0))

    async def raise_price() -> None:
        while True:
            before = await store.get(made.id, consistent=True)
            assert before is not None
            try:
                await edit(store, before, price=before.price + 1)
            except (Conflict, TimePassed):
                continue
            return

    await asyncio.gather(*(raise_price() for _ in range(20)))
    last = await store.get(made.id, consistent=True)
    assert last is not None
    assert (last.version, last.price) == (21, Decimal(20))
    listings = ProductListings(table)
    # On AWS the history may be a moment old.
    while len((history := await listings.history(made.id, limit=100, start=None)).items) < 21:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    prices = await listings.prices(made.id, limit=100, start=None, consistent=True)
    assert [change.version for change in history.items] == list(range(21, 0, -1))
    assert [period.price for period in prices.items] == [Decimal(number) for number in range(20, -1, -1)]


async def test_products_that_want_each_others_sku_do_not_both_get_it(store: ProductStore, table: Table) -> None:
    """At most one of the waiting products gets a released SKU."""
    holder = await create(store, sku="Wanted")
    rivals = [await create(store) for _ in range(12)]
    work = [edit(store, holder, sku="Other"), *(edit(store, one, sku="WANTED") for one in rivals)]
    made, failed = await at_once(work)
    assert holder.id in {one.id for one in made}
    assert all(isinstance(error, SkuTaken) for error in failed)
    winners = [one.id for one in made if one.id != holder.id]
    assert winners in ([], [await store.holder("wanted", consistent=True)])
    assert await nothing_is_torn(table)


async def test_of_a_deletion_and_changes_of_one_version_one_succeeds(store: ProductStore, table: Table) -> None:
    for _ in range(5):
        before = await create(store)
        work = [delete(store, before), *(edit(store, before, sku=f"{before.sku}-{number}") for number in range(4))]
        made, failed = await at_once(work)
        assert len(made) == 1
        assert all(isinstance(error, Conflict) for error in failed)
        assert await store.get(before.id, consistent=True) == made[0]
    assert await nothing_is_torn(table)


async def test_of_a_restore_and_creations_of_its_sku_one_succeeds(store: ProductStore, table: Table) -> None:
    """The other errors name the holder (R7), and a product whose restore failed stays deleted."""
    for _ in range(5):
        deleted = await delete(store, await create(store, sku="Lamp-1"))
        made, failed = await at_once([restore(store, deleted), *(create(store, sku="LAMP-1") for _ in range(5))])
        assert len(made) == 1
        assert {error.holder_id for error in failed if isinstance(error, SkuTaken)} == {made[0].id}
        assert len(failed) == 5
        assert await store.holder("lamp-1", consistent=True) == made[0].id
        await delete(store, made[0], minutes=3)
    assert await nothing_is_torn(table)


async def test_of_many_restores_of_one_product_one_succeeds(store: ProductStore, table: Table) -> None:
    """To one SKU or to several."""
    deleted = await delete(store, await create(store, sku="Lamp-1"))
    made, failed = await at_once(restore(store, deleted, f"Lamp-{number % 4}") for number in range(20))
    assert len(made) == 1
    assert all(isinstance(error, Conflict | SkuTaken) for error in failed)
    assert await store.get(deleted.id, consistent=True) == made[0]
    assert await nothing_is_torn(table)


@pytest.mark.parametrize("rivals", [40, 200])
async def test_of_many_accounts_of_one_email_one_succeeds(table: Table, rivals: int) -> None:
    """Whatever the case of the address."""
    store = UserStore(table)
    spellings = ["uma@example.com", "UMA@example.com"]
    accounts = [user(email=spellings[number % 2]) for number in range(rivals)]
    made, failed = await at_once(store.create(account, HASH) for account in accounts)
    assert len(made) == 1
    assert Counter(type(error) for error in failed) == {EmailTaken: rivals - 1}
    assert await store.by_email("uma@example.com") in accounts
    assert await nothing_is_torn(table)


async def test_concurrent_removals_leave_one_super_admin(table: Table) -> None:
    """All of them are deleted and demoted concurrently, round after round (R1)."""
    store = UserStore(table)
    for _ in range(5):
        supers = [user(role=Role.SUPER_ADMIN) for _ in range(8)]
        for one in supers:
            await store.create(one, HASH)
        listed = (await store.page(role=Role.SUPER_ADMIN, limit=99, start=None)).items
        work = [
            store.update(one, replace(one, role=Role.ADMIN, version=one.version + 1))
            if number % 2
            else store.delete(one)
            for number, one in enumerate(listed)
        ]
        made, failed = await at_once(work)
        assert len(made) == len(listed) - 1
        assert [type(error) for error in failed] == [LastSuperAdmin]
        counter = await table.get(keys.SUPER_ADMINS, consistent=True)
        assert isinstance(counter, SuperAdminsItem)
        assert counter.members == 1
    assert await nothing_is_torn(table)


@pytest.mark.engine("dynamodb_local", "aws")
async def test_of_many_rotations_of_one_session_one_succeeds(table: Table) -> None:
    """One refresh token must never lead to two valid families (R14)."""
    store = SessionStore(table)
    owner = user()
    await UserStore(table).create(owner, HASH)
    made = session(owner)
    await store.create(made)
    rotated, failed = await at_once(store.rotate(made, at=at(1), expires_at=at(61)) for _ in range(50))
    assert failed == []
    assert Counter(rotated) == {True: 1, False: 49}
    found = await store.with_user(owner.id, made.id, at=at(2))
    assert found is not None
    assert found[1].generation == 2


async def test_concurrent_failed_sign_ins_are_all_counted(table: Table) -> None:
    store = LoginAttemptStore(table)
    counts, _ = await at_once(store.add("ana", window=1, seconds=900, number=1) for _ in range(60))
    assert sorted(counts) == list(range(1, 61))


@pytest.mark.engine("dynamodb_local", "aws")
async def test_concurrent_creations_under_one_key_create_one_product(store: ProductStore, table: Table) -> None:
    """The others get the first response."""
    answers = IdempotencyStore(table)
    claim = Claim(
        owner="ana",
        route="products",
        key_fingerprint="key",
        body_fingerprint="body",
        made_at=START,
        expires_at=START + timedelta(hours=1),
    )

    async def make() -> str:
        one = product(sku="Lamp-1")
        step = answers.step(claim, StoredResponse(status=201, headers={}, body=one.id.encode()))
        await store.create(one, describe(None, one, action=Action.CREATED, request_id="test"), also=[step])
        return one.id

    made, failed = await at_once(make() for _ in range(40))
    assert len(made) == 1
    assert {error.response.body.decode() for error in failed if isinstance(error, AlreadyAnswered)} == set(made)
    assert len(failed) == 39
    assert await store.holder("lamp-1", consistent=True) == made[0]


async def test_one_request_takes_over_an_expired_key(table: Table) -> None:
    """An expired response that TTL has not deleted counts as missing, but only one request may replace it."""
    answers = IdempotencyStore(table)

    def claim(hours: int) -> Claim:
        made_at = START + timedelta(hours=hours)
        return Claim(
            owner="ana",
            route="products",
            key_fingerprint="key",
            body_fingerprint="body",
            made_at=made_at,
            expires_at=made_at + timedelta(hours=1),
        )

    await answers.keep(claim(0), StoredResponse(status=201, headers={}, body=b"old"))
    late = [StoredResponse(status=201, headers={}, body=str(number).encode()) for number in range(30)]
    kept, failed = await at_once(answers.keep(claim(2), answer) for answer in late)
    assert len(kept) == 1
    assert len({error.response.body for error in failed if isinstance(error, AlreadyAnswered)} - {b"old"}) == 1
    assert len(failed) == 29
