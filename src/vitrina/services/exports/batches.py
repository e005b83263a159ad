"""A batch of an export as columns: every step works on all of its rows at once."""

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
from vitrina.services.views import columns
from vitrina.store.views import Segment

REMEMBERED: Final = 16_384
"""Products whose texts are kept from one batch to the next, 200 bytes each: mostly the same ones are seen again."""
_product_id = lru_cache(REMEMBERED)(product_id_of)


class Products(NamedTuple):
    """The products of some events: `of_event` points into `ids`, which has each once."""

    ids: list[str]
    of_event: pa.Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Some events of a day; what many of them share is there once.

    The events are those of `segments` in turn, `sizes` of each. `of_day` is in milliseconds since midnight, UTC.
    `referrer` points into `hosts`, which begins with None, for those that came from nowhere.
    """

    day: date
    rows: int
    segments: Sequence[str]
    sizes: Sequence[int]
    of_day: pa.Array
    products: Products
    visitor: pa.Array
    referrer: pa.Array
    hosts: list[str | None]
    bot: pa.Array

    def event_id(self) -> pa.Array:
        """Return the id of each: its segment's, and its place in it."""
        return pc.binary_join_element_wise(self.of_segments("{}-".format), self.of_places(str), "")

    def at(self) -> pa.Array:
        """Return when each was, as `timestamp[ms, UTC]`."""
        return pc.add(self.of_day.cast(pa.int64()), midnight_ms(self.day)).cast(pa.timestamp("ms", "UTC"))

    def of_segments(self, text: Callable[[str], str]) -> pa.Array:
        """Return for each what `text` makes of its segment's id."""
        return columns.repeated(pa.array(map(text, self.segments), pa.string()), self.sizes)

    def of_places(self, text: Callable[[int], str]) -> pa.Array:
        """Return for each what `text` makes of its place in its segment."""
        places = pa.array(map(text, range(max(self.sizes))), pa.string())
        return pa.concat_arrays([places[:size] for size in self.sizes])


def products_of(segments: Sequence[Segment]) -> Products:
    """Return what at least one segment's events saw: a small part of `decode`, which more work can begin with."""
    views = columns.fixed(columns.joined(segment.packed for segment in segments))
    seen = pc.binary_slice(views, *columns.PRODUCT).dictionary_encode()
    return Products([*map(_product_id, seen.dictionary.to_pylist())], seen.indices)


def decode(day: date, segments: Sequence[Segment], products: Products) -> Events:
    """Return the events of at least one segment, in their order; `products` are theirs."""
    parts = [segment.packed for segment in segments]
    data = columns.joined(parts)
    hosts, places = _hosts(part.referrers for part in parts)
    return Events(
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
    """Write values of one width in hexadecimal."""
    _, data = values.buffers()
    width = values.type.byte_width
    digits = hexlify(data[values.offset * width : (values.offset + len(values)) * width])
    return columns.fixed(digits, 2 * width).cast(pa.string())


def _hosts(lists: Iterable[Sequence[str]]) -> tuple[list[str | None], list[int]]:
    """Return every host once, and where the entries of each segment's list are among them, with None before each."""
    hosts: dict[str | None, int] = {None: 0}
    places: list[int] = []
    for referrers in lists:
        places.append(0)
        places += [hosts.setdefault(host, len(hosts)) for host in referrers]
    return list(hosts), places
