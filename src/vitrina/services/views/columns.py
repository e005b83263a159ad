"""Packed views as columns: what no loop of Python could unpack while the next page is on its way.

Every step works on all rows at once: on planes of bytes (every 35th byte of a batch), or in Arrow, without the
interpreter's lock.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from vitrina.domain.views import VIEW_BYTES, PackedViews

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 40 MB more, some for each thread, and is no faster.

# Where a view has what, as `domain.views` packs it; a test holds the two together.
PRODUCT: Final = (0, 16)
VISITOR: Final = (16, 28)
TIME: Final = (28, 32)
REFERRER: Final = (32, 34)
FLAGS: Final = 34


def joined(segments: Iterable[PackedViews]) -> bytes:
    """Return the views of segments, one after the other."""
    return b"".join(segment.events for segment in segments)


def fixed(data: bytes, width: int = VIEW_BYTES) -> pa.Array:
    """Return bytes as values of one width: of packed views, each a view."""
    return pa.Array.from_buffers(pa.binary(width), len(data) // width, [None, pa.py_buffer(data)])


def number(data: bytes, place: tuple[int, int], kind: pa.DataType, *, width: int = VIEW_BYTES) -> pa.Array:
    """Return the big-endian number at `place` of each row: planes of bytes, put together the other way round."""
    size, rows = kind.bit_width // 8, len(data) // width
    numbers = bytearray(size * rows)
    first, last = place
    for significance, offset in enumerate(reversed(range(first, last))):
        numbers[significance::size] = data[offset::width]
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(numbers)])


def repeated(values: pa.Array, times: Sequence[int]) -> pa.Array:
    """Repeat each value so many times."""
    ends = pa.array(accumulate(times), pa.int32())
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, values))


def referrers(data: bytes, segments: Sequence[PackedViews]) -> pa.Array:
    """Return the referrer of each view of `data`: its place among those of all segments, with None before each's."""
    starts = accumulate((1 + len(segment.referrers) for segment in segments[:-1]), initial=0)
    before = repeated(pa.array(starts, pa.int32()), [len(segment) for segment in segments])
    return pc.add(before, number(data, REFERRER, pa.int32()))
