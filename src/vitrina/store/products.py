"""Products in the table: the writes of R5 to R8 and R10, each one transaction with its change item."""

from collections.abc import Sequence
from typing import Final

from vitrina.domain.products import Change, Product
from vitrina.errors import Conflict, NotFound, SkuTaken
from vitrina.store import keys
from vitrina.store.codecs import change_item, price_item, product_from, product_item
from vitrina.store.items import DeletionItem, Item, ProductItem, SkuItem
from vitrina.store.table import Table
from vitrina.store.transactions import Step, commit
from vitrina.store.writes import Delete, Put

_ABSENT: Final = Item.pk.does_not_exist()


class ProductStore:
    """Reads and writes single products."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def get(self, product_id: str, *, consistent: bool) -> Product | None:
        """Read a product, live or deleted, by its id: 1 call."""
        item = await self._table.get(keys.product(product_id), consistent=consistent)
        return product_from(item) if isinstance(item, ProductItem) else None

    async def get_many(self, product_ids: Sequence[str], *, consistent: bool = False) -> dict[str, Product]:
        """Read up to 100 products by id, perhaps stale ones unless `consistent`: 1 call."""
        wanted = [keys.product(product_id) for product_id in product_ids]
        found = await self._table.get_many(wanted, consistent=consistent)
        return {item.id: product_from(item) for item in found.values() if isinstance(item, ProductItem)}

    async def refresh(self, known: Sequence[Product]) -> dict[str, Product]:
        """Return up to 100 products as they are now, perhaps stale, by id: 1 call, and another for what has changed.

        A version never changes, so of what is known only the version is asked for. The units are the same, but to take
        whole items out of their JSON and decode them takes longer than all else that a reader of the cache costs.
        """
        wanted = [keys.product(product.id) for product in known]
        raw = await self._table.get_many_raw(wanted, consistent=False, attributes=("id", "version"))
        versions = {item["id"]["S"]: int(item["version"]["N"]) for item in raw}
        same = {product.id: product for product in known if versions.get(product.id) == product.version}
        return same | await self.get_many([product_id for product_id in versions if product_id not in same])

    async def skus(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Return the SKU of each of up to 100 products, perhaps stale: 1 call. Of a deleted one its `original_sku`."""
        wanted = [keys.product(product_id) for product_id in product_ids]
        found = await self._table.get_many_raw(wanted, consistent=False, attributes=("id", "sku", "original_sku"))
        names = {True: "original_sku", False: "sku"}
        return {item["id"]["S"]: item[names["original_sku" in item]]["S"] for item in found}

    async def holder(self, sku: str, *, consistent: bool) -> str | None:
        """Return the id of the live product that holds a SKU: 1 call."""
        item = await self._table.get(keys.sku(sku), consistent=consistent)
        return item.product_id if isinstance(item, SkuItem) else None

    async def holders(self, skus: Sequence[str], *, consistent: bool = False) -> dict[str, str]:
        """Return who holds each of up to 100 SKUs, perhaps stale: product ids by the SKU as it was asked for."""
        found = await self._table.get_many([keys.sku(sku) for sku in skus], consistent=consistent)
        claims = ((sku, found.get(keys.sku(sku))) for sku in skus)
        return {sku: claim.product_id for sku, claim in claims if isinstance(claim, SkuItem)}

    async def create(self, product: Product, change: Change, *, also: Sequence[Step] = ()) -> None:
        """Write a new product and claim its SKU. Raises SkuTaken, and what the steps of `also` raise."""
        await commit(
            self._table,
            [
                *also,
                self._claim_sku(product),
                Step(Put(product_item(product), _ABSENT), _lost_race),
                Step(Put(change_item(change))),
                Step(Put(price_item(product))),
            ],
        )

    async def update(self, before: Product, after: Product, change: Change) -> None:
        """Write the next version. Raises Conflict when `before` is not the version there, SkuTaken."""
        steps = [self._replace(before, after), Step(Put(change_item(change)))]
        if keys.sku(before.sku) != keys.sku(after.sku):
            steps += [self._claim_sku(after), self._free_sku(before)]
        if change.moves_price:
            steps.append(Step(Put(price_item(after))))
        await commit(self._table, steps)

    async def delete(self, before: Product, after: Product, change: Change) -> None:
        """Write the deleted version, free the SKU and leave the marker (R7). Raises Conflict."""
        marker = DeletionItem.keyed(
            keys.deletion(after.id),
            product_id=after.id,
            original_sku=before.sku,
            deleted_at=after.deleted_at,
            deleted_by=after.deleted_by,
        )
        await commit(
            self._table,
            [
                self._replace(before, after),
                self._free_sku(before),
                Step(Put(marker, _ABSENT), _lost_race),
                Step(Put(change_item(change))),
            ],
        )

    async def restore(self, before: Product, after: Product, change: Change) -> None:
        """Write the live version, claim its SKU and take the marker away (R7). Raises Conflict, SkuTaken."""
        await commit(
            self._table,
            [
                self._replace(before, after),
                self._claim_sku(after),
                Step(Delete(keys.deletion(after.id), DeletionItem.original_sku == before.original_sku), _lost_race),
                Step(Put(change_item(change))),
            ],
        )

    def _replace(self, before: Product, after: Product) -> Step:
        return Step(Put(product_item(after), ProductItem.version == before.version), _lost_race)

    def _claim_sku(self, product: Product) -> Step:
        claim = SkuItem.keyed(keys.sku(product.sku), product_id=product.id)
        return Step(Put(claim, _ABSENT), _sku_taken)

    def _free_sku(self, product: Product) -> Step:
        return Step(Delete(keys.sku(product.sku), SkuItem.product_id == product.id), _lost_race)


def _sku_taken(holder: Item | None) -> Exception:
    return SkuTaken(holder.product_id) if isinstance(holder, SkuItem) else Conflict()


def _lost_race(item: Item | None) -> Exception:
    return Conflict() if item is not None else NotFound()
