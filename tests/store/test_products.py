"""Each product change is one transaction, and each failed condition has a named error (R5 to R8, R10)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.store.samples import at, create, delete, edit, product, restore
from vitrina.domain.products import Action, describe
from vitrina.errors import Conflict, NotFound, SkuTaken
from vitrina.store import keys
from vitrina.store.items import ChangeItem, DeletionItem, PriceItem, SkuItem
from vitrina.store.operations import Check, Query, Step
from vitrina.store.products import ProductStore
from vitrina.store.table import Table


@pytest.fixture
def store(table: Table) -> ProductStore:
    """The store, on an empty table."""
    return ProductStore(table)


async def test_a_new_product_is_read_back_unchanged(store: ProductStore) -> None:
    """No field is lost or rounded, however many decimals the currency has."""
    for currency, price in [("USD", "0.10"), ("JPY", "1200"), ("KWD", "999999999999.125"), ("EUR", "0.00")]:
        made = await create(store, description="Two\nlines", currency=currency, price=Decimal(price))
        assert await store.get(made.id, consistent=True) == made
        assert str((await store.get(made.id, consistent=False) or made).price) == price


async def test_a_missing_product_is_none(store: ProductStore) -> None:
    assert await store.get(product().id, consistent=True) is None
    assert await store.holder("NOBODY", consistent=False) is None


async def test_creation_writes_product_sku_change_and_price(store: ProductStore, table: Table) -> None:
    """In one transaction of four items."""
    made = await create(store, sku="Lamp-1")
    claim = await table.get(keys.sku("LAMP-1"), consistent=True)
    change = await table.get(keys.change(made.id, 1), consistent=True)
    price = await table.get(keys.price(made.id, 1), consistent=True)
    assert isinstance(claim, SkuItem)
    assert claim.product_id == made.id
    assert isinstance(change, ChangeItem)
    assert (change.action, change.by, change.request_id, change.sku) == ("created", "ana", "test", "Lamp-1")
    assert change.changes["price"] == {"from": None, "to": "19.99"}
    assert isinstance(price, PriceItem)
    assert price.price == Decimal("19.99")


async def test_a_sku_is_unique_regardless_of_case(store: ProductStore) -> None:
    """The error names the product that holds the SKU (R6)."""
    made = await create(store, sku="Lamp-1")
    assert await store.holder("LAMP-1", consistent=True) == made.id
    with pytest.raises(SkuTaken) as taken:
        await create(store, sku="lamp-1")
    assert taken.value.holder_id == made.id


async def test_a_refused_creation_writes_nothing(store: ProductStore, table: Table) -> None:
    await create(store, sku="Lamp-1")
    other = product(sku="LAMP-1")
    with pytest.raises(SkuTaken):
        await store.create(other, describe(None, other, action=Action.CREATED, request_id="test"))
    items, _ = await table.query(Query(condition=ChangeItem.pk == keys.product(other.id).pk, consistent=True), limit=9)
    assert items == []


async def test_an_id_is_used_once(store: ProductStore) -> None:
    """Whatever the SKU of the second product."""
    made = await create(store)
    with pytest.raises(Conflict):
        await create(store, id=made.id, sku="another")


async def test_the_error_of_an_additional_step_takes_precedence(store: ProductStore) -> None:
    """The steps of `also` are part of the creation's transaction."""
    await create(store, sku="Lamp-1")
    other = product(sku="Lamp-1")
    forbidden = Step(Check(keys.user(other.created_by), ChangeItem.pk.exists()), lambda _: PermissionError())
    with pytest.raises(PermissionError):
        await store.create(other, describe(None, other, action=Action.CREATED, request_id="test"), also=[forbidden])


async def test_an_update_writes_the_next_version_and_its_change(store: ProductStore, table: Table) -> None:
    """The change says who changed what and when, from which values to which (R10); a new name writes no price."""
    before = await create(store)
    after = await edit(store, before, name="Big lamp")
    assert await store.get(before.id, consistent=True) == after
    assert (after.version, after.updated_by, after.updated_at) == (2, "luis", at(1))
    change = await table.get(keys.change(before.id, 2), consistent=True)
    assert isinstance(change, ChangeItem)
    assert change.changes == {"name": {"from": "Lamp", "to": "Big lamp"}}
    assert "old_price" not in change.serialize()
    assert await table.get(keys.price(before.id, 2), consistent=True) is None


@pytest.mark.parametrize(
    ("fields", "old_price", "old_currency"),
    [
        ({"price": Decimal("21.00")}, "19.99", "USD"),
        ({"currency": "EUR"}, "19.99", "USD"),
        ({"price": Decimal(2000), "currency": "JPY"}, "19.99", "USD"),
    ],
)
async def test_a_change_of_price_or_currency_contains_the_old_values(
    store: ProductStore, table: Table, fields: dict[str, Any], old_price: str, old_currency: str
) -> None:
    """The relay filters by them (R9), and a period of the price history begins with them."""
    before = await create(store)
    after = await edit(store, before, **fields)
    change = await table.get(keys.change(before.id, 2), consistent=True)
    price = await table.get(keys.price(before.id, 2), consistent=True)
    assert isinstance(change, ChangeItem)
    assert (change.old_price, change.old_currency) == (old_price, old_currency)
    assert isinstance(price, PriceItem)
    assert (price.price, price.currency, price.since) == (after.price, after.currency, after.updated_at)


async def test_a_new_sku_is_claimed_and_the_old_one_released(store: ProductStore) -> None:
    """In one transaction."""
    before = await create(store, sku="Old")
    await edit(store, before, sku="New")
    assert await store.holder("new", consistent=True) == before.id
    assert await store.holder("old", consistent=True) is None
    await create(store, sku="Old")


async def test_a_sku_that_only_changes_case_stays_claimed(store: ProductStore) -> None:
    """Both spellings have the same item, which one transaction cannot put and delete."""
    before = await create(store, sku="lamp-1")
    after = await edit(store, before, sku="LAMP-1")
    assert (await store.get(before.id, consistent=True) or before).sku == "LAMP-1"
    assert await store.holder("lamp-1", consistent=True) == after.id


async def test_an_update_to_a_held_sku_changes_nothing(store: ProductStore) -> None:
    """The error names the holder, and the product keeps its own SKU."""
    holder = await create(store, sku="Held")
    before = await create(store, sku="Mine")
    with pytest.raises(SkuTaken) as taken:
        await edit(store, before, sku="HELD", name="Other")
    assert taken.value.holder_id == holder.id
    assert await store.get(before.id, consistent=True) == before
    assert await store.holder("mine", consistent=True) == before.id


async def test_a_stale_version_is_a_conflict(store: ProductStore) -> None:
    """The conflict takes precedence over a SKU that is held."""
    before = await create(store)
    await create(store, sku="Held")
    await edit(store, before, name="First")
    with pytest.raises(Conflict):
        await edit(store, before, name="Second")
    with pytest.raises(Conflict):
        await edit(store, before, sku="Held")
    with pytest.raises(Conflict):
        await delete(store, before)


async def test_an_update_of_a_missing_product_is_not_found(store: ProductStore) -> None:
    """The update must not create an item."""
    for change in (edit, delete):
        with pytest.raises(NotFound):
            await change(store, product())


async def test_deletion_releases_the_sku_and_writes_a_marker(store: ProductStore, table: Table) -> None:
    """R7: the product stays under a new SKU, and its history has the deletion."""
    before = await create(store, sku="Lamp-1")
    after = await delete(store, before)
    assert await store.get(before.id, consistent=True) == after
    assert after.sku == "Lamp-1_delete_2026-11-24T07:01:00.000Z"
    assert await store.holder("Lamp-1", consistent=True) is None
    marker = await table.get(keys.deletion(before.id), consistent=True)
    assert isinstance(marker, DeletionItem)
    assert (marker.original_sku, marker.deleted_by, marker.deleted_at) == ("Lamp-1", "luis", at(1))
    change = await table.get(keys.change(before.id, 2), consistent=True)
    assert isinstance(change, ChangeItem)
    assert (change.action, change.sku) == ("deleted", "Lamp-1")
    assert change.changes == {"sku": {"from": "Lamp-1", "to": after.sku}}
    await create(store, sku="Lamp-1")


async def test_restoring_claims_the_sku_and_deletes_the_marker(store: ProductStore, table: Table) -> None:
    """In one transaction."""
    deleted = await delete(store, await create(store, sku="Lamp-1"))
    restored = await restore(store, deleted)
    assert await store.get(restored.id, consistent=True) == restored
    assert (restored.sku, restored.version, restored.deleted_at) == ("Lamp-1", 3, None)
    assert await store.holder("lamp-1", consistent=True) == restored.id
    assert await table.get(keys.deletion(restored.id), consistent=True) is None


async def test_restoring_to_a_held_sku_fails_and_another_sku_succeeds(store: ProductStore) -> None:
    """The error names the holder, and the caller may give another SKU (R7)."""
    deleted = await delete(store, await create(store, sku="Lamp-1"))
    holder = await create(store, sku="lamp-1")
    with pytest.raises(SkuTaken) as taken:
        await restore(store, deleted)
    assert taken.value.holder_id == holder.id
    restored = await restore(store, deleted, "Lamp-2")
    assert (await store.get(restored.id, consistent=True) or deleted).sku == "Lamp-2"
    assert (await delete(store, restored, minutes=3)).original_sku == "Lamp-2"


async def test_restoring_twice_is_a_conflict(store: ProductStore) -> None:
    """The second request has a stale version."""
    deleted = await delete(store, await create(store))
    await restore(store, deleted)
    with pytest.raises(Conflict):
        await restore(store, deleted)


async def test_many_products_are_read_by_one_request(store: ProductStore) -> None:
    """Missing products are left out; a repeated id or an empty list is no error."""
    made = [await create(store, sku=f"many-{number}") for number in range(3)]
    found = await store.get_many([*(one.id for one in made), made[0].id, product().id])
    assert found == {one.id: one for one in made}
    assert await store.get_many([]) == {}


async def test_holders_are_returned_by_the_requested_sku(store: ProductStore) -> None:
    """In the requested case, also for one SKU in two cases."""
    made = await create(store, sku="Lamp-1")
    assert await store.holders(["LAMP-1", "lamp-1", "nobody"]) == {"LAMP-1": made.id, "lamp-1": made.id}


async def test_the_sku_of_a_deleted_product_is_its_original_one(store: ProductStore) -> None:
    """A missing product has none."""
    live, gone = await create(store, sku="LIVE"), await create(store, sku="GONE")
    await delete(store, gone)
    assert await store.skus([live.id, gone.id, "nothing"]) == {live.id: "LIVE", gone.id: "GONE"}


async def test_an_edit_changes_only_the_fields_of_its_draft(store: ProductStore) -> None:
    before = await create(store)
    after = await edit(store, before, brand="Other", description="New")
    assert replace(after, **{name: getattr(before, name) for name in ("brand", "description", "version")}) == replace(
        before, updated_at=after.updated_at, updated_by=after.updated_by
    )


async def test_a_refresh_returns_the_same_product_until_it_changes(store: ProductStore) -> None:
    """An unchanged product is the same object; a changed one is read again; a deleted one is left out."""
    kept, changed = await create(store), await create(store)
    never_there = replace(kept, id=product().id)
    after = await edit(store, changed, name="Another name")
    refreshed = await store.refresh([kept, changed, never_there])
    assert refreshed == {kept.id: kept, changed.id: after}
    assert refreshed[kept.id] is kept
    assert await store.refresh([]) == {}


async def test_a_refresh_reads_only_products_with_a_new_version(store: ProductStore) -> None:
    """An unchanged product is the same object, a missing one is left out, and an empty list is no error."""
    same, changed, deleted = [await create(store, sku=f"known-{number}") for number in range(3)]
    changed_now = await edit(store, changed, price=Decimal(21))
    deleted_now = await delete(store, deleted)
    found = await store.refresh([same, changed, deleted, product()])
    assert found == {same.id: same, changed.id: changed_now, deleted.id: deleted_now}
    assert found[same.id] is same
    assert await store.refresh([same, same]) == {same.id: same}
    assert await store.refresh([]) == {}
