"""Stored views as the tests read them: unpacked one by one, independently of the code that packs them."""

import struct
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Final, NamedTuple

from vitrina.domain.views import PackedViews, View, midnight_ms
from vitrina.store.views import ViewStore

_RECORD: Final = struct.Struct(">16s12sIHB")
"""Product, visitor, milliseconds of the day, referrer (0: none, else its list index + 1), and 1 for a bot."""


class StoredView(NamedTuple):
    """A view and its id, which consists of the segment's id and the view's position in it."""

    event_id: str
    view: View


def unpack(packed: PackedViews, day: date) -> Iterator[View]:
    """Yield the views of `day`, unpacked."""
    midnight = midnight_ms(day)
    for product, visitor, of_day_ms, referrer, bot in _RECORD.iter_unpack(packed.events):
        yield View(
            product_id=str(uuid.UUID(bytes=product)),
            at_ms=midnight + of_day_ms,
            visitor=visitor,
            referrer_host=packed.referrers[referrer - 1] if referrer else None,
            bot=bool(bot),
        )


async def read(store: ViewStore, day: date, shard: int, *, page: int = 200) -> AsyncIterator[StoredView]:
    """Yield the views of a day in a shard's partition, by segment; a call reads `page` segments."""
    async for segments in store.pages(day, shard, page=page):
        for segment in segments:
            for place, view in enumerate(unpack(segment.packed, day)):
                yield StoredView(f"{segment.id}-{place}", view)
