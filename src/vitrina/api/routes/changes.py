"""The feed of all changes of products over HTTP."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.pagination import page_response, start_position
from vitrina.api.http.request import Request
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.products import ChangeFeedQuery, FeedEntry, FeedPage
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import ValidationFailed

routes = RouteTable("products")
_SCOPE = ("changes",)


@routes.get("/v1/changes", allow=PRODUCT_MANAGERS, scope=Scope.READ, responses={200: FeedPage})
async def list_changes(request: Request[None, ChangeFeedQuery]) -> web.Response:
    """List the changes of all products, the oldest first, to keep another system in step.

    Every change of every product is there at least once, those of one product in the order of their versions, and at
    the latest 10 seconds after its response. Follow `next_cursor`, which the last page and an empty one have too: it
    never expires, and is where to go on later. `changes` are those of the product's fields, as in its history.
    """
    query = request.query
    if query.cursor and query.since is not None:
        raise ValidationFailed.of("from", "cannot be combined with a cursor, which already says where to go on")
    page = await request.app[SERVICES].change_feed.page(
        start=start_position(request, _SCOPE), since=query.since, limit=query.limit
    )
    content = FeedPage(items=[FeedEntry.model_validate(change) for change in page.items], next_cursor="")
    return page_response(request, _SCOPE, page, content)
