"""Reads of many products by their ids or SKUs."""

from dataclasses import dataclass
from typing import Literal

from vitrina.domain.products import PlainProduct, is_sku
from vitrina.domain.text import fold
from vitrina.ids import is_id
from vitrina.store.products import ProductStore


@dataclass(frozen=True, slots=True)
class Selection:
    """Up to 100 products that are asked for by their ids or SKUs."""

    kind: Literal["id", "sku"]
    names: tuple[str, ...]

    @property
    def is_readable(self) -> bool:
        """Whether a name can be that of a product; otherwise the table need not be asked."""
        return any(map(is_id if self.kind == "id" else is_sku, self.names))


@dataclass(frozen=True, slots=True)
class Found:
    """Live products in the order asked, each once, and the names of which there is no live product."""

    products: list[PlainProduct]
    missing: list[str]


class ProductLookup:
    """Finds live products."""

    def __init__(self, store: ProductStore) -> None:
        self._store = store

    async def find(self, selection: Selection, *, consistent: bool) -> Found:
        """Find products: by id 1 call, by SKU 2. A name is missed as it was first written."""
        names: dict[str, str] = {}
        for name in selection.names:
            names.setdefault(fold(name) if selection.kind == "sku" and is_sku(name) else name, name)
        if selection.kind == "id":
            ids = {name: name for name in names if is_id(name)}
        else:
            ids = await self._store.holders([name for name in names if is_sku(name)], consistent=consistent)
        products = await self._store.get_plain(list(ids.values()), consistent=consistent)
        live = {name: product for name, product_id in ids.items() if (product := products.get(product_id))}
        if selection.kind == "sku":  # A product may have got another SKU between the two reads.
            live = {name: product for name, product in live.items() if fold(str(product["sku"])) == name}
        return Found(
            [live[name] for name in names if name in live], [shown for name, shown in names.items() if name not in live]
        )
