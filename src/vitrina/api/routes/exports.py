"""The history of views over HTTP (R13): a stream that goes no faster than its reader."""

import asyncio
from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.analytics import PeriodQuery
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import Overloaded
from vitrina.services.exports.formats import Format

_MEDIA_TYPES: Final = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_SLICE: Final = 1 << 16
"""Bytes handed to the connection at once: as much as it holds before it makes us wait."""
_LEAST_RATE: Final = 1 << 15
"""Bytes a second that a reader has to take on the whole: the two of a process must not be kept from others."""
_STALL: Final = 120.0
"""Seconds by which a reader may be behind that rate, and without taking a slice at all."""

routes = RouteTable("analytics")


class ExportQuery(PeriodQuery):
    """Parameters of an export."""

    format: Format = Format.JSONL


@routes.get(
    "/v1/analytics/views/export",
    allow=PRODUCT_MANAGERS,
    responses={200: ("application/x-ndjson", "text/csv", "application/vnd.apache.parquet")},
    errors=(Overloaded,),
    response_headers=("Content-Disposition",),
    deadline=False,
)
async def export_views(request: Request[None, ExportQuery]) -> web.StreamResponse:
    """Export the views of days, one row an event.

    `event_id, day, at, product_id, sku, visitor, referrer_host, bot`, in an order that stays the same. `sku` is the
    product's now, or what it was before it was deleted. Parquet is one file. An answer that is cut short (its
    chunked body does not end) is not whole: ask again. A process serves two exports at once; past that, 503.
    """
    services, form = request.app[SERVICES], request.query.format
    period = services.analytics.period(request.query.first, request.query.last)
    name = f"views-{period.first}-{period.last}.{form}"
    response = web.StreamResponse(
        headers={"Content-Type": _MEDIA_TYPES[form], "Content-Disposition": f'attachment; filename="{name}"'}
    )
    if request.is_head:
        await response.prepare(request.raw)
        return response
    async with services.exports.stream(period, form) as pieces:
        begin = await anext(pieces)
        await response.prepare(request.raw)
        reader = _Reader(response)
        await reader.take(begin)
        async for piece in pieces:
            await reader.take(piece)
    await response.write_eof()
    return response


class _Reader:
    """Who an answer is written to, and for how many seconds more it may keep us waiting."""

    def __init__(self, response: web.StreamResponse) -> None:
        """Take an answer that has begun."""
        self._response = response
        self._patience = _STALL

    async def take(self, piece: memoryview) -> None:
        """Write a piece as fast as it is read. Raises ConnectionError when nobody reads any more, or too slowly."""
        time = asyncio.get_running_loop().time
        for first in range(0, len(piece), _SLICE):
            part = piece[first : first + _SLICE]
            began = time()
            try:
                async with asyncio.timeout(min(self._patience, _STALL)):
                    await self._response.write(part)
            except TimeoutError as error:
                raise ConnectionAbortedError("an export was not read") from error
            self._patience += len(part) / _LEAST_RATE - (time() - began)
