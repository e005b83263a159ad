"""Exports that are asked for over HTTP: few at once, each as slow as its reader."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from vitrina.domain.reports import Period
from vitrina.errors import Overloaded
from vitrina.services.exports.formats import Format, new_encoder
from vitrina.services.exports.source import ViewSource
from vitrina.services.exports.stream import Exporter

_RETRY_AFTER: Final = 10


class LimitedExports:
    """At most `at_once` exports of a process: each holds 50 MB of what it has read ahead, 100 MB as Parquet."""

    def __init__(self, source: ViewSource, *, at_once: int = 2) -> None:
        """Take what to read."""
        self._source = source
        self._free = at_once

    @asynccontextmanager
    async def stream(self, period: Period, form: Format) -> AsyncIterator[AsyncGenerator[memoryview, None]]:
        """Begin an export; its first piece comes when the first pages have been read.

        Raises Overloaded when there are too many, and TableUnavailable from the iterator.
        """
        if not self._free:
            raise Overloaded(retry_after=_RETRY_AFTER)
        self._free -= 1
        try:
            with Exporter(self._source) as exporter:
                async with aclosing(exporter.stream(period, new_encoder(form))) as pieces:
                    yield pieces
        finally:
            self._free += 1
