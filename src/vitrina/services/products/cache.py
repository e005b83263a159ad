"""The cache of anonymous reads: single products, and pages of lists."""

import asyncio
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from vitrina import metrics
from vitrina.domain.products import Product
from vitrina.domain.text import fold
from vitrina.errors import NotFound
from vitrina.services.products.circuit import PATIENCE
from vitrina.services.products.read_through import SETTLING, Cached, ReadThrough, SharedReads
from vitrina.store.products import ProductStore

V = TypeVar("V")
_SIZE: Final = 50_000
"""Products, and as many SKUs, that a process keeps."""
_PAGES: Final = 1_000
"""Pages of each kind that a process keeps."""
_PAGES_ROOM: Final = 32 * 2**20
"""Bytes of these; a page of 100 products has 40 KB, and 4 MB with the longest descriptions."""


@dataclass(frozen=True, slots=True)
class CachedProduct(Generic[V]):
    """A product, and what `render` made of it."""

    product: Product
    content: V


class ProductCache(Generic[V]):
    """Live products as `render` makes them for anonymous readers, and pages of them, at most `ttl` seconds old.

    While the table does not answer they are served for `stale_if_error` seconds more; a read is waited for at most
    twice `patience` seconds then (`circuit`). What this process writes is read anew: products and SKUs consistently, so
    that no reader misses the write; pages from the writer's endpoint, and kept for a moment only, since an index has no
    consistent reads. `first_pages` and `pages` hold what their callers make of a page, which has a `body` in bytes, by
    all that the page depends on. They are apart, because a crawler that reads all pages would displace the first ones.
    """

    def __init__(
        self,
        store: ProductStore,
        *,
        render: Callable[[Product], V],
        ttl: float,
        stale_if_error: float,
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._render = render
        limits = {"ttl": ttl, "grace": stale_if_error, "patience": patience}
        self._products = ReadThrough(self._load_products, size=_SIZE, lookups=metrics.CACHE_LOOKUPS, **limits)
        self._holders = ReadThrough(self._load_holders, size=_SIZE, lookups=metrics.CACHE_LOOKUPS, **limits)
        self._written = _RecentKeys()
        self.first_pages, self.pages = (
            SharedReads[Hashable, Any](
                size=_PAGES,
                room=_PAGES_ROOM,
                weigh=lambda page: len(page.body),
                lookups=metrics.PAGE_LOOKUPS,
                **limits,
            )
            for _ in range(2)
        )

    async def by_id(self, product_id: str) -> Cached[CachedProduct[V]]:
        """Return a product. Raises NotFound, TableUnavailable."""
        cached = await self._products.get(product_id)
        if cached is None:
            raise NotFound
        return cached

    async def by_sku(self, sku: str) -> Cached[CachedProduct[V]]:
        """Return the product that holds a SKU. Raises NotFound, TableUnavailable."""
        key = fold(sku)
        holder = await self._holders.get(key)
        if holder is None:
            raise NotFound
        cached = await self.by_id(holder.value)
        if fold(cached.value.product.sku) != key:
            # The claim is older than the product, which has another SKU by now.
            self._holders.drop(key)
            raise NotFound
        return cached if holder.age is None else replace(cached, age=max(holder.age, cached.age or 0.0))

    def drop(self, *products: Product) -> None:
        """Forget these versions of a product, because it has been written, and all pages, which may list it."""
        for product in products:
            sku = fold(product.sku)
            self._products.drop(product.id)
            self._holders.drop(sku)
            self._written.add(product.id, sku)
        self.first_pages.clear()
        self.pages.clear()

    async def _load_products(self, product_ids: Sequence[str]) -> dict[str, CachedProduct[V]]:
        """Read products; for those that are cached, read only whether they have changed."""
        written = self._written.among(product_ids)
        old = {key: known for key in product_ids if key not in written and (known := self._products.peek(key))}
        reads = [
            self._store.get_many([key for key in product_ids if key not in old and key not in written]),
            self._store.refresh([known.product for known in old.values()]),
        ]
        if written:
            reads.append(self._store.get_many(list(written), consistent=True))
        loaded: dict[str, CachedProduct[V]] = {}
        for key, product in ChainMap(*await asyncio.gather(*reads)).items():
            known = old.get(key)
            if known is not None and known.product is product:
                loaded[key] = known
            elif product.deleted_at is None:
                loaded[key] = CachedProduct(product, self._render(product))
        return loaded

    async def _load_holders(self, skus: Sequence[str]) -> dict[str, str]:
        written = self._written.among(skus)
        if not written:
            return await self._store.holders(skus)
        found, current = await asyncio.gather(
            self._store.holders([sku for sku in skus if sku not in written]),
            self._store.holders(list(written), consistent=True),
        )
        return found | current


class _RecentKeys:
    """The products and SKUs that this process has written in the last `SETTLING` seconds."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._time = asyncio.get_running_loop().time

    def add(self, *keys: str) -> None:
        now = self._time()
        for key in keys:
            self._until[key] = now + SETTLING
            self._until.move_to_end(key)
        self._forget_settled(now)

    def among(self, keys: Iterable[str]) -> set[str]:
        if not self._until:
            return set()
        self._forget_settled(self._time())
        return {key for key in keys if key in self._until}

    def _forget_settled(self, now: float) -> None:
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)


class NoCache:
    """Stands in for the cache in a process that serves no anonymous reads."""

    def drop(self, *products: Product) -> None:
        """Do nothing."""
