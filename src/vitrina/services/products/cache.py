"""Anonymous product reads: answers kept for a moment, and one read for all who ask at once."""

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
"""Products, and SKUs, that a process keeps."""


@dataclass(frozen=True, slots=True)
class Cached(Generic[V]):
    """A value and when it was read, by the loop's clock; `age` is in seconds if only an outage lets it be served."""

    value: V
    read_at: float
    age: float | None = None


@dataclass(frozen=True, slots=True)
class CachedProduct(Generic[V]):
    """A product, and what was made of it for those who read it."""

    product: Product
    content: V


class ReadThrough(Generic[V]):
    """Keeps what `load` reads: a value is served for `ttl` seconds, and for `grace` more while the table fails.

    Reads gather into one call of `load`, which asks for a key once however many wait for it. What does not exist is
    not kept. Past `size` values the oldest go first.
    """

    def __init__(
        self, load: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]], *, ttl: float, grace: float, size: int
    ) -> None:
        """Take the read of up to `MOST_KEYS` keys, and the limits."""
        self._load = load
        self._ttl = ttl
        self._grace = grace
        self._size = size
        self._kept: dict[str, Cached[V]] = {}
        self._dropped: set[str] = set()
        self._batcher: Batcher[str, V | None] = Batcher(self._read, most=MOST_KEYS)
        self._time = asyncio.get_running_loop().time
        self._hit = metrics.CACHE_LOOKUPS.labels("hit")
        self._miss = metrics.CACHE_LOOKUPS.labels("miss")

    async def get(self, key: str) -> Cached[V] | None:
        """Return the value of `key`, None if there is none. Raises TableUnavailable when not even a stale one is."""
        kept = self._kept.get(key)
        if kept is not None and self._time() - kept.read_at < self._ttl:
            self._hit.inc()
            return kept
        self._miss.inc()
        try:
            value = await self._batcher.submit(key)
        except TableUnavailable:
            kept = self._kept.get(key)
            if kept is None or self._time() - kept.read_at >= self._ttl + self._grace:
                raise
            metrics.CACHE_LOOKUPS.labels("stale").inc()
            return Cached(kept.value, kept.read_at, age=self._time() - kept.read_at)
        return None if value is None else Cached(value, self._time())

    def peek(self, key: str) -> V | None:
        """Return what is kept of `key`, however old."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def drop(self, key: str) -> None:
        """Forget `key`, and whatever a read that is under way may bring of it."""
        self._kept.pop(key, None)
        if self._batcher:
            self._dropped.add(key)

    async def _read(self, keys: list[str]) -> list[V | None]:
        began = self._time()
        found: dict[str, V] = {}
        unread: list[str] = []
        for key in dict.fromkeys(keys):
            kept = self._kept.get(key)
            if kept is not None and began - kept.read_at < self._ttl:
                found[key] = kept.value
            else:
                unread.append(key)
        if unread:
            self._dropped.clear()
            loaded = await self._load(unread)
            for key in unread:
                if key not in loaded:
                    self._kept.pop(key, None)  # Or an outage would bring back what is known to be gone.
                elif key not in self._dropped:
                    self._keep(key, Cached(loaded[key], began))
            found.update(loaded)
        return [found.get(key) for key in keys]

    def _keep(self, key: str, kept: Cached[V]) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept


class ProductCache(Generic[V]):
    """Live products as anonymous readers get them, at most `ttl` seconds old."""

    def __init__(
        self,
        store: ProductStore,
        *,
        render: Callable[[Product], V],
        ttl: float,
        stale_if_error: float,
    ) -> None:
        self._store = store
        self._render = render
        self._answers = ReadThrough(self._load_answers, ttl=ttl, grace=stale_if_error, size=_SIZE)
        self._holders = ReadThrough(self._load_holders, ttl=ttl, grace=stale_if_error, size=_SIZE)

    async def by_id(self, product_id: str) -> Cached[CachedProduct[V]]:
        """Return a product's answer. Raises NotFound, TableUnavailable."""
        kept = await self._answers.get(product_id)
        if kept is None:
            raise NotFound
        return kept

    async def by_sku(self, sku: str) -> Cached[CachedProduct[V]]:
        """Return the answer of the product that holds a SKU. Raises NotFound, TableUnavailable."""
        holder = await self._holders.get(fold(sku))
        if holder is None:
            raise NotFound
        answer = await self.by_id(holder.value)
        return answer if holder.age is None else replace(answer, age=max(holder.age, answer.age or 0.0))

    def drop(self, *products: Product) -> None:
        """Forget what this process keeps of versions of a product, since one has been written."""
        for product in products:
            self._answers.drop(product.id)
            self._holders.drop(fold(product.sku))

    async def _load_answers(self, product_ids: Sequence[str]) -> dict[str, CachedProduct[V]]:
        """Read products; of one that is known, only whether it has changed."""
        old = {key: answer for key in product_ids if (answer := self._answers.peek(key))}
        found, refreshed = await asyncio.gather(
            self._store.get_many([key for key in product_ids if key not in old]),
            self._store.refresh([answer.product for answer in old.values()]),
        )
        answers: dict[str, CachedProduct[V]] = {}
        for key, product in (found | refreshed).items():
            known = old.get(key)
            if known is not None and known.product is product:
                answers[key] = known
            elif product.deleted_at is None:
                answers[key] = CachedProduct(product, self._render(product))
        return answers

    async def _load_holders(self, skus: Sequence[str]) -> dict[str, str]:
        return await self._store.holders(skus)


class NoCache:
    """Stands in for the cache in a process that serves no reader, where there is nothing to forget."""

    def drop(self, *products: Product) -> None:
        """Do nothing."""
