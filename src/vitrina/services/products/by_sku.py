"""Writes of products that are named by their SKU."""

from collections.abc import Mapping
from typing import Any, Final, Unpack

from vitrina.domain.products import Product, ProductDraft, is_sku
from vitrina.domain.text import fold
from vitrina.domain.versions import Expected, Precondition
from vitrina.errors import Conflict, NotFound, SkuTaken
from vitrina.services.concurrency import KeyedLock
from vitrina.services.products.products import BySkuOptions, Products
from vitrina.store.operations import AlsoWrite, nothing_else
from vitrina.store.products import ProductStore

_TRIES: Final = 8
"""How often a SKU may change hands while it is written."""
Known = tuple[Product | None] | None
"""The live product that holds a SKU as the caller has just read it, `(None,)` if there is none; None: not read."""


class ProductsBySku:
    """Creates, replaces, changes and deletes the live product that holds a SKU; `by` and `request_id` as `Products`."""

    def __init__(self, products: Products, store: ProductStore) -> None:
        self._products = products
        self._store = store
        self._locks = KeyedLock()

    async def put(
        self,
        draft: ProductDraft,
        *,
        condition: Precondition,
        by: str,
        request_id: str,
        known: Known = None,
        also: AlsoWrite[tuple[Product, bool]] = nothing_else,
    ) -> tuple[Product, bool]:
        """Create the product, or replace all fields but the SKU, whose case stays; says whether it was created.

        Equal values write nothing (R8) but the steps of `also`. Raises VersionMismatch, also where `condition` needs a
        product and there is none, ValidationFailed, Conflict.
        """
        fields = draft.editable()
        del fields["sku"]

        async def create() -> Product | str:
            """Return the new product, or the id of the one that holds the SKU."""
            nonlocal known
            if known is None:
                holder = await self._store.holder(draft.sku, consistent=True)
            else:
                holder, known = None if known[0] is None else known[0].id, None
            if holder is not None:
                return holder
            condition.check(None)
            try:
                return await self._products.create(
                    draft, by=by, request_id=request_id, also=lambda product: also((product, True))
                )
            except SkuTaken as taken:
                return taken.holder_id

        for _ in range(_TRIES):
            before = known[0] if known else None
            found = await self._locks.hold(fold(draft.sku), create)
            if isinstance(found, Product):
                return found, True
            try:
                product = await self._products.change(
                    found,
                    fields,
                    by=by,
                    request_id=request_id,
                    expected=condition,
                    sku=draft.sku,
                    known=before,
                    also=lambda product: also((product, False)),
                )
            except NotFound:  # It was deleted meanwhile, or got another SKU, so this one may be free.
                continue
            return product, False
        raise Conflict

    async def change(
        self,
        sku: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        request_id: str,
        expected: Expected | Precondition,
        **options: Unpack[BySkuOptions],
    ) -> Product:
        """Change fields as `Products.change` does."""
        holder = await self._holder(sku, options)
        return await self._products.change(
            holder, fields, by=by, request_id=request_id, expected=expected, sku=sku, **options
        )

    async def delete(
        self,
        sku: str,
        *,
        by: str,
        request_id: str,
        expected: Expected | Precondition,
        **options: Unpack[BySkuOptions],
    ) -> None:
        """Delete softly as `Products.delete` does."""
        holder = await self._holder(sku, options)
        await self._products.delete(holder, by=by, request_id=request_id, expected=expected, sku=sku, **options)

    async def _holder(self, sku: str, options: BySkuOptions) -> str:
        if known := options.get("known"):
            return known.id
        holder = await self._store.holder(sku, consistent=True) if is_sku(sku) else None
        if holder is None:
            raise NotFound
        return holder
