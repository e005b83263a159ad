"""Products in the table: each change is one transaction, and each failed condition has its name (R5 to R8, R10)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.store.samples import at, create, delete, edit, product, restore
from vitrina.domain.products import Action, describe
from vitrina.errors import Conflict, NotFound, SkuTaken
from vitrina.store import keys
from vitrina.store.items import ChangeItem, DeletionItem, PriceItem, SkuItem
from vitrina.store.operations import Check, Query
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.transactions import Step


@pytest.fixture
def store(table: Table) -> ProductStore:
    """The store, on an empty table."""
    return ProductStore(table)


async def test_a_new_product_is_read_back_as_it_was_made(store: ProductStore) -> None:
    """No field is lost or rounded, whatever its currency's decimals."""
    for currency, price in [("USD", "0.10"), ("JPY", "1200"), ("KWD", "999999999999.125"), ("EUR", "0.00")]:
        made = await create(store, description="Two\nlines", currency=currency, price=Decimal(price))
        assert await store.get(made.id, consistent=True) == made
        assert str((await store.get(made.id, consistent=False) or made).price) == price


async def test_a_product_that_is_not_there_is_none(store: ProductStore) -> None:
    """Reading is no reason to fail."""
    assert await store.get(product().id, consistent=True) is None
    assert await store.holder("NOBODY", consistent=False) is None


async def test_creation_writes_product_sku_change_and_price(store: ProductStore, table: Table) -> None:
    """One transaction, four items."""
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


async def test_a_sku_is_held_without_regard_to_case_and_the_clash_names_the_holder(store: ProductStore) -> None:
    """A clash says which product holds the SKU (R6)."""
    made = await create(store, sku="Lamp-1")
    assert await store.holder("LAMP-1", consistent=True) == made.id
    with pytest.raises(SkuTaken) as taken:
        await create(store, sku="lamp-1")
    assert taken.value.holder_id == made.id


async def test_a_refused_creation_leaves_nothing(store: ProductStore, table: Table) -> None:
    """All or none."""
    await create(store, sku="Lamp-1")
    other = product(sku="LAMP-1")
    with pytest.raises(SkuTaken):
        await store.create(other, describe(None, other, action=Action.CREATED, request_id="test"))
    items, _ = await table.query(Query(condition=ChangeItem.pk == keys.product(other.id).pk, consistent=True), limit=9)
    assert items == []


async def test_an_id_is_used_once(store: ProductStore) -> None:
    """A second product under an id is refused, whatever its SKU."""
    made = await create(store)
    with pytest.raises(Conflict):
        await create(store, id=made.id, sku="another")


async def test_what_goes_along_with_a_creation_decides_first(store: ProductStore) -> None:
    """The steps of `also` are part of the transaction, and their error wins."""
    await create(store, sku="Lamp-1")
    other = product(sku="Lamp-1")
    forbidden = Step(Check(keys.user(other.created_by), ChangeItem.pk.exists()), lambda _: PermissionError())
    with pytest.raises(PermissionError):
        await store.create(other, describe(None, other, action=Action.CREATED, request_id="test"), also=[forbidden])


async def test_an_update_writes_the_next_version_and_its_change(store: ProductStore, table: Table) -> None:
    """Who, when, before and after are kept (R10); a name alone writes no price."""
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
async def test_a_change_of_price_or_currency_carries_the_old_ones(
    store: ProductStore, table: Table, fields: dict[str, Any], old_price: str, old_currency: str
) -> None:
    """That is what the relay filters by (R9), and what the price history begins a period with."""
    before = await create(store)
    after = await edit(store, before, **fields)
    change = await table.get(keys.change(before.id, 2), consistent=True)
    price = await table.get(keys.price(before.id, 2), consistent=True)
    assert isinstance(change, ChangeItem)
    assert (change.old_price, change.old_currency) == (old_price, old_currency)
    assert isinstance(price, PriceItem)
    assert (price.price, price.currency, price.since) == (after.price, after.currency, after.updated_at)


async def test_a_new_sku_is_claimed_and_the_old_one_is_free_at_once(store: ProductStore) -> None:
    """One transaction for both."""
    before = await create(store, sku="Old")
    await edit(store, before, sku="New")
    assert await store.holder("new", consistent=True) == before.id
    assert await store.holder("old", consistent=True) is None
    await create(store, sku="Old")


async def test_a_sku_that_changes_its_case_alone_stays_claimed(store: ProductStore) -> None:
    """Its claim is the same item, which one transaction could not both put and delete."""
    before = await create(store, sku="lamp-1")
    after = await edit(store, before, sku="LAMP-1")
    assert (await store.get(before.id, consistent=True) or before).sku == "LAMP-1"
    assert await store.holder("lamp-1", consistent=True) == after.id


async def test_an_update_to_a_sku_that_is_held_changes_nothing(store: ProductStore) -> None:
    """The error names the holder, and the own SKU stays."""
    holder = await create(store, sku="Held")
    before = await create(store, sku="Mine")
    with pytest.raises(SkuTaken) as taken:
        await edit(store, before, sku="HELD", name="Other")
    assert taken.value.holder_id == holder.id
    assert await store.get(before.id, consistent=True) == before
    assert await store.holder("mine", consistent=True) == before.id


async def test_a_stale_version_is_a_conflict(store: ProductStore) -> None:
    """Who was slower reads again; a stale version comes before a clash of SKUs."""
    before = await create(store)
    await create(store, sku="Held")
    await edit(store, before, name="First")
    with pytest.raises(Conflict):
        await edit(store, before, name="Second")
    with pytest.raises(Conflict):
        await edit(store, before, sku="Held")
    with pytest.raises(Conflict):
        await delete(store, before)


async def test_a_version_of_a_product_that_is_not_there_is_not_found(store: ProductStore) -> None:
    """Nothing comes into being by an update."""
    for change in (edit, delete):
        with pytest.raises(NotFound):
            await change(store, product())


async def test_deletion_renames_frees_and_marks(store: ProductStore, table: Table) -> None:
    """R7: the product stays, its SKU is free, a marker is left, and the change is kept."""
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


async def test_restoring_claims_the_sku_again_and_takes_the_marker_away(store: ProductStore, table: Table) -> None:
    """The way back is one transaction too."""
    deleted = await delete(store, await create(store, sku="Lamp-1"))
    restored = await restore(store, deleted)
    assert await store.get(restored.id, consistent=True) == restored
    assert (restored.sku, restored.version, restored.deleted_at) == ("Lamp-1", 3, None)
    assert await store.holder("lamp-1", consistent=True) == restored.id
    assert await table.get(keys.deletion(restored.id), consistent=True) is None


async def test_restoring_to_a_sku_that_is_held_names_the_holder_and_another_sku_will_do(store: ProductStore) -> None:
    """The caller can give another SKU (R7)."""
    deleted = await delete(store, await create(store, sku="Lamp-1"))
    holder = await create(store, sku="lamp-1")
    with pytest.raises(SkuTaken) as taken:
        await restore(store, deleted)
    assert taken.value.holder_id == holder.id
    restored = await restore(store, deleted, "Lamp-2")
    assert (await store.get(restored.id, consistent=True) or deleted).sku == "Lamp-2"
    assert (await delete(store, restored, minutes=3)).original_sku == "Lamp-2"


async def test_restoring_twice_is_a_conflict(store: ProductStore) -> None:
    """The second has a stale version."""
    deleted = await delete(store, await create(store))
    await restore(store, deleted)
    with pytest.raises(Conflict):
        await restore(store, deleted)


async def test_many_are_read_by_one_call(store: ProductStore) -> None:
    """Those that are not there are left out; naming one twice, or none, is no mistake."""
    made = [await create(store, sku=f"many-{number}") for number in range(3)]
    found = await store.get_many([*(one.id for one in made), made[0].id, product().id])
    assert found == {one.id: one for one in made}
    assert await store.get_many([]) == {}


async def test_holders_are_told_by_the_sku_that_was_asked_for(store: ProductStore) -> None:
    """In whatever case it was asked for, twice in two cases too."""
    made = await create(store, sku="Lamp-1")
    assert await store.holders(["LAMP-1", "lamp-1", "nobody"]) == {"LAMP-1": made.id, "lamp-1": made.id}


async def test_a_sku_is_what_people_knew_the_product_by(store: ProductStore) -> None:
    """Of a deleted product its original one; nothing of one that is not there."""
    live, gone = await create(store, sku="LIVE"), await create(store, sku="GONE")
    await delete(store, gone)
    assert await store.skus([live.id, gone.id, "nothing"]) == {live.id: "LIVE", gone.id: "GONE"}


async def test_two_products_of_one_version_differ_by_nothing_but_what_was_changed(store: ProductStore) -> None:
    """An edit takes every field from its draft."""
    before = await create(store)
    after = await edit(store, before, brand="Other", description="New")
    assert replace(after, **{name: getattr(before, name) for name in ("brand", "description", "version")}) == replace(
        before, updated_at=after.updated_at, updated_by=after.updated_by
    )


async def test_a_refresh_returns_the_same_product_until_it_changes(store: ProductStore) -> None:
    """What has not changed is the very object that was known; what has is read anew; what is gone is left out."""
    kept, changed = await create(store), await create(store)
    never_there = replace(kept, id=product().id)
    after = await edit(store, changed, name="Another name")
    refreshed = await store.refresh([kept, changed, never_there])
    assert refreshed == {kept.id: kept, changed.id: after}
    assert refreshed[kept.id] is kept
    assert await store.refresh([]) == {}


async def test_what_is_known_is_refreshed_where_its_version_has_changed(store: ProductStore) -> None:
    """What has not changed is the very product that was known, what is gone is left out, and none is no mistake."""
    same, changed, deleted = [await create(store, sku=f"known-{number}") for number in range(3)]
    changed_now = await edit(store, changed, price=Decimal(21))
    deleted_now = await delete(store, deleted)
    found = await store.refresh([same, changed, deleted, product()])
    assert found == {same.id: same, changed.id: changed_now, deleted.id: deleted_now}
    assert found[same.id] is same
    assert await store.refresh([same, same]) == {same.id: same}
    assert await store.refresh([]) == {}
