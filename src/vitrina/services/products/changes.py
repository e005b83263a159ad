"""The feed of all changes of products, by which another system is kept in step."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.notices import PriceChanged
from vitrina.domain.pages import MAX_LIMIT, Page, Position
from vitrina.domain.products import Change
from vitrina.store.changes import ChangeStore

SETTLED: Final = timedelta(seconds=7)
"""Age of the changes that the feed has.

Clocks of processes may differ by 2 s, a change is sent at most 2.5 s after its time is taken (`store/products.py`), and
then has 2.5 s to reach the index. So nothing can appear before what was read (table_design.md, "The feed of changes").
"""


class ChangeFeed:
    """Reads the feed."""

    def __init__(self, store: ChangeStore, *, clock: Clock = now) -> None:
        self._store = store
        self._clock = clock

    async def page(self, *, start: Position | None, since: datetime | None, limit: int) -> Page[Change]:
        """Return changes after the position `start`, or else from `since` or the oldest one on.

        They come oldest first, those of a product in order, each within 10 s of its write. `next` is never None: the
        page after it has what changes later.
        """
        return await self._store.page(start=start, since=since, until=self._clock() - SETTLED, limit=limit)

    async def price_changes(self, *, hours: int) -> AsyncIterator[list[PriceChanged]]:
        """Yield the price changes of the last hours, oldest first, in lists of those of a page."""
        start: Position | None = None
        since = self._clock() - timedelta(hours=hours)
        while (page := await self.page(start=start, since=since, limit=MAX_LIMIT)).items:
            start = page.next
            yield [PriceChanged.of(change) for change in page.items if change.moves_price]
