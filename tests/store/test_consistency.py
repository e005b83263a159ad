# ruff: noqa: ANN401 - a wrapper has the types of the wrapped function
"""The consistency check finds and repairs violations, leaves disputes to a person, and tolerates concurrent writes."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from tests.aws_simulator.proxy import ManualClock, simulate
from tests.aws_simulator.staleness import Staleness
from tests.store.samples import HASH, at, create, delete, edit, product, restore, user
from vitrina.aws import connect
from vitrina.config import Settings
from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store import consistency, keys, table as table_module
from vitrina.store.codecs.accounts import password_item, user_item
from vitrina.store.codecs.products import product_item
from vitrina.store.consistency import check
from vitrina.store.constraints import CountMismatch
from vitrina.store.findings import Finding, Problem
from vitrina.store.items import DeletionItem, EmailItem, Item, SkuItem, SuperAdminsItem
from vitrina.store.operations import Delete, Put, Query
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore


@dataclass(frozen=True)
class Harness:
    """A table and its stores."""

    table: Table
    products: ProductStore
    users: UserStore

    async def check(self, *, repair: bool = False) -> list[tuple[str, str, bool]]:
        """Return the problem, the constraint and whether it was repaired, for each finding."""
        found = [finding async for finding in check(self.table, repair=repair)]
        return sorted((finding.problem.value, finding.what, finding.repaired) for finding in found)

    async def lose(self, key: keys.Key) -> None:
        """Delete an item."""
        await self.table.delete(Delete(key))

    async def write(self, *items: Item) -> None:
        """Write items without conditions."""
        for item in items:
            await self.table.put(Put(item))


@pytest.fixture
def harness(table: Table) -> Harness:
    """An empty harness."""
    return Harness(table, ProductStore(table), UserStore(table))


def sku_item(sku: str, product_id: str) -> SkuItem:
    """Return the item that claims a SKU."""
    return SkuItem.keyed(keys.sku(sku), product_id=product_id)


async def test_no_finding_in_what_the_stores_write(harness: Harness) -> None:
    """After every kind of write, and in an empty table."""
    assert await harness.check() == []
    one, two = await create(harness.products, sku="One"), await create(harness.products, sku="Two")
    one = await edit(harness.products, one, sku="Uno")
    two = await delete(harness.products, two)
    await restore(harness.products, await delete(harness.products, one, minutes=2), "Other", minutes=3)
    await create(harness.products, sku="two")
    for role in Role:
        await harness.users.create(user(role=role), HASH)
    assert await harness.check(repair=True) == []


async def test_a_live_product_without_its_sku_item_gets_one(harness: Harness) -> None:
    made = await create(harness.products, sku="Lamp-1")
    await harness.lose(keys.sku("lamp-1"))
    assert await harness.check() == [("missing", "sku", False)]
    assert await harness.products.holder("lamp-1", consistent=True) is None
    assert await harness.check(repair=True) == [("missing", "sku", True)]
    assert await harness.products.holder("lamp-1", consistent=True) == made.id
    assert await harness.check() == []


@pytest.mark.parametrize("kind", ["nobody", "deleted", "renamed"])
async def test_an_orphaned_sku_item_is_deleted(harness: Harness, kind: str) -> None:
    """Its product does not exist, is deleted, or has another SKU."""
    made = await create(harness.products, sku="Other")
    if kind == "deleted":
        await delete(harness.products, made)
    await harness.write(sku_item("Lamp-1", product().id if kind == "nobody" else made.id))
    assert await harness.check() == [("orphan", "sku", False)]
    assert await harness.check(repair=True) == [("orphan", "sku", True)]
    assert await harness.check() == []
    await create(harness.products, sku="Lamp-1")


async def test_two_products_of_one_sku_are_reported_and_not_repaired(harness: Harness) -> None:
    """The SKU item stays with its holder; a person has to decide."""
    holder, rival = await create(harness.products, sku="Lamp-1"), product(sku="LAMP-1")
    await harness.write(product_item(rival))
    assert await harness.check() == [("disputed", "sku", False)]
    found = [finding async for finding in check(harness.table, repair=True)]
    assert found == [
        Finding(
            what="sku",
            problem=Problem.DISPUTED,
            detail=f"SKU#lamp-1/SKU is PRODUCT#{holder.id}/PRODUCT's, and PRODUCT#{rival.id}/PRODUCT claims it too",
        )
    ]
    assert await harness.products.holder("lamp-1", consistent=True) == holder.id
    await edit(harness.products, holder, sku="Lamp-2")
    assert await harness.check(repair=True) == [("missing", "sku", True)]
    assert await harness.products.holder("lamp-1", consistent=True) == rival.id


@pytest.mark.parametrize("kind", ["nobody", "deleted", "renamed"])
async def test_a_wrongly_held_sku_item_moves_to_its_product(harness: Harness, kind: str) -> None:
    """The existing item is an orphan and the right one is missing; both are repaired in either order."""
    made, other = await create(harness.products, sku="Lamp-1"), await create(harness.products, sku="Other")
    if kind == "deleted":
        await delete(harness.products, other)
    await harness.write(sku_item("Lamp-1", product().id if kind == "nobody" else other.id))
    assert await harness.check() == [("missing", "sku", False), ("orphan", "sku", False)]
    found = await harness.check(repair=True)
    assert ("missing", "sku", True) in found
    assert all(repaired for _, _, repaired in found)
    assert await harness.products.holder("lamp-1", consistent=True) == made.id
    assert await harness.check() == []


async def test_deletion_markers_are_created_corrected_and_deleted(harness: Harness) -> None:
    """Restoring a product (R7) requires the marker and the SKU in it."""
    bare, wrong = [
        await delete(harness.products, await create(harness.products, sku=sku), minutes=3) for sku in ("Bare", "Wrong")
    ]
    live = await create(harness.products, sku="Live")
    await harness.lose(keys.deletion(bare.id))
    said = {"deleted_at": at(9), "deleted_by": "x"}
    gone = product().id
    await harness.write(
        DeletionItem.keyed(keys.deletion(wrong.id), product_id=wrong.id, original_sku="no", **said),
        DeletionItem.keyed(keys.deletion(live.id), product_id=live.id, original_sku="Live", **said),
        DeletionItem.keyed(keys.deletion(gone), product_id=gone, original_sku="Gone", **said),
    )
    expected = [("missing", "deletion"), ("missing", "deletion"), ("orphan", "deletion"), ("orphan", "deletion")]
    assert await harness.check() == [(*each, False) for each in expected]
    assert await harness.check(repair=True) == [(*each, True) for each in expected]
    assert await harness.check() == []
    marker = await harness.table.get(keys.deletion(bare.id), consistent=True)
    assert isinstance(marker, DeletionItem)
    assert (marker.original_sku, marker.deleted_by, marker.deleted_at) == ("Bare", "luis", at(3))
    for one in (bare, wrong):
        await restore(harness.products, one, minutes=4)
    assert await harness.check() == []


async def test_email_items_are_repaired_as_sku_items_are(harness: Harness) -> None:
    """Missing ones are created, orphans are deleted, and disputes are left to a person."""
    bare, holder, rival = [user(email=f"{name}@example.com") for name in ("bare", "held", "HELD")]
    for one in (bare, holder):
        await harness.users.create(one, HASH)
    await harness.lose(keys.email("bare@example.com"))
    await harness.write(
        EmailItem.keyed(keys.email("orphan@example.com"), user_id=user().id),
        user_item(rival),
        password_item(rival.id, HASH),
    )
    expected = [("disputed", "email"), ("missing", "email"), ("orphan", "email")]
    assert await harness.check() == [(*each, False) for each in expected]
    assert await harness.check(repair=True) == [(*each, each[0] != "disputed") for each in expected]
    assert await harness.users.by_email("bare@example.com") == bare
    assert await harness.users.by_email("held@example.com") == holder
    assert not await harness.users.email_is_taken("orphan@example.com")


async def test_an_email_item_of_before_migration_3_is_no_orphan(harness: Harness) -> None:
    """Its account signs in by it; where another account has the address by IDNA 2008, a person decides."""
    one, other = user(email="uma@faß.example"), user(email="uma@xn--fa-hia.example")
    await harness.users.create(other, HASH)
    older, _ = keys.emails(one.email)
    await harness.write(user_item(one), password_item(one.id, HASH), EmailItem.keyed(older, user_id=one.id))
    assert await harness.check(repair=True) == [("disputed", "email", False)]
    assert await harness.users.by_email("uma@faß.example") == one
    assert await harness.users.by_email("uma@xn--fa-hia.example") == other


@pytest.mark.parametrize(("said", "there"), [(None, 2), (1, 2), (3, 2), (7, 0)])
async def test_a_wrong_count_of_super_admins_is_corrected(harness: Harness, said: int | None, there: int) -> None:
    """The rule that one super_admin must remain (R1) relies on the count."""
    for _ in range(there):
        await harness.users.create(user(role=Role.SUPER_ADMIN), HASH)
    if said is None:
        await harness.lose(keys.SUPER_ADMINS)
    else:
        await harness.write(SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=said))
    assert await harness.check() == [("miscounted", "super_admins", False)]
    assert await harness.check(repair=True) == [("miscounted", "super_admins", True)]
    counter = await harness.table.get(keys.SUPER_ADMINS, consistent=True)
    assert isinstance(counter, SuperAdminsItem)
    assert counter.members == there
    assert await harness.check() == []


async def test_a_large_table_is_scanned_page_by_page(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """No item is missed between pages, and progress counts every item scanned."""
    monkeypatch.setattr(consistency, "_PAGE", 3)
    monkeypatch.setattr(table_module, "MOST_KEYS", 4)
    made = [await create(harness.products, sku=f"S{number}") for number in range(30)]
    for one in made[::5]:
        await harness.lose(keys.sku(one.sku))
    looked_at: list[int] = []
    found = [finding async for finding in check(harness.table, progress=looked_at.append)]
    assert {finding.problem for finding in found} == {Problem.MISSING}
    assert len(found) == 6
    assert sum(looked_at) == 54
    assert len(looked_at) > 2


async def test_items_of_an_unknown_type_are_skipped(harness: Harness) -> None:
    """A newer release may already be writing them."""
    await harness.table._writer.put_item(
        TableName=harness.table.name, Item={"pk": {"S": "NEWER#1"}, "sk": {"S": "NEWER"}, "type": {"S": "newer"}}
    )
    assert await harness.check() == []


Interfere = Callable[[Harness], Awaitable[object]]


@contextmanager
def interfering(harness: Harness, name: str, interfere: Interfere, *, first: int = 0, times: int = 1) -> Iterator[None]:
    """Run a function before each of `times` requests of the table, after the `first` ones."""
    call: Callable[..., Awaitable[Any]] = getattr(harness.table, name)
    number = 0

    async def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal number
        number += 1
        if first < number <= first + times:
            setattr(harness.table, name, call)
            try:
                await interfere(harness)
            finally:
                setattr(harness.table, name, wrapped)
        return await call(*arguments, **options)

    setattr(harness.table, name, wrapped)
    yield
    setattr(harness.table, name, call)


@pytest.mark.parametrize("position", range(5))
async def test_a_product_changed_during_the_check_is_no_finding(harness: Harness, position: int) -> None:
    """Between the scan and any later read, the SKU changes or the product is deleted or restored."""
    made = await create(harness.products, sku="A")
    state = [made]

    async def move(harness: Harness) -> None:
        last = state[-1]
        state.append(await edit(harness.products, last, sku=f"B{len(state)}", price=Decimal(len(state))))

    with interfering(harness, "get_many", move, first=position, times=2):
        assert await harness.check(repair=True) == []
    assert (await harness.products.get(made.id, consistent=True)) == state[-1]
    state.append(await delete(harness.products, state[-1], minutes=5))
    assert await harness.check() == []


@pytest.mark.parametrize("position", range(3))
async def test_a_product_deleted_during_the_check_is_no_finding(harness: Harness, position: int) -> None:
    """The deletion may also come between two reads."""
    made = await create(harness.products, sku="A")
    with interfering(harness, "get_many", lambda harness: delete(harness.products, made), first=position):
        assert await harness.check(repair=True) == []
    assert await harness.check() == []


async def test_an_item_changed_before_its_repair_is_examined_again(harness: Harness) -> None:
    """The repair's transaction fails, and the second examination finds no violation or another one."""
    made = await create(harness.products, sku="Lamp-1")
    await harness.lose(keys.sku("lamp-1"))
    claimed: list[Any] = []

    async def take_the_sku(harness: Harness) -> None:
        claimed.append(await create(harness.products, sku="LAMP-1"))

    with interfering(harness, "commit", take_the_sku):
        assert await harness.check(repair=True) == [("disputed", "sku", False)]
    assert await harness.products.holder("lamp-1", consistent=True) == claimed[0].id
    assert await harness.products.get(made.id, consistent=True) == made


async def test_an_orphan_claimed_before_its_repair_is_kept(harness: Harness) -> None:
    """It is no longer an orphan."""
    nobody = product(sku="Lamp-1")
    await harness.write(sku_item("Lamp-1", nobody.id))
    with interfering(harness, "commit", lambda harness: harness.write(product_item(nobody))):
        assert await harness.check(repair=True) == []
    assert await harness.products.holder("lamp-1", consistent=True) == nobody.id


async def test_an_item_that_keeps_changing_is_left_for_another_run(harness: Harness) -> None:
    """It is reported as found after three attempts."""
    made = await create(harness.products, sku="Lamp-1")
    await harness.lose(keys.sku("lamp-1"))
    states = [made]

    async def rename(harness: Harness) -> None:
        states.append(await edit(harness.products, states[-1], name=f"N{len(states)}"))

    with interfering(harness, "commit", rename, times=99):
        assert await harness.check(repair=True) == [("missing", "sku", False)]

    async def conflict(_: Harness) -> None:
        raise Conflict

    with interfering(harness, "commit", conflict, times=99):
        assert await harness.check(repair=True) == [("missing", "sku", False)]


@pytest.mark.parametrize("call", ["scan", "query", "get_many", "get"])
async def test_a_role_change_during_the_count_is_no_finding(harness: Harness, call: str) -> None:
    """The change comes before each of the reads that the count uses."""
    for _ in range(3):
        await harness.users.create(user(role=Role.SUPER_ADMIN), HASH)
    guest = user(role=Role.SUPER_ADMIN)
    with interfering(harness, call, lambda harness: harness.users.create(guest, HASH)):
        assert await harness.check(repair=True) == []
    with interfering(harness, call, lambda harness: harness.users.delete(guest)):
        assert await harness.check(repair=True) == []
    assert await harness.users.get(guest.id) is None
    counter = await harness.table.get(keys.SUPER_ADMINS, consistent=True)
    assert isinstance(counter, SuperAdminsItem)
    assert counter.members == 3


async def test_a_lagging_index_makes_no_wrong_count(settings: Settings, harness: Harness) -> None:
    """Nor does a scan that has passed the place of a new super_admin."""
    clock = ManualClock()
    async with (
        simulate(settings.writer_endpoint or "", [Staleness(clock, random.Random(1), lagging=1)]) as urls,
        connect(settings.model_copy(update={"writer_endpoint": urls.dynamodb})) as clients,
    ):
        lagging = Table(clients, name=settings.table_name, deadline=30)
        for _ in range(2):
            await UserStore(lagging).create(user(role=Role.SUPER_ADMIN), HASH)
        group = Item.listing_group == keys.role_group(Role.SUPER_ADMIN)
        assert await lagging.query(Query(condition=group, index=keys.GROUP_BY_TIME), limit=9) == ([], None)
        assert await CountMismatch(known=set()).examine(lagging) is None
        await harness.write(SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=7))
        wrong = await CountMismatch(known=set()).examine(lagging)
        assert wrong is not None
        assert wrong.finding.detail.endswith("says 7 where there are 2")


async def test_the_check_runs_beside_a_busy_service(harness: Harness) -> None:
    """The check reports and repairs nothing while products are created, renamed, deleted and restored."""
    made = [await create(harness.products, sku=f"S{number}") for number in range(4)]
    stop = False

    async def be_busy(number: int) -> None:
        latest = made[number]
        turn = 0
        while not stop:
            turn += 1
            latest = await edit(harness.products, latest, sku=f"S{number}-{turn}", minutes=turn)
            latest = await delete(harness.products, latest, minutes=turn)
            latest = await restore(harness.products, latest, f"T{number}-{turn}", minutes=turn)

    busy = [asyncio.create_task(be_busy(number)) for number in range(len(made))]
    found = [each for _ in range(2) for each in await harness.check(repair=True)]
    stop = True
    await asyncio.gather(*busy)
    assert found == []
    assert await harness.check() == []


def test_a_key_is_an_items_own() -> None:
    one = product()
    assert product_item(one).key == keys.product(one.id)
    assert product_item(replace(one, deleted_at=at(1))).key == keys.product(one.id)
