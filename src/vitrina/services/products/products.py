"""Reads and changes of products (R5 to R8, R10)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypedDict, Unpack

from vitrina.clock import Clock, now
from vitrina.domain.money import fit
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Action, Change, Listing, PlainProduct, Product, ProductDraft, describe
from vitrina.domain.versions import Expected, Precondition
from vitrina.errors import NotDeleted, NotFound, ValidationFailed
from vitrina.ids import is_id, new_id
from vitrina.services.concurrency import KeyedLock, in_time
from vitrina.services.products.cache import NoCache, ProductCache
from vitrina.store.listings import ProductListings
from vitrina.store.operations import AlsoWrite, Step, nothing_else
from vitrina.store.products import ProductStore


class _Write(Protocol):
    """Stores a change of a product, given the versions before and after it."""

    async def __call__(self, before: Product, after: Product, change: Change, *, also: Sequence[Step]) -> None: ...


class BySkuOptions(TypedDict, total=False):
    """Options of a write of a live product.

    `known` is its state if the caller has just read it, and `also` are further steps for the same transaction, which
    are written even if nothing changes.
    """

    known: Product | None
    also: AlsoWrite[Product]


class WriteOptions(BySkuOptions, total=False):
    """Also the SKU that the product must hold (NotFound)."""

    sku: str | None


class Products:
    """Reads and writes products; the caller has checked what the user may do.

    `cache` is told of each write, so that this process does not serve an old version. `by` is the id of the user who
    makes a change, and `request_id` names the request in its history.
    """

    def __init__(
        self, store: ProductStore, listings: ProductListings, cache: ProductCache[Any] | NoCache, *, clock: Clock = now
    ) -> None:
        self._store = store
        self._listings = listings
        self._cache = cache
        self._clock = clock
        self._locks = KeyedLock()

    async def get(self, product_id: str) -> Product:
        """Return a product, live or deleted, by a consistent read. Raises NotFound."""
        product = await self._store.get(product_id, consistent=True) if is_id(product_id) else None
        if product is None:
            raise NotFound
        return product

    async def get_by_sku(self, sku: str) -> Product:
        """Return the live product that holds a SKU, by consistent reads. Raises NotFound."""
        holder = await self._store.holder(sku, consistent=True)
        product = await self._store.get(holder, consistent=True) if holder else None
        if product is None or not product.holds(sku):
            raise NotFound
        return product

    async def create(
        self,
        draft: ProductDraft,
        *,
        by: str,
        request_id: str,
        also: AlsoWrite[Product] = nothing_else,
        digest: int | None = None,
    ) -> Product:
        """Create a product, with the steps of `also` in the same transaction. Its id carries `digest` (`ids.new_id`).

        Raises SkuTaken, ValidationFailed, Conflict, and what the steps of `also` raise.
        """
        values, product_id = _with_exact_price(draft).editable(), new_id(digest=digest)

        async def attempt() -> Product:
            at = self._clock()
            product = Product(
                **values, id=product_id, version=1, created_at=at, created_by=by, updated_at=at, updated_by=by
            )
            change = describe(None, product, action=Action.CREATED, request_id=request_id)
            try:
                await self._store.create(product, change, also=also(product))
            finally:  # After a failed write too: perhaps only its response was lost.
                self._cache.drop(product)
            return product

        return await in_time(attempt)

    async def change(
        self,
        product_id: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        request_id: str,
        expected: Expected | Precondition,
        **options: Unpack[WriteOptions],
    ) -> Product:
        """Change fields of a live product and return it; equal values write nothing (R8).

        Raises NotFound, VersionMismatch, Conflict, SkuTaken, ValidationFailed.
        """

        def edited(before: Product, at: datetime) -> Product:
            draft = _with_exact_price(replace(before.drafted(), **fields))
            return before if draft == before.drafted() else before.edited(draft, by=by, at=at)

        return await self._write_next(
            product_id, expected, edited, self._store.update, action=Action.UPDATED, request_id=request_id, **options
        )

    async def delete(
        self,
        product_id: str,
        *,
        by: str,
        request_id: str,
        expected: Expected | Precondition,
        **options: Unpack[WriteOptions],
    ) -> None:
        """Delete a live product softly (R7). Raises NotFound, VersionMismatch, Conflict."""
        await self._write_next(
            product_id,
            expected,
            lambda before, at: before.deleted(by=by, at=at),
            self._store.delete,
            action=Action.DELETED,
            request_id=request_id,
            **options,
        )

    async def restore(
        self,
        product_id: str,
        sku: str | None,
        *,
        by: str,
        request_id: str,
        expected: Expected | Precondition = None,
    ) -> Product:
        """Restore a deleted product, under its own SKU or another (R7).

        Raises NotFound, NotDeleted, VersionMismatch, Conflict, SkuTaken.
        """

        def restored(before: Product, at: datetime) -> Product:
            if before.original_sku is None:
                raise NotDeleted
            return before.restored(sku or before.original_sku, by=by, at=at)

        return await self._write_next(
            product_id, expected, restored, self._store.restore, action=Action.RESTORED, request_id=request_id
        )

    async def page(
        self, listing: Listing, *, limit: int, start: Position | None, fresh: bool = False
    ) -> Page[PlainProduct]:
        """Return a page of live products; a `fresh` one is read from the writer's endpoint."""
        return await self._listings.plain(listing, limit=limit, start=start, fresh=fresh)

    async def deleted(self, *, limit: int, start: Position | None) -> Page[Product]:
        """Return a page of deleted products, latest deletion first."""
        return await self._listings.deleted(limit=limit, start=start)

    async def history(self, product_id: str, *, limit: int, start: Position | None) -> Page[Change]:
        """Return a page of a product's changes, newest first (R10). Raises NotFound."""
        if not is_id(product_id):
            raise NotFound
        page = await self._listings.history(product_id, limit=limit, start=start)
        if not page.items and start is None:
            raise NotFound
        return page

    async def _write_next(
        self,
        product_id: str,
        expected: Expected | Precondition,
        next_version: Callable[[Product, datetime], Product],
        write: _Write,
        *,
        action: Action,
        request_id: str,
        sku: str | None = None,
        known: Product | None = None,
        also: AlsoWrite[Product] = nothing_else,
    ) -> Product:
        """Read, check and write the version that `next_version` makes; only `also` if that is the same object.

        All actions but RESTORED need a live product. Repeated after a Conflict, which becomes VersionMismatch if
        `expected` is given. The last options are those of `WriteOptions`.
        """
        condition = Precondition.of(expected)

        async def attempt() -> Product:
            nonlocal known
            before, known = known or await self.get(product_id), None
            if action is not Action.RESTORED and not before.holds(sku or before.sku):
                raise NotFound
            condition.check(before.version, of=before.id)
            # Clocks of processes differ, and a version is never earlier than the one before it.
            after = next_version(before, max(self._clock(), before.updated_at))
            if after is before:
                await self._store.write_alone(also(after))
                return after
            change = describe(before, after, action=action, request_id=request_id)
            try:
                await write(before, after, change, also=also(after))
            finally:
                self._cache.drop(before, after)
            return after

        return await in_time(lambda: self._locks.hold(product_id, attempt))


def _with_exact_price(draft: ProductDraft) -> ProductDraft:
    """Return the draft with its price in its currency's decimals. Raises ValidationFailed if it has more of them."""
    try:
        return replace(draft, price=fit(draft.price, draft.currency))
    except ValueError as error:
        raise ValidationFailed.of("price", str(error)) from error
