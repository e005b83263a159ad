"""Products in the table (R5 to R8, R10). A product and its change item are written in one transaction."""

from collections.abc import Sequence
from typing import Final

from vitrina.domain.products import Change, PlainProduct, Product
from vitrina.errors import Conflict, NotFound, SkuTaken
from vitrina.store import keys
from vitrina.store.codecs.products import (
    change_item,
    deletion_marker,
    plain_product,
    price_item,
    product_from,
    product_item,
    sku_claim,
)
from vitrina.store.items import DeletionItem, Item, ProductItem, SkuItem
from vitrina.store.operations import ABSENT, Delete, Put, Step
from vitrina.store.table import ConditionFailed, Table

SENT_WITHIN: Final = 2.5
"""Seconds within which a change is sent, because readers of the feed go by its time (`services/products/changes.py`).

Later its write raises TimePassed and has to be made again with a new time; TableUnavailable if it may have succeeded.
"""


class ProductStore:
    """Reads and writes single products."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, product_id: str, *, consistent: bool) -> Product | None:
        """Return a product, live or deleted, by its id: 1 call."""
        item = await self._table.get(keys.product(product_id), consistent=consistent)
        return product_from(item) if isinstance(item, ProductItem) else None

    async def get_many(self, product_ids: Sequence[str], *, consistent: bool = False) -> dict[str, Product]:
        """Return up to 100 products by id: 1 call. They may be stale unless `consistent`."""
        wanted = [keys.product(product_id) for product_id in product_ids]
        found = await self._table.get_many(wanted, consistent=consistent)
        return {item.id: product_from(item) for item in found.values() if isinstance(item, ProductItem)}

    async def get_plain(self, product_ids: Sequence[str], *, consistent: bool) -> dict[str, PlainProduct]:
        """Return up to 100 live products as they are to be shown, by id: 1 call."""
        wanted = [keys.product(product_id) for product_id in product_ids]
        raw = await self._table.get_many_raw(wanted, consistent=consistent)
        return {item["id"]["S"]: plain_product(item) for item in raw if "deleted_at" not in item}

    async def refresh(self, known: Sequence[Product]) -> dict[str, Product]:
        """Return the current state of up to 100 products by id; it may be stale. 1 call, 2 if any has changed.

        A version is immutable, so the first call reads only versions. It costs the same units, but decoding whole items
        would take more CPU time than all other work for a reader of the cache.
        """
        wanted = [keys.product(product.id) for product in known]
        raw = await self._table.get_many_raw(wanted, consistent=False, attributes=("id", "version"))
        versions = {item["id"]["S"]: int(item["version"]["N"]) for item in raw}
        same = {product.id: product for product in known if versions.get(product.id) == product.version}
        return same | await self.get_many([product_id for product_id in versions if product_id not in same])

    async def skus(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Return the SKUs of up to 100 products, `original_sku` for deleted ones: 1 call. They may be stale."""
        wanted = [keys.product(product_id) for product_id in product_ids]
        found = await self._table.get_many_raw(wanted, consistent=False, attributes=("id", "sku", "original_sku"))
        return {item["id"]["S"]: item["original_sku" if "original_sku" in item else "sku"]["S"] for item in found}

    async def holder(self, sku: str, *, consistent: bool) -> str | None:
        """Return the id of the live product with a SKU: 1 call."""
        item = await self._table.get(keys.sku(sku), consistent=consistent)
        return item.product_id if isinstance(item, SkuItem) else None

    async def holders(self, skus: Sequence[str], *, consistent: bool = False) -> dict[str, str]:
        """Return the ids of the live products with these SKUs, by given SKU: 1 call for 100. They may be stale."""
        found = await self._table.get_many([keys.sku(sku) for sku in skus], consistent=consistent)
        claims = ((sku, found.get(keys.sku(sku))) for sku in skus)
        return {sku: claim.product_id for sku, claim in claims if isinstance(claim, SkuItem)}

    async def live_by_sku(self, skus: Sequence[str], *, consistent: bool) -> dict[str, Product]:
        """Return the live products with these SKUs, by given SKU: 2 calls for 100."""
        holders = await self.holders(skus, consistent=consistent)
        products = await self.get_many(list(holders.values()), consistent=consistent)
        # A product may have been deleted or renamed between the two reads.
        found = ((sku, products.get(product_id)) for sku, product_id in holders.items())
        return {sku: product for sku, product in found if product is not None and product.holds(sku)}

    async def create(self, product: Product, change: Change, *, also: Sequence[Step] = ()) -> None:
        """Write a new product and claim its SKU. Raises SkuTaken and the errors of the steps in `also`."""
        await self._table.commit([
            *also,
            self._claim_sku(product),
            Step(Put(product_item(product), ABSENT), _lost_race),
            Step(Put(change_item(change))),
            Step(Put(price_item(product))),
        ], within=SENT_WITHIN)  # fmt: skip

    async def update(self, before: Product, after: Product, change: Change, *, also: Sequence[Step] = ()) -> None:
        """Write the next version. Raises Conflict if `before` is not the stored version, NotFound, SkuTaken.

        It, `delete` and `restore` also raise the errors of the steps in `also`.
        """
        steps = [*also, self._replace(before, after), Step(Put(change_item(change)))]
        if keys.sku(before.sku) != keys.sku(after.sku):
            steps += [self._claim_sku(after), self._release_sku(before)]
        if change.moves_price:
            steps.append(Step(Put(price_item(after))))
        await self._table.commit(steps, within=SENT_WITHIN)

    async def delete(self, before: Product, after: Product, change: Change, *, also: Sequence[Step] = ()) -> None:
        """Write the deleted version, release the SKU and put the marker (R7). Raises Conflict, NotFound."""
        await self._table.commit([
            *also,
            self._replace(before, after),
            self._release_sku(before),
            Step(Put(deletion_marker(after), ABSENT), _lost_race),
            Step(Put(change_item(change))),
        ], within=SENT_WITHIN)  # fmt: skip

    async def restore(self, before: Product, after: Product, change: Change, *, also: Sequence[Step] = ()) -> None:
        """Write the live version, claim its SKU and delete the marker (R7). Raises Conflict, NotFound, SkuTaken."""
        await self._table.commit([
            *also,
            self._replace(before, after),
            self._claim_sku(after),
            Step(Delete(keys.deletion(after.id), DeletionItem.original_sku == before.original_sku), _lost_race),
            Step(Put(change_item(change))),
        ], within=SENT_WITHIN)  # fmt: skip

    async def write_alone(self, steps: Sequence[Step]) -> None:
        """Write the puts that go with an update without new values: 1 call for each. Raises the errors of the steps."""
        for step in steps:
            assert isinstance(step.write, Put)  # noqa: S101 - what callers have to write is a stored response
            try:
                await self._table.put(step.write)
            except ConditionFailed as failure:
                raise step.otherwise(failure.item) from failure

    def _replace(self, before: Product, after: Product) -> Step:
        return Step(Put(product_item(after), ProductItem.version == before.version), _lost_race)

    def _claim_sku(self, product: Product) -> Step:
        return Step(Put(sku_claim(product), ABSENT), _sku_taken)

    def _release_sku(self, product: Product) -> Step:
        return Step(Delete(keys.sku(product.sku), SkuItem.product_id == product.id), _lost_race)


def _sku_taken(holder: Item | None) -> Exception:
    return SkuTaken(holder.product_id) if isinstance(holder, SkuItem) else Conflict()


def _lost_race(item: Item | None) -> Exception:
    return Conflict() if item is not None else NotFound()
