"""Reads of products over HTTP: anonymous ones are cached, others always read the table.

An anonymous read of a single product is recorded as a view (R4, R11), one of a list is not.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from decimal import Decimal
from typing import Any, Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.pagination import PageQuery, Q, start_position
from vitrina.api.http.request import Request
from vitrina.api.http.responses import conditional_response, json_response, render
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.schemas.product_pages import ProductPage, ProductQuery, RenderedPage, rendered_page
from vitrina.api.schemas.products import REVALIDATED, PriceEntry, PricePage, SeenProduct, product_resource, sees_all
from vitrina.domain.api_keys import Scope
from vitrina.domain.money import MOST_AMOUNT
from vitrina.domain.products import Listing, PriceRange, Product, is_sku
from vitrina.domain.text import fold
from vitrina.domain.users import Principal
from vitrina.domain.versions import tag
from vitrina.errors import NotFound, Overloaded
from vitrina.ids import is_id
from vitrina.services.products.lookup import Selection
from vitrina.services.products.read_through import Cached

ONE_PRODUCT: Final = "/v1/products/{product_id:(?!(?:batch|deleted)$)[^/]+}"
"""The path of a product, with a pattern that leaves out the two paths beside it."""
_STALE: Final = '110 - "Response is Stale"'
"""RFC 7234 section 5.5.1. RFC 9111 dropped the header, and clients that follow it read `Age`."""

routes = RouteTable("products")


@routes.get(
    ONE_PRODUCT,
    allow=PUBLIC,
    scope=Scope.READ,
    late_authentication=True,
    responses={200: SeenProduct},
    errors=(Overloaded,),
    conditional=True,
)
async def read_product(request: Request[None, None]) -> web.Response:
    """Read a product.

    An anonymous read is recorded as a view; HEAD, 304 and the reads of signed-in people are not. Admins see deleted
    products too.
    """
    return await _read(request, request.parameter("product_id"), by_sku=False)


@routes.get(
    "/v1/products/by-sku/{sku}",
    allow=PUBLIC,
    scope=Scope.READ,
    late_authentication=True,
    responses={200: SeenProduct},
    errors=(Overloaded,),
    conditional=True,
)
async def read_product_by_sku(request: Request[None, None]) -> web.Response:
    """Read the live product that holds a SKU.

    An anonymous read is recorded as a view; HEAD, 304 and the reads of signed-in people are not.
    """
    return await _read(request, request.parameter("sku"), by_sku=True)


@routes.get(
    "/v1/products",
    allow=PUBLIC,
    scope=Scope.READ,
    responses={200: ProductPage},
    conditional=True,
)
async def list_products(request: Request[None, ProductQuery]) -> web.Response:
    """List live products: all, those of some filters, or those of some ids or SKUs.

    An anonymous page may be as old as a single product that is read without signing in.
    """
    asked = _asked(request.query)
    return await _page_response(request, asked, lambda: _read_page(request, asked))


@routes.get(
    "/v1/products/{product_id}/prices",
    allow=PUBLIC,
    scope=Scope.READ,
    responses={200: PricePage},
    conditional=True,
)
async def list_product_prices(request: Request[None, PageQuery]) -> web.Response:
    """List a product's prices, newest first.

    What an anonymous reader gets may be as old as a single product that is read without signing in.
    """
    product_id = request.parameter("product_id")
    return await _page_response(request, ("prices", product_id), lambda: _read_prices(request, product_id))


async def _page_response(
    request: Request[None, Q], asked: Hashable, read: Callable[[], Coroutine[Any, Any, RenderedPage]]
) -> web.Response:
    """Respond with the page of what is `asked`: from the cache to anonymous readers.

    For others it is read, once for concurrent requests.
    """
    query = request.query
    key = (asked, query.limit, query.cursor, sees_all(request.principal))
    if request.principal is not None:
        page = await request.app[SERVICES].page_reads.get(key, read)
        headers = None if page.next_cursor is None else {"Link": request.next_link(page.next_cursor)}
        return conditional_response(request, page.body, etag=page.etag, headers=headers)
    found: Cached[RenderedPage]
    if isinstance(asked, Selection) and not asked.is_readable:
        found = Cached(await read(), read_at=0.0)
    else:  # The cache takes each read for an answer of the table.
        cache = request.app[SERVICES].product_cache
        is_first = not query.cursor and isinstance(asked, Listing) and asked.is_whole
        found = await (cache.first_pages if is_first else cache.pages).get(key, read)
    page = found.value
    if request.if_none_match(page.etag):
        return json_response(status=304, etag=page.etag, headers=REVALIDATED)
    response = json_response(page.body, etag=page.etag, headers=REVALIDATED)
    if page.next_cursor is not None:
        response.headers["Link"] = request.next_link(page.next_cursor)
    _add_age(response.headers, found)
    return response


def _asked(query: ProductQuery) -> Listing | Selection:
    """Return what a query asks for."""
    if query.id is not None:
        return Selection("id", tuple(query.id))
    if query.sku is not None:
        return Selection("sku", tuple(query.sku))
    prices = None
    if query.price_min is not None or query.price_max is not None:
        prices = PriceRange(query.price_min or Decimal(0), MOST_AMOUNT if query.price_max is None else query.price_max)
    return Listing(
        sort=query.order,
        brand=query.brand and fold(query.brand),
        name_prefix=query.name_prefix and fold(query.name_prefix),
        prices=prices,
    )


async def _read_page(request: Request[None, ProductQuery], asked: Listing | Selection) -> RenderedPage:
    """Read a page as the caller may see it, from the writer after a write of this process. Raises InvalidCursor.

    For accounts products by id or SKU are always read from the writer, as single ones are.
    """
    services = request.app[SERVICES]
    fresh = not services.product_cache.pages.is_settled
    if isinstance(asked, Selection):
        selected = await services.product_lookup.find(asked, consistent=fresh or request.principal is not None)
        return rendered_page(selected.products, None, request.principal, selected.missing)
    scope = ("products", asked.sort, asked.brand, asked.name_prefix, *map(str, asked.prices or ()))
    start = start_position(request, scope)
    page = await services.products.page(asked, limit=request.query.limit, start=start, fresh=fresh)
    return rendered_page(page.items, services.cursors.write(scope, page.next), request.principal)


async def _read_prices(request: Request[None, PageQuery], product_id: str) -> RenderedPage:
    """Read a page of prices as the caller may see it. Raises InvalidCursor, NotFound."""
    scope = ("prices", product_id)
    found = await request.app[SERVICES].product_prices.history(
        product_id,
        limit=request.query.limit,
        start=start_position(request, scope),
        current=sees_all(request.principal),
    )
    cursor = request.app[SERVICES].cursors.write(scope, found.page.next)
    content = PricePage(
        items=[PriceEntry.model_validate(period) for period in found.page.items],
        next_cursor=cursor,
        lowest_last_30_days=found.lowest_last_30_days,
        lowest_30_days_before_reduction=found.lowest_30_days_before_reduction,
    )
    return RenderedPage.of(render(content), cursor)


async def _read(request: Request[None, None], name: str, *, by_sku: bool) -> web.Response:
    """Respond with the product of an id or a SKU.

    Anonymous readers get it from the cache once the view is stored; a 304 and the response to a HEAD are no views.
    """
    services = request.app[SERVICES]
    if not (is_sku(name) if by_sku else is_id(name)):
        await request.authenticate()
        raise NotFound
    if hdrs.AUTHORIZATION in request.raw.headers:
        reading = services.products.get_by_sku(name) if by_sku else services.products.get(name)
        viewer, product = await _authenticated_read(request, reading)
        if product.deleted_at is not None and not sees_all(viewer):
            raise NotFound
        return conditional_response(request, product_resource(product, viewer), etag=_etag(product, by_sku=by_sku))
    with services.views.reserve() as view:
        found = await (services.product_cache.by_sku(name) if by_sku else services.product_cache.by_id(name))
        product, content = found.value.product, found.value.content
        etag = _etag(product, by_sku=by_sku)
        if request.if_none_match(etag):
            return json_response(status=304, etag=etag, headers=REVALIDATED)
        if not request.is_head:
            await view.record(
                product.id,
                address=request.address,
                user_agent=request.user_agent,
                referrer=request.raw.headers.get(hdrs.REFERER),
                speculative=request.is_speculative,
            )
    headers: CIMultiDict[str] = content.headers.copy()
    if by_sku:
        headers[hdrs.ETAG] = f'"{etag}"'
    _add_age(headers, found)
    return web.Response(body=content.body, headers=headers)


def _add_age(headers: CIMultiDict[str], found: Cached[Any]) -> None:
    """Add `Age` and `Warning` to the headers of a stale response, which an outage of the table causes."""
    if found.age is not None:
        headers["Warning"] = _STALE
        headers["Age"] = str(int(found.age))


def _etag(product: Product, *, by_sku: bool) -> int | str:
    """Return the tag of a product; by SKU it names the product too, because the SKU may go to another one."""
    return tag(product.id, product.version) if by_sku else product.version


async def _authenticated_read(
    request: Request[None, None], reading: Coroutine[Any, Any, Product]
) -> tuple[Principal | None, Product]:
    """Read while the token is checked. If the token is rejected, the result of the read is discarded."""
    task = asyncio.create_task(reading)
    try:
        viewer = await request.authenticate()
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return viewer, await task
