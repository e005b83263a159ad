"""Unpacks packed views to Arrow columns, faster than a loop in Python: while the next page is being read.

Every step works on all rows at once: on planes of bytes (every 35th byte of a batch), or in Arrow, without the
interpreter's lock.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from vitrina.domain.views import VIEW_BYTES, PackedViews

# Arrow's own pool keeps 40 MB more, some of it for each thread, and is no faster.
pa.set_memory_pool(pa.system_memory_pool())

# Byte positions in a packed view, as `domain.views` packs it; a test compares the two.
PRODUCT: Final = (0, 16)
VISITOR: Final = (16, 28)
TIME: Final = (28, 32)
REFERRER: Final = (32, 34)
FLAGS: Final = 34


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
    first, last = place
    for significance, offset in enumerate(reversed(range(first, last))):
        numbers[significance::size] = data[offset::width]
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(numbers)])


def repeated(values: pa.Array, times: Sequence[int]) -> pa.Array:
    """Repeat each value as many times as `times` says."""
    ends = pa.array(accumulate(times), pa.int32())
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, values))


def referrers(data: bytes, segments: Sequence[PackedViews]) -> pa.Array:
    """Return the referrer of each view of `data` as an index into the referrers of all segments.

    None precedes the list of each segment.
    """
    starts = accumulate((1 + len(segment.referrers) for segment in segments[:-1]), initial=0)
    before = repeated(pa.array(starts, pa.int32()), [len(segment) for segment in segments])
    return pc.add(before, number(data, REFERRER, pa.int32()))
