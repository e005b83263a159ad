"""Decodes a batch of segments to columns; every step works on all rows at once."""

from binascii import hexlify
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vitrina.domain.reports import product_id_of
from vitrina.domain.views import BOT, VIEW_BYTES, midnight_ms
from vitrina.services.exports import columns
from vitrina.store.views import Segment

CACHED_PRODUCTS: Final = 16_384
"""Products whose texts are cached from one batch to the next, 200 bytes each: most of them occur again."""
_product_id = lru_cache(CACHED_PRODUCTS)(product_id_of)


class ProductColumn(NamedTuple):
    """The product of each event: `of_event` holds indices into the distinct `ids`."""

    ids: list[str]
    of_event: pa.Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Some events of a day as columns; values that many events share are stored once.

    The events are those of the segments with the ids `segments`, `sizes` of each, in order. `of_day` is in milliseconds
    since midnight, UTC. `referrer` holds indices into `hosts`, whose first entry is None, for no referrer.
    """

    day: date
    rows: int
    segments: Sequence[str]
    sizes: Sequence[int]
    of_day: pa.Array
    products: ProductColumn
    visitor: pa.Array
    referrer: pa.Array
    hosts: list[str | None]
    bot: pa.Array

    def event_id(self) -> pa.Array:
        """Return the id of each event: its segment's id and its place in the segment."""
        return pc.binary_join_element_wise(self.of_segments("{}-".format), self.of_places(str), "")

    def at(self) -> pa.Array:
        """Return the time of each event, as `timestamp[ms, UTC]`."""
        return pc.add(self.of_day.cast(pa.int64()), midnight_ms(self.day)).cast(pa.timestamp("ms", "UTC"))

    def of_segments(self, text: Callable[[str], str]) -> pa.Array:
        """Return for each event `text` of its segment's id."""
        return columns.repeated(pa.array(map(text, self.segments), pa.string()), self.sizes)

    def of_places(self, text: Callable[[int], str]) -> pa.Array:
        """Return for each event `text` of its place in its segment."""
        places = pa.array(map(text, range(max(self.sizes))), pa.string())
        return pa.concat_arrays([places[:size] for size in self.sizes])


def products_of(segments: Sequence[Segment]) -> ProductColumn:
    """Return the products of at least one segment: a quick part of `decode`, so that their SKUs are read meanwhile."""
    views = columns.fixed(columns.joined(segment.packed for segment in segments))
    seen = pc.binary_slice(views, *columns.PRODUCT).dictionary_encode()
    return ProductColumn([*map(_product_id, seen.dictionary.to_pylist())], seen.indices)


def decode(day: date, segments: Sequence[Segment], products: ProductColumn) -> EventBatch:
    """Return the events of at least one segment, in their order; `products` is their `products_of`."""
    parts = [segment.packed for segment in segments]
    data = columns.joined(parts)
    hosts, places = _hosts(part.referrers for part in parts)
    return EventBatch(
        day=day,
        rows=len(data) // VIEW_BYTES,
        segments=[segment.id for segment in segments],
        sizes=[len(part) for part in parts],
        of_day=columns.number(data, columns.TIME, pa.int32()),
        products=products,
        visitor=_in_hex(pc.binary_slice(columns.fixed(data), *columns.VISITOR)),
        referrer=pa.array(places, pa.int32()).take(columns.referrers(data, parts)),
        hosts=hosts,
        bot=pc.bit_wise_and(columns.number(data, (columns.FLAGS, VIEW_BYTES), pa.int32()), BOT).cast(pa.bool_()),
    )


def _in_hex(values: pa.Array) -> pa.Array:
    """Return values of fixed width as hexadecimal text."""
    _, data = values.buffers()
    width = values.type.byte_width
    digits = hexlify(data[values.offset * width : (values.offset + len(values)) * width])
    return columns.fixed(digits, 2 * width).cast(pa.string())


def _hosts(lists: Iterable[Sequence[str]]) -> tuple[list[str | None], list[int]]:
    """Return the distinct hosts, and the index of each entry of each list, with None before each list."""
    hosts: dict[str | None, int] = {None: 0}
    places: list[int] = []
    for referrers in lists:
        places.append(0)
        places += [hosts.setdefault(host, len(hosts)) for host in referrers]
    return list(hosts), places
