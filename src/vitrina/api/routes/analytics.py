"""Reports of views over HTTP (R12)."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.analytics import (
    DayEntry,
    LeaderEntry,
    LeaderReport,
    LeadersQuery,
    PeriodQuery,
    ViewReport,
)
from vitrina.api.schemas.products import product_resource
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import NotFound, Overloaded

routes = RouteTable("analytics")


@routes.get("/v1/products/{product_id}/views", allow=PRODUCT_MANAGERS, responses={200: ViewReport}, errors=(NotFound,))
async def get_product_views(request: Request[None, PeriodQuery]) -> web.Response:
    """Count a product's views, day by day, people and bots apart."""
    product_id = request.parameter("product_id")
    analytics = request.app[SERVICES].analytics
    period = analytics.period(request.query.first, request.query.last)
    days = await analytics.of_product(product_id, period)
    return json_response(
        ViewReport(
            product_id=product_id,
            first=period.first,
            last=period.last,
            total=sum(day.counts.views for day in days),
            unique_visitors=sum(day.counts.unique_visitors for day in days),
            bots=sum(day.counts.bots for day in days),
            days=[DayEntry(day=day.day, **day.counts._asdict()) for day in days],
        )
    )


@routes.get("/v1/analytics/top-products", allow=PRODUCT_MANAGERS, responses={200: LeaderReport}, errors=(Overloaded,))
async def list_top_products(request: Request[None, LeadersQuery]) -> web.Response:
    """List the products with the most views."""
    analytics = request.app[SERVICES].analytics
    period = analytics.period(request.query.first, request.query.last)
    leaders = await analytics.leaders(period, limit=request.query.limit)
    items = [
        LeaderEntry.model_validate(
            {
                "product": product_resource(leader.product, request.caller),
                "views": leader.counts.views,
                "unique_visitors": leader.counts.unique_visitors,
            }
        )
        for leader in leaders
    ]
    return json_response(LeaderReport(items=items))
