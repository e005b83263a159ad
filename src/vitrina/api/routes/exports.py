"""Exports of views (R13) and of prices over HTTP, streamed as fast as the client reads."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.routing import RouteOptions, RouteTable
from vitrina.api.http.validation import QueryModel
from vitrina.api.schemas.analytics import Day, PeriodQuery
from vitrina.domain.api_keys import Scope
from vitrina.domain.reports import Format, Period
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import Overloaded, ReportsNotInstalled, StreamingUnsupported

_MEDIA_TYPES: Final = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_FORMAT: Final = "The format of the file."
_SLICE: Final = 1 << 16
"""Bytes of one write: what the transport buffers before it applies back-pressure."""
_LEAST_RATE: Final = 1 << 15
"""Bytes per second that a client must read on average, because a process serves only two exports at once."""
_STALL: Final = 120.0
"""Seconds by which a client may be behind that rate. `Connection` cuts one that reads nothing at all earlier."""

_EXPORT: Final[RouteOptions] = {
    "allow": PRODUCT_MANAGERS,
    "scope": Scope.READ,
    "responses": {200: ("application/x-ndjson", "text/csv", "application/vnd.apache.parquet")},
    "errors": (Overloaded, ReportsNotInstalled, StreamingUnsupported),
    "response_headers": ("Content-Disposition",),
    "deadline": False,
}

routes = RouteTable("analytics")


class ViewExportQuery(PeriodQuery):
    """Parameters of an export of views."""

    format: Format = Field(Format.JSONL, description=_FORMAT)


class PriceExportQuery(QueryModel):
    """Parameters of an export of prices."""

    first: Day | None = Field(None, alias="from", description="The first day, UTC; the beginning by default.")
    last: Day | None = Field(None, alias="to", description="The last day; today by default.")
    format: Format = Field(Format.JSONL, description=_FORMAT)


@routes.get("/v1/analytics/views/export", **_EXPORT)
async def export_views(request: Request[None, ViewExportQuery]) -> web.StreamResponse:
    """Export the views of days, one row an event.

    The columns are `event_id, event_time, day, product_id, sku, visitor_id, referrer_host, is_bot`, always in the same
    order. `sku` is the product's current SKU, or its last one before it was deleted. Parquet is one file. A response
    whose chunked body does not end is incomplete: repeat the request. A process serves two exports at once and refuses
    more with 503.
    """
    services, form = request.app[SERVICES], request.query.format
    await services.load_reports()
    period = services.analytics.period(request.query.first, request.query.last)
    name = f"views-{period.first}-{period.last}"
    return await _stream(request, name, form, services.exports.views(period, form))


@routes.get("/v1/analytics/prices/export", **_EXPORT)
async def export_prices(request: Request[None, PriceExportQuery]) -> web.StreamResponse:
    """Export the prices that were in force on days, one row a price.

    The columns are `product_id, sku, price, currency, valid_from, valid_to`, always in the same order. `valid_to` is
    empty while a price is in force. A deletion ends a product's price, and a restoration begins one. `sku`, incomplete
    responses and the limit of two exports at once are as in the export of views.
    """
    services, query, form = request.app[SERVICES], request.query, request.query.format
    await services.load_reports()
    period = Period.between(query.first, query.last)
    bounds = {"from": query.first, "to": query.last}
    name = "-".join(["prices", *(f"{word}-{day}" for word, day in bounds.items() if day)])
    return await _stream(request, name, form, services.exports.prices(period, form))


async def _stream(
    request: Request[None, Any],
    name: str,
    form: Format,
    export: AbstractAsyncContextManager[AsyncGenerator[memoryview, None]],
) -> web.StreamResponse:
    """Send an export as a file. A failure before its first piece is a problem, a later one cuts the body short."""
    response = web.StreamResponse(
        headers={"Content-Type": _MEDIA_TYPES[form], "Content-Disposition": f'attachment; filename="{name}.{form}"'}
    )
    if request.is_head:
        await response.prepare(request.raw)
        return response
    async with export as pieces:
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
