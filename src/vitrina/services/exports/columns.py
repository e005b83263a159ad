"""Packed views as columns: what no loop of Python could unpack while the next page is on its way.

Every step works on all rows at once: on planes of bytes (every 35th byte of a batch), or in Arrow, without the
interpreter's lock.
"""

from binascii import hexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vitrina.domain.reports import product_id_of
from vitrina.domain.views import BOT, midnight_ms
from vitrina.store.views import Segment

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 40 MB more, some for each thread, and is no faster.

# Where a view has what, as `domain.views` packs it; a test holds the two together.
_RECORD: Final = 35
_PRODUCT: Final = (0, 16)
_VISITOR: Final = (16, 28)
_TIME: Final = (28, 32)
_REFERRER: Final = (32, 34)
_FLAGS: Final = (34, 35)


class Products(NamedTuple):
    """The products of some events: `of_event` points into `ids`, which has each once."""

    ids: list[str]
    of_event: pa.Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Some events of a day, each value once: `referrer` points into `hosts`.

    `of_day` is in milliseconds since midnight, UTC; `hosts` begins with None, for those that came from nowhere.
    """

    day: date
    rows: int
    event_id: pa.Array
    of_day: pa.Array
    products: Products
    visitor: pa.Array
    referrer: pa.Array
    hosts: list[str | None]
    bot: pa.Array

    def at(self) -> pa.Array:
        """Return when each was, as `timestamp[ms, UTC]`."""
        return pc.add(self.of_day.cast(pa.int64()), midnight_ms(self.day)).cast(pa.timestamp("ms", "UTC"))


def products_of(segments: Sequence[Segment]) -> Products:
    """Return what at least one segment's events saw: a small part of `decode`, which more work can begin with."""
    seen = pc.binary_slice(_records(_joined(segments)), *_PRODUCT).dictionary_encode()
    return Products([product_id_of(product) for product in seen.dictionary.to_pylist()], seen.indices)


def decode(day: date, segments: Sequence[Segment], products: Products) -> Events:
    """Return the events of at least one segment, in their order; `products` are theirs."""
    data = _joined(segments)
    sizes = [len(segment.packed) for segment in segments]
    records = _records(data)
    rows = len(records)
    hosts, places = _hosts(segment.packed.referrers for segment in segments)
    starts = [0]
    for segment in segments[:-1]:
        starts.append(starts[-1] + 1 + len(segment.packed.referrers))
    named = pc.add(_repeated(pa.array(starts, pa.int32()), sizes), _number(data, _REFERRER, rows, pa.int32()))
    return Events(
        day=day,
        rows=rows,
        event_id=_event_ids(segments, sizes),
        of_day=_number(data, _TIME, rows, pa.int32()),
        products=products,
        visitor=_in_hex(pc.binary_slice(records, *_VISITOR)),
        referrer=pa.array(places, pa.int32()).take(named),
        hosts=hosts,
        bot=pc.bit_wise_and(_number(data, _FLAGS, rows, pa.int32()), BOT).cast(pa.bool_()),
    )


def _joined(segments: Sequence[Segment]) -> bytes:
    return b"".join(segment.packed.events for segment in segments)


def _records(data: bytes) -> pa.Array:
    return _fixed(data, _RECORD, len(data) // _RECORD)


def _in_hex(values: pa.Array) -> pa.Array:
    """Write values of one width in hexadecimal."""
    _, data = values.buffers()
    width = values.type.byte_width
    digits = hexlify(data[values.offset * width : (values.offset + len(values)) * width])
    return _fixed(digits, 2 * width, len(values)).cast(pa.string())


def _event_ids(segments: Sequence[Segment], sizes: Sequence[int]) -> pa.Array:
    """Return the id of each event: its segment's, and its place in it."""
    ids = _repeated(pa.array([segment.id for segment in segments]), sizes)
    numbers = pa.array([str(number) for number in range(max(sizes))])
    return pc.binary_join_element_wise(ids, pa.concat_arrays([numbers[:size] for size in sizes]), "-")


def _hosts(lists: Iterable[Sequence[str]]) -> tuple[list[str | None], list[int]]:
    """Return every host once, and where the entries of each segment's list are among them, with None before each."""
    hosts: dict[str | None, int] = {None: 0}
    places: list[int] = []
    for referrers in lists:
        places.append(0)
        places += [hosts.setdefault(host, len(hosts)) for host in referrers]
    return list(hosts), places


def _repeated(values: pa.Array, times: Sequence[int]) -> pa.Array:
    """Repeat each value so many times."""
    ends: list[int] = []
    end = 0
    for number in times:
        end += number
        ends.append(end)
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), values))


def _fixed(data: bytes, width: int, rows: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(data)])


def _number(data: bytes, place: tuple[int, int], rows: int, kind: pa.DataType) -> pa.Array:
    """Return the big-endian number at `place` of each record: planes of bytes, put together the other way round."""
    width = kind.bit_width // 8
    numbers = bytearray(width * rows)
    first, last = place
    for significance, offset in enumerate(reversed(range(first, last))):
        numbers[significance::width] = data[offset::_RECORD]
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(numbers)])
