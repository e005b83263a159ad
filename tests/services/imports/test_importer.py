"""The import into a table: rows while others write to the same products, and while the table is unavailable."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tests.services.imports.catalogue import Catalogue
from vitrina.domain.products import Product, ProductDraft
from vitrina.errors import Conflict, TableUnavailable
from vitrina.ids import new_id
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import Outcome
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store.products import ProductStore


async def test_rows_become_products_and_the_same_rows_change_nothing(catalogue: Catalogue) -> None:
    """Each row is one transaction, whose audit entry names the run and the line (R8, R10)."""
    rows = "A,Lamp,Brightwell,19.99,\nB,Rug,Juniper,5,JPY\n"
    assert await catalogue.imported(rows, run="import-1") == {Outcome.CREATED: 2}
    assert await catalogue.imported(rows) == {Outcome.UNCHANGED: 2}
    assert await catalogue.imported("a,Lamp,Brightwell,20,\n", run="import-2") == {Outcome.UPDATED: 1}
    lamp = await catalogue.products.get_by_sku("A")
    assert (lamp.sku, str(lamp.price), lamp.version, lamp.created_by) == ("a", "20.00", 2, "ana")
    history = await catalogue.products.history(lamp.id, limit=9, start=None)
    assert [(entry.request_id, sorted(entry.changes)) for entry in history.items] == [
        ("import-2/2", ["price", "sku"]),
        ("import-1/2", ["brand", "currency", "name", "price", "sku"]),
    ]


async def test_the_sku_of_a_deleted_product_is_free(catalogue: Catalogue) -> None:
    """A new product is created, and the deleted one is unchanged (R7)."""
    await catalogue.imported("A,Lamp,Brightwell,19.99,\n")
    before = await catalogue.products.get_by_sku("A")
    await catalogue.delete("A")
    assert await catalogue.imported("A,Lamp,Brightwell,19.99,\n") == {Outcome.CREATED: 1}
    assert (await catalogue.products.get_by_sku("A")).id != before.id
    assert (await catalogue.products.get(before.id)).deleted_at is not None


async def test_the_plan_refuses_missing_fields_and_excess_decimals(catalogue: Catalogue) -> None:
    await catalogue.imported("A,Lamp,Brightwell,500,JPY\n")
    with ImportPlan() as plan:
        await catalogue.planned(plan, "A,,,500.5,\nB,Lamp,,1,\nA-2,Lamp,Brightwell,1,\n")
        assert [(row.line, row.reason) for row in plan.results(Outcome.REFUSED)] == [
            (2, "price has more than the 0 decimals of JPY"),
            (3, "no product has this SKU, and a new one needs a brand"),
        ]


async def test_a_row_with_the_id_of_another_product_is_refused(catalogue: Catalogue) -> None:
    """A spreadsheet writes `123` for `000123`; a product is renamed after an export; a row is copied.

    A deleted product, another installation and another system have ids that say nothing.
    """
    skus = ("000123", "12", "0012", "OLD", "GONE")
    await catalogue.imported("".join(f"{sku},Lamp,Brightwell,1,\n" for sku in skus))
    ids = {sku: (await catalogue.products.get_by_sku(sku)).id for sku in skus}
    await catalogue.change("OLD", sku="NEW")
    await catalogue.delete("GONE")
    given = {
        "123": ids["000123"],
        "000123": ids["000123"],
        "12": ids["0012"],
        "OLD": ids["OLD"],
        "GONE": ids["GONE"],
        "OTHER": new_id(),
        "SHOP": "17",
    }
    rows = "".join(f"{sku},Lamp,Brightwell,1,{product_id}\n" for sku, product_id in given.items())
    with ImportPlan() as plan:
        await catalogue.planned(plan, rows, header="sku,name,brand,price,id\n")
        assert [(row.sku, row.reason) for row in plan.results(Outcome.REFUSED)] == [
            (sku, f"its id is that of the product {other!r}: correct the SKU, or empty the id")
            for sku, other in (("123", "000123"), ("12", "0012"), ("OLD", "NEW"))
        ]
        assert [row.sku for row in plan.results(Outcome.CREATE)] == ["GONE", "OTHER", "SHOP"]
        assert plan.counts()[Outcome.UNCHANGED] == 1


async def test_an_error_of_a_spreadsheet_is_refused_unless_the_product_has_it(catalogue: Catalogue) -> None:
    """A lookup that finds nothing must not rename products; what was exported is imported unchanged."""
    await catalogue.imported("A,Lamp,Brightwell,1,\nB,Lamp,Brightwell,1,\n")
    await catalogue.change("B", name="#N/A")
    with ImportPlan() as plan:
        await catalogue.planned(plan, "A,#N/A,Brightwell,2,\nB,#N/A,Brightwell,2,\nC,Lamp,#BEZUG!,1,\n")
        assert [(row.sku, row.reason) for row in plan.results(Outcome.REFUSED)] == [
            ("A", "name is '#N/A', an error of a spreadsheet: correct its formula"),
            ("C", "brand is '#BEZUG!', an error of a spreadsheet: correct its formula"),
        ]
        assert [row.sku for row in plan.results(Outcome.UPDATE)] == ["B"]


async def test_rows_are_compared_again_if_products_changed_after_the_plan(catalogue: Catalogue) -> None:
    await catalogue.imported(
        "".join(f"{sku},Lamp,Brightwell,1,\n" for sku in ("CHANGED", "DELETED", "RENAMED", "SAME"))
    )
    with ImportPlan() as plan:
        skus = ("CHANGED", "DELETED", "RENAMED", "SAME", "MADE", "MADE-2")
        importer = await catalogue.planned(plan, "".join(f"{sku},Lamp,Brightwell,2,\n" for sku in skus))
        changed = await catalogue.change("CHANGED", description="by another")
        renamed = await catalogue.change("RENAMED", sku="ELSEWHERE")
        await catalogue.delete("DELETED")
        await catalogue.change("SAME", price=Decimal(2))
        await catalogue.imported("MADE,Lamp,Brightwell,2,\nMADE-2,Lamp,Brightwell,3,\n")
        await importer.apply(by="ana", run="import-late", at_once=2)
        assert {row.sku: row.outcome for row in plan.results(*Outcome)} == {
            "CHANGED": Outcome.UPDATED,
            "DELETED": Outcome.CREATED,
            "RENAMED": Outcome.CREATED,
            "SAME": Outcome.UNCHANGED,
            "MADE": Outcome.UNCHANGED,
            "MADE-2": Outcome.UPDATED,
        }
    now = await catalogue.products.get(changed.id)
    assert (now.description, str(now.price), now.version) == ("by another", "2.00", 3)
    assert (await catalogue.products.get(renamed.id)).version == renamed.version


async def test_a_row_that_cannot_be_written_any_more_does_not_stop_the_others(catalogue: Catalogue) -> None:
    """A price whose product is gone; a price that no longer fits the currency."""
    await catalogue.imported("GONE,Lamp,Brightwell,1,\nYEN,Lamp,Brightwell,1,\nFINE,Lamp,Brightwell,1,\n")
    with ImportPlan() as plan:
        importer = await catalogue.planned(plan, "GONE,,,2,\nYEN,,,2.5,\nFINE,,,2.5,\n")
        await catalogue.delete("GONE")
        await catalogue.change("YEN", currency="JPY")
        await importer.apply(by="ana", run="import-late")
        assert [(row.line, row.outcome, row.reason) for row in plan.results(*Outcome)] == [
            (2, Outcome.FAILED, "no product has this SKU, and a new one needs a name and a brand"),
            (3, Outcome.FAILED, "price has more than the 0 decimals of JPY"),
            (4, Outcome.UPDATED, ""),
        ]


async def test_two_concurrent_imports_of_a_file_create_each_product_once(catalogue: Catalogue) -> None:
    """Together they handle every row, and no product gets a second version (R6, R8)."""
    rows = "".join(f"SKU-{number},Lamp,Brightwell,1,\n" for number in range(30))
    one, other = await asyncio.gather(catalogue.imported(rows), catalogue.imported(rows))
    assert one.keys() | other.keys() <= {Outcome.CREATED, Outcome.UNCHANGED}
    assert one.get(Outcome.CREATED, 0) + other.get(Outcome.CREATED, 0) == 30
    held = await catalogue.store.holders([f"sku-{number}" for number in range(30)], consistent=True)
    made = await catalogue.store.get_many(list(held.values()), consistent=True)
    assert {one.version for one in made.values()} == {1}
    assert len(made) == 30


class FailingProducts(Products):
    """A service whose first `fails` calls of `create` raise `error`."""

    fails = 0
    error: type[Exception] = TableUnavailable

    async def create(self, draft: ProductDraft, **options: Any) -> Product:  # noqa: ANN401 - as the service has it
        """Raise, or create."""
        if self.fails:
            self.fails -= 1
            raise self.error
        return await super().create(draft, **options)


@pytest.fixture
def failing(catalogue: Catalogue) -> FailingProducts:
    return FailingProducts(catalogue.store, catalogue.products._listings, NoCache())


async def test_a_write_is_retried_during_a_short_outage(catalogue: Catalogue, failing: FailingProducts) -> None:
    failing.fails = 4
    assert await Catalogue(catalogue.store, failing).imported("A,Lamp,Brightwell,1,\n") == {Outcome.CREATED: 1}


async def test_a_long_outage_ends_the_import_and_the_next_run_continues(
    catalogue: Catalogue, failing: FailingProducts
) -> None:
    failing.fails = 10**6
    rows = "A,Lamp,Brightwell,1,\nB,Lamp,Brightwell,1,\n"
    await catalogue.imported("A,Lamp,Brightwell,1,\n")
    with ImportPlan() as plan:
        importer = await Catalogue(catalogue.store, failing).planned(plan, rows)
        with pytest.raises(TableUnavailable):
            await importer.apply(by="ana", run="import-test")
        assert (plan.counts()[Outcome.UNCHANGED], plan.counts()[Outcome.CREATE]) == (1, 1)
    assert await catalogue.imported(rows) == {Outcome.CREATED: 1, Outcome.UNCHANGED: 1}


async def test_a_row_whose_product_keeps_changing_fails(catalogue: Catalogue, failing: FailingProducts) -> None:
    failing.fails, failing.error = 10**6, Conflict
    with ImportPlan() as plan:
        importer = await Catalogue(catalogue.store, failing).planned(plan, "A,Lamp,Brightwell,1,\n")
        await importer.apply(by="ana", run="import-test")
        ((failed),) = plan.results(Outcome.FAILED)
    assert failed.reason == "its product keeps being changed by others"
    assert isinstance(failed.line, int)


async def test_a_product_renamed_between_two_reads_of_the_plan_does_not_count(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SKU item is read before the rename, the product after it."""
    await catalogue.imported("A,Lamp,Brightwell,1,\n")
    holders = catalogue.store.holders

    async def slow(*arguments: Any, **options: Any) -> Mapping[str, str]:  # noqa: ANN401 - as the store has it
        found = await holders(*arguments, **options)
        await catalogue.change("A", sku="B")
        return found

    with ImportPlan() as plan:
        monkeypatch.setattr(ProductStore, "holders", lambda _, *arguments, **options: slow(*arguments, **options))
        await catalogue.planned(plan, "A,Lamp,Brightwell,1,\n")
        assert plan.counts()[Outcome.CREATE] == 1
