"""Unpacks packed views to Arrow columns; every step works on all rows at once, faster than a loop in Python.

The steps copy planes of bytes (every 35th byte of a batch) or run in Arrow without the interpreter's lock, while the
next page is being read.
"""

from binascii import hexlify
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from vitrina.domain.reports import product_id_of
from vitrina.domain.views import BOT, VIEW_BYTES, PackedViews, midnight_ms
from vitrina.services.arrow import pa, pc
from vitrina.store.views import Segment

CACHED_PRODUCTS: Final = 16_384
"""Products whose texts are cached from one batch to the next, 200 bytes each: most of them occur again."""

# Byte positions in a packed view, as `domain.views` packs it; a test compares the two.
PRODUCT: Final = (0, 16)
VISITOR: Final = (16, 28)
TIME: Final = (28, 32)
REFERRER: Final = (32, 34)
FLAGS: Final = 34

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

    def time(self) -> pa.Array:
        """Return the time of each event, as `timestamp[ms, UTC]`."""
        return pc.add(self.of_day.cast(pa.int64()), midnight_ms(self.day)).cast(pa.timestamp("ms", "UTC"))

    def of_segments(self, text: Callable[[str], str]) -> pa.Array:
        """Return for each event `text` of its segment's id."""
        return _repeated(pa.array(map(text, self.segments), pa.string()), self.sizes)

    def of_places(self, text: Callable[[int], str]) -> pa.Array:
        """Return for each event `text` of its place in its segment."""
        places = pa.array(map(text, range(max(self.sizes))), pa.string())
        return pa.concat_arrays([places[:size] for size in self.sizes])


def products_of(segments: Sequence[Segment]) -> ProductColumn:
    """Return the products of at least one segment: a quick part of `decode`, so that their SKUs are read meanwhile."""
    views = fixed(joined(segment.packed for segment in segments))
    seen = pc.binary_slice(views, *PRODUCT).dictionary_encode()
    return ProductColumn([*map(_product_id, seen.dictionary.to_pylist())], seen.indices)


def decode(day: date, segments: Sequence[Segment], products: ProductColumn) -> EventBatch:
    """Return the events of at least one segment, in their order; `products` is their `products_of`."""
    parts = [segment.packed for segment in segments]
    data = joined(parts)
    hosts: dict[str | None, int] = {None: 0}
    places = [hosts.setdefault(host, len(hosts)) for part in parts for host in (None, *part.referrers)]
    return EventBatch(
        day=day,
        rows=len(data) // VIEW_BYTES,
        segments=[segment.id for segment in segments],
        sizes=[len(part) for part in parts],
        of_day=number(data, TIME, pa.int32()),
        products=products,
        visitor=_in_hex(pc.binary_slice(fixed(data), *VISITOR)),
        referrer=pa.array(places, pa.int32()).take(referrers(data, parts)),
        hosts=list(hosts),
        bot=pc.bit_wise_and(number(data, (FLAGS, VIEW_BYTES), pa.int32()), BOT).cast(pa.bool_()),
    )


def joined(segments: Iterable[PackedViews]) -> bytes:
    """Return the packed views of all segments, joined."""
    return b"".join(segment.events for segment in segments)


def fixed(data: bytes, width: int = VIEW_BYTES) -> pa.Array:
    """Return bytes as an array of fixed-width values, by default one per packed view."""
    return pa.Array.from_buffers(pa.binary(width), len(data) // width, [None, pa.py_buffer(data)])


def number(data: bytes, place: tuple[int, int], kind: pa.DataType, *, width: int = VIEW_BYTES) -> pa.Array:
    """Return the big-endian number at `place` of each row, by copying planes of bytes in reverse order."""
    size, rows = kind.bit_width // 8, len(data) // width
    numbers = bytearray(size * rows)
    for significance, offset in enumerate(reversed(range(*place))):
        numbers[significance::size] = data[offset::width]
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(numbers)])


def referrers(data: bytes, segments: Sequence[PackedViews]) -> pa.Array:
    """Return the referrer of each view of `data` as an index into the referrers of all segments.

    None precedes the list of each segment.
    """
    starts = accumulate((1 + len(segment.referrers) for segment in segments[:-1]), initial=0)
    before = _repeated(pa.array(starts, pa.int32()), [len(segment) for segment in segments])
    return pc.add(before, number(data, REFERRER, pa.int32()))


def _repeated(values: pa.Array, times: Sequence[int]) -> pa.Array:
    """Repeat each value as many times as `times` says."""
    ends = pa.array(accumulate(times), pa.int32())
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, values))


def _in_hex(values: pa.Array) -> pa.Array:
    """Return values of fixed width as hexadecimal text."""
    _, data = values.buffers()
    width = values.type.byte_width
    digits = hexlify(data[values.offset * width : (values.offset + len(values)) * width])
    return fixed(digits, 2 * width).cast(pa.string())
