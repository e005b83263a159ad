"""Sums counts by product that come in parts: from segments, and from the tables of closed days."""

import threading
from typing import Final

from vitrina.domain.reports import ROW_BYTES, Counts, product_id_of
from vitrina.services.arrow import pa, pc
from vitrina.services.exports import columns

_LEAST_SUMS: Final = 256
"""Fewer sums count as this many, so that small parts are not summed one by one."""
_WAITING_PER_SUM: Final = 4
"""Rows are summed once there are this many per sum, so that summing costs little per row."""
_PRODUCT: Final = (0, 16)
_NUMBERS: Final = ((16, 20), (20, 24), (24, 28))
"""The positions of the counts in a row of a packed table, as `domain.reports` packs it."""
_NAMES: Final = Counts._fields


class ProductCounts:
    """Sums by product. The methods block for milliseconds and are thread-safe."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._waiting = 0
        self._lock = threading.Lock()

    def add(self, products: pa.Array, **counts: pa.Array) -> None:
        """Add counts of products in their packed form; `counts` are named as in `Counts`, missing ones are 0."""
        none = pa.repeat(pa.scalar(0, pa.int64()), len(products))
        columns = [counts.get(name, none).cast(pa.int64()) for name in _NAMES]
        part = pa.table([products, *columns], names=["product", *_NAMES])
        with self._lock:
            self._parts.append(part)
            self._waiting += len(part)
            if self._waiting > _WAITING_PER_SUM * max(len(self._parts[0]), _LEAST_SUMS):
                self._sum()

    def add_table(self, table: bytes) -> None:
        """Add one packed table, or several joined."""
        numbers = (columns.number(table, place, pa.int64(), width=ROW_BYTES) for place in _NUMBERS)
        products = pc.binary_slice(columns.fixed(table, ROW_BYTES), *_PRODUCT)
        self.add(products, **dict(zip(_NAMES, numbers, strict=True)))

    def all(self) -> dict[bytes, Counts]:
        """Return the counts of each product, ordered by key."""
        sums = self._sums()
        counts = map(Counts, *(sums.column(name).to_pylist() for name in _NAMES))
        return dict(sorted(zip(sums.column("product").to_pylist(), counts, strict=True)))

    def most_viewed(self, number: int) -> dict[str, Counts]:
        """Return the counts of the products with the most views, at least one each, by id; ties are ordered by id."""
        sums = self._sums()
        seen = sums.filter(pc.greater(sums.column("views"), 0))
        order = pc.sort_indices(
            seen.set_column(0, "product", seen.column("product").cast(pa.binary())),
            sort_keys=[("views", "descending"), ("product", "ascending")],
        )
        rows = seen.take(order[:number]).to_pylist()
        return {product_id_of(row["product"]): Counts(row["views"], row["unique_visitors"]) for row in rows}

    def _sums(self) -> pa.Table:
        with self._lock:
            if self._parts:
                self._sum()
                return self._parts[0]
        return pa.table([pa.array([], pa.binary(16)), *[pa.array([], pa.int64())] * 3], names=["product", *_NAMES])

    def _sum(self) -> None:
        grouped = pa.concat_tables(self._parts).group_by("product", use_threads=False)
        summed = grouped.aggregate([(name, "sum") for name in _NAMES]).rename_columns(["product", *_NAMES])
        self._parts, self._waiting = [summed], 0
