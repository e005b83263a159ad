"""Exports of views over HTTP (R13), streamed as fast as the client reads."""

import asyncio
from typing import Final

from aiohttp import web
from pydantic import Field

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
"""Bytes of one write: what the transport buffers before it applies back-pressure."""
_LEAST_RATE: Final = 1 << 15
"""Bytes per second that a client must read on average, because a process serves only two exports at once."""
_STALL: Final = 120.0
"""Seconds by which a client may be behind that rate, and for which it may read nothing."""

routes = RouteTable("analytics")


class ExportQuery(PeriodQuery):
    """Parameters of an export."""

    format: Format = Field(Format.JSONL, description="The format of the file.")


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

    The columns are `event_id, event_time, day, product_id, sku, visitor_id, referrer_host, is_bot`, always in the same
    order. `sku` is the product's current SKU, or its last one before it was deleted. Parquet is one file. A response
    whose chunked body does not end is incomplete: repeat the request. A process serves two exports at once and refuses
    more with 503.
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
    """The client of a response that has started, and the seconds for which it may still delay the export."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._patience = _STALL

    async def take(self, piece: memoryview) -> None:
        """Write a piece as fast as the client reads. Raises ConnectionError if it disconnects or reads too slowly."""
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
