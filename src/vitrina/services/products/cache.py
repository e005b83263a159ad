"""The cache of anonymous product reads: values are kept for a moment, and concurrent reads share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from vitrina import metrics
from vitrina.domain.products import Product
from vitrina.domain.text import fold
from vitrina.errors import NotFound, TableUnavailable
from vitrina.services.batching import Batcher
from vitrina.store.products import ProductStore
from vitrina.store.table import MOST_KEYS

V = TypeVar("V")
_SIZE: Final = 50_000
"""Products, and as many SKUs, that a process keeps."""


@dataclass(frozen=True, slots=True)
class Cached(Generic[V]):
    """A value and when it was read, by the loop's clock; `age`, in seconds, is set on a stale one."""

    value: V
    read_at: float
    age: float | None = None


@dataclass(frozen=True, slots=True)
class CachedProduct(Generic[V]):
    """A product, and what `render` made of it."""

    product: Product
    content: V


class ReadThrough(Generic[V]):
    """A read-through cache: serves a value for `ttl` seconds, and for `grace` more while `load` cannot be reached.

    Missing values are read in batches of up to `MOST_KEYS` keys, each key once however many requests wait for it. What
    does not exist is not cached. When `size` values are cached, the oldest is evicted first.
    """

    def __init__(
        self, load: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]], *, ttl: float, grace: float, size: int
    ) -> None:
        self._load = load
        self._ttl = ttl
        self._grace = grace
        self._size = size
        self._cached: dict[str, Cached[V]] = {}
        self._dropped: set[str] = set()
        self._batcher: Batcher[str, V | None] = Batcher(self._read, most=MOST_KEYS)
        self._time = asyncio.get_running_loop().time
        self._hit = metrics.CACHE_LOOKUPS.labels("hit")
        self._miss = metrics.CACHE_LOOKUPS.labels("miss")

    async def get(self, key: str) -> Cached[V] | None:
        """Return the value of `key`, None if it has none. Raises TableUnavailable if there is not even a stale one."""
        cached = self._cached.get(key)
        if cached is not None and self._time() - cached.read_at < self._ttl:
            self._hit.inc()
            return cached
        self._miss.inc()
        try:
            value = await self._batcher.submit(key)
        except TableUnavailable:
            cached = self._cached.get(key)
            if cached is None or self._time() - cached.read_at >= self._ttl + self._grace:
                raise
            metrics.CACHE_LOOKUPS.labels("stale").inc()
            return Cached(cached.value, cached.read_at, age=self._time() - cached.read_at)
        return None if value is None else Cached(value, self._time())

    def peek(self, key: str) -> V | None:
        """Return the cached value of `key`, however old, without reading it."""
        cached = self._cached.get(key)
        return None if cached is None else cached.value

    def drop(self, key: str) -> None:
        """Forget `key`, and ignore what a read that is in flight returns for it."""
        self._cached.pop(key, None)
        if self._batcher:
            self._dropped.add(key)

    async def _read(self, keys: list[str]) -> list[V | None]:
        began = self._time()
        found: dict[str, V] = {}
        unread: list[str] = []
        for key in dict.fromkeys(keys):
            cached = self._cached.get(key)
            if cached is not None and began - cached.read_at < self._ttl:
                found[key] = cached.value
            else:
                unread.append(key)
        if unread:
            self._dropped.clear()
            loaded = await self._load(unread)
            for key in unread:
                self._cached.pop(key, None)  # Otherwise an outage would bring back what no longer exists.
                if key in loaded and key not in self._dropped:
                    if len(self._cached) >= self._size:
                        del self._cached[next(iter(self._cached))]
                    self._cached[key] = Cached(loaded[key], began)
            found.update(loaded)
        return [found.get(key) for key in keys]


class ProductCache(Generic[V]):
    """Live products as `render` makes them for anonymous readers, at most `ttl` seconds old.

    While the table is unavailable they are served for `stale_if_error` seconds more.
    """

    def __init__(
        self, store: ProductStore, *, render: Callable[[Product], V], ttl: float, stale_if_error: float
    ) -> None:
        self._store = store
        self._render = render
        self._products = ReadThrough(self._load_products, ttl=ttl, grace=stale_if_error, size=_SIZE)
        self._holders = ReadThrough(store.holders, ttl=ttl, grace=stale_if_error, size=_SIZE)

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
        """Forget these versions of a product, because it has been written."""
        for product in products:
            self._products.drop(product.id)
            self._holders.drop(fold(product.sku))

    async def _load_products(self, product_ids: Sequence[str]) -> dict[str, CachedProduct[V]]:
        """Read products; for those that are cached, read only whether they have changed."""
        old = {key: known for key in product_ids if (known := self._products.peek(key))}
        found, refreshed = await asyncio.gather(
            self._store.get_many([key for key in product_ids if key not in old]),
            self._store.refresh([known.product for known in old.values()]),
        )
        loaded: dict[str, CachedProduct[V]] = {}
        for key, product in (found | refreshed).items():
            known = old.get(key)
            if known is not None and known.product is product:
                loaded[key] = known
            elif product.deleted_at is None:
                loaded[key] = CachedProduct(product, self._render(product))
        return loaded


class NoCache:
    """Stands in for the cache in a process that serves no anonymous reads."""

    def drop(self, *products: Product) -> None:
        """Do nothing."""
