"""Exports over HTTP, of which a process serves a few at once."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Final

from vitrina.domain.reports import Format, Period
from vitrina.errors import Overloaded
from vitrina.services.exports.formats import new_encoder
from vitrina.services.exports.prices import PriceExporter
from vitrina.services.exports.source import ViewSource
from vitrina.services.exports.stream import Exporter
from vitrina.store.listings import ProductListings

_RETRY_AFTER: Final = 10


class LimitedExports:
    """Exports of views and of prices, at most `at_once` per process.

    Each export of views holds 50 MB of read-ahead, as Parquet 100 MB.
    """

    def __init__(self, source: ViewSource, listings: ProductListings, *, at_once: int = 2) -> None:
        self._source = source
        self._listings = listings
        self._free = at_once

    @asynccontextmanager
    async def views(self, period: Period, form: Format) -> AsyncIterator[AsyncGenerator[memoryview, None]]:
        """Start an export of views; its first piece comes once the first pages have been read.

        Raises Overloaded if too many are running; the iterator raises TableUnavailable.
        """
        with self._slot(), Exporter(self._source) as exporter:
            async with aclosing(exporter.stream(period, new_encoder(form))) as pieces:
                yield pieces

    @asynccontextmanager
    async def prices(self, period: Period, form: Format) -> AsyncIterator[AsyncGenerator[memoryview, None]]:
        """Start an export of the prices that were in force at some time of a period, as `views` does."""
        with self._slot():
            async with aclosing(PriceExporter(self._listings).stream(form, period)) as pieces:
                yield pieces

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._free:
            raise Overloaded(retry_after=_RETRY_AFTER)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
