"""Counts the views of a day (R12) exactly, all rows at once, in memory that does not grow with their number.

Distinct visitors need the pairs of product and visitor. Above `_MOST_IN_MEMORY` views the pairs go to a temporary
file, grouped by the first byte of the visitor, and are counted in 256 partitions. A visitor is in one partition only,
so the counts of the partitions add up.
"""

import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import IO, Final, NamedTuple, Self

from vitrina.domain.reports import OTHER, Counts
from vitrina.domain.views import BOT, VIEW_BYTES, PackedViews
from vitrina.errors import NoRoom
from vitrina.services.analytics.product_counts import ProductCounts
from vitrina.services.arrow import pa, pc
from vitrina.services.exports import columns

_MOST_IN_MEMORY: Final = 100_000
"""Views whose pairs are kept in memory, at 28 bytes each."""
_MOST_HOSTS: Final = 20_000
"""Distinct referrer hosts that are counted: clients can send any, and memory must not grow with them."""
_PAIR: Final = (0, 28)
_VISITOR_BYTE: Final = (16, 17)
_PARTITIONS: Final = 256
_HOUR_MS: Final = 3_600_000
_HOURS: Final = 24
_IS_BOT: Final = bytes(flags & BOT for flags in range(256))
"""The translation table from a byte of flags to 1 for a bot and 0 for a person."""


class Totals(NamedTuple):
    """The counts of each product, ordered by key, and the distinct visitors of all products together."""

    products: dict[bytes, Counts]
    unique_visitors: int


class ViewCounter:
    """Counts the packed views of one day, people and bots separately.

    `hours` has the views of people and of bots for each hour, UTC; `referrers` has the views of people by host, with
    None for no referrer. The methods block for milliseconds and must not run concurrently. A context, which owns the
    temporary file.
    """

    def __init__(self) -> None:
        self.hours = [[0, 0] for _ in range(_HOURS)]
        self.referrers: Counter[str | None] = Counter()
        self._products = ProductCounts()
        self._pairs = _Pairs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pairs.close()

    def add(self, segments: Sequence[PackedViews]) -> None:
        """Count the views of segments. Raises NoRoom if the temporary file cannot be written."""
        segments = [segment for segment in segments if segment]
        if not segments:
            return
        data = columns.joined(segments)
        flags = data[columns.FLAGS :: VIEW_BYTES].translate(_IS_BOT)
        bots = pa.Array.from_buffers(pa.uint8(), len(flags), [None, pa.py_buffer(flags)])
        people = pc.equal(bots, 0)
        views = columns.fixed(data)
        self._add_hours(data, bots)
        self._add_referrers(columns.referrers(data, segments).filter(people), segments)
        seen, number = _counted(pc.binary_slice(views, *columns.PRODUCT).filter(pc.equal(bots, BOT)))
        self._products.add(seen, bots=number)
        self._pairs.add(pc.binary_slice(views, *_PAIR).filter(people))

    def totals(self) -> Totals:
        """Return the totals; no views may be added afterwards. Raises NoRoom."""
        visitors = 0
        for rows in self._pairs.partitions():
            pairs, views = _counted(rows)
            visitors += len(pc.binary_slice(pairs, *columns.VISITOR).unique())
            each = pa.repeat(pa.scalar(1, pa.int64()), len(pairs))
            self._products.add(pc.binary_slice(pairs, *columns.PRODUCT), views=views, unique_visitors=each)
        return Totals(self._products.all(), visitors)

    def _add_hours(self, data: bytes, bots: pa.Array) -> None:
        hours = pc.divide(columns.number(data, columns.TIME, pa.int32()), _HOUR_MS)
        kinds, numbers = _counted(pc.add(pc.multiply(hours, 2), bots))
        for kind, number in zip(kinds.to_pylist(), numbers.to_pylist(), strict=True):
            self.hours[kind // 2][kind % 2] += number

    def _add_referrers(self, places: pa.Array, segments: Sequence[PackedViews]) -> None:
        hosts = [host for segment in segments for host in (None, *segment.referrers)]
        found, numbers = _counted(places)
        for place, number in zip(found.to_pylist(), numbers.to_pylist(), strict=True):
            host = hosts[place]
            known = host in self.referrers or len(self.referrers) < _MOST_HOSTS
            self.referrers[host if known else OTHER] += number


class _Pairs:
    """The pairs of product and visitor, one per view."""

    def __init__(self) -> None:
        self._rows: list[pa.Array] = []
        self._number = 0
        self._file: IO[bytes] | None = None
        self._blocks: list[array[int]] = []

    def add(self, rows: pa.Array) -> None:
        self._rows.append(rows)
        self._number += len(rows)
        if self._number > _MOST_IN_MEMORY:
            self._write_block()

    def partitions(self) -> Iterator[pa.Array]:
        """Yield all pairs in partitions that have no visitor in common."""
        if self._file is None:
            if self._rows:
                yield pa.concat_arrays(self._rows)
            return
        self._write_block()
        width = _PAIR[1]
        for number in range(_PARTITIONS):
            blocks = [
                os.pread(self._file.fileno(), (block[number + 1] - block[number]) * width, block[number] * width)
                for block in self._blocks
            ]
            yield columns.fixed(b"".join(blocks), width)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write_block(self) -> None:
        """Write the pairs in memory as a block, ordered by partition; `_blocks` has the first row of each partition."""
        if not self._rows:
            return
        rows = pa.concat_arrays(self._rows)
        self._rows, self._number = [], 0
        _, first_bytes = pc.binary_slice(rows, *_VISITOR_BYTE).buffers()
        partition_of_row = pa.Array.from_buffers(pa.uint8(), len(rows), [None, first_bytes])
        _, data = rows.take(pc.array_sort_indices(partition_of_row)).buffers()
        sizes = Counter(first_bytes.to_pybytes()[: len(rows)])
        start = self._blocks[-1][-1] if self._blocks else 0
        self._blocks.append(array("Q", accumulate((sizes[number] for number in range(_PARTITIONS)), initial=start)))
        try:
            self._write(memoryview(data)[: len(rows) * _PAIR[1]])
        except OSError as error:
            raise NoRoom(error.errno, error.strerror) from error

    def _write(self, rest: memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="vitrina-view-counter-", buffering=0)  # noqa: SIM115 - see `close`
        while rest:
            rest = rest[self._file.write(rest) :]


def _counted(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the distinct values in order of first occurrence, and how often each occurs."""
    counted = values.value_counts()
    return counted.field("values"), counted.field("counts")
