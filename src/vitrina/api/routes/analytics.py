"""Reports of views over HTTP (R12)."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.analytics import DayEntry, LeaderEntry, LeaderReport, LeadersQuery, PeriodQuery, ViewReport
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import Overloaded, ReportsNotInstalled

routes = RouteTable("analytics")


@routes.get(
    "/v1/products/{product_id}/views",
    allow=PRODUCT_MANAGERS,
    scope=Scope.READ,
    responses={200: ViewReport},
    errors=(ReportsNotInstalled,),
)
async def get_product_views(request: Request[None, PeriodQuery]) -> web.Response:
    """Count a product's views, day by day, people and bots apart.

    Bots are crawlers and health checkers, known by their `User-Agent`, and browsers that read ahead of a visit, known
    by `Sec-Purpose`, `Purpose`, `X-Purpose` or `X-Moz`.
    """
    product_id = request.parameter("product_id")
    services = request.app[SERVICES]
    await services.load_reports()
    analytics = services.analytics
    period = analytics.period(request.query.first, request.query.last)
    days = await analytics.of_product(product_id, period)
    return json_response(
        ViewReport(
            product_id=product_id,
            first=period.first,
            last=period.last,
            total=sum(counts.views for counts in days.values()),
            unique_visitors=sum(counts.unique_visitors for counts in days.values()),
            bots=sum(counts.bots for counts in days.values()),
            days=[DayEntry(day=day, **counts._asdict()) for day, counts in days.items()],
        )
    )


@routes.get(
    "/v1/analytics/top-products",
    allow=PRODUCT_MANAGERS,
    scope=Scope.READ,
    responses={200: LeaderReport},
    errors=(Overloaded, ReportsNotInstalled),
)
async def list_top_products(request: Request[None, LeadersQuery]) -> web.Response:
    """List the products with the most views."""
    services = request.app[SERVICES]
    await services.load_reports()
    analytics = services.analytics
    period = analytics.period(request.query.first, request.query.last)
    leaders = await analytics.leaders(period, limit=request.query.limit)
    return json_response(LeaderReport(items=[LeaderEntry.model_validate(leader) for leader in leaders]))
