"""Reads of one product over HTTP: anonymous ones are cached and counted (R4, R11), others always read the table."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from aiohttp import hdrs, web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.responses import conditional_response, json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.schemas.products import REVALIDATED, RenderedProduct, SeenProduct, product_resource, sees_all
from vitrina.domain.products import Product, is_sku
from vitrina.domain.users import Principal
from vitrina.domain.versions import tag
from vitrina.errors import NotFound, Overloaded
from vitrina.ids import is_id
from vitrina.services.products.cache import Cached, CachedProduct

ONE_PRODUCT: Final = "/v1/products/{product_id:(?!deleted$)[^/]+}"
"""The path of a product, with a pattern that leaves `/v1/products/deleted` to the list of deleted products."""
_STALE: Final = '110 - "Response is Stale"'
"""RFC 7234 section 5.5.1. RFC 9111 dropped the header, and clients that follow it read `Age`."""

routes = RouteTable("products")


@routes.get(
    ONE_PRODUCT,
    allow=PUBLIC,
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
    services, product_id = request.app[SERVICES], request.parameter("product_id")
    return await _read(
        request,
        product_id,
        valid=is_id(product_id),
        cached=services.product_cache.by_id,
        stored=services.products.get,
        etag=lambda product: product.version,
    )


@routes.get(
    "/v1/products/by-sku/{sku}",
    allow=PUBLIC,
    late_authentication=True,
    responses={200: SeenProduct},
    errors=(Overloaded,),
    conditional=True,
)
async def read_product_by_sku(request: Request[None, None]) -> web.Response:
    """Read the live product that holds a SKU.

    An anonymous read is recorded as a view; HEAD, 304 and the reads of signed-in people are not.
    """
    services, sku = request.app[SERVICES], request.parameter("sku")
    return await _read(
        request,
        sku,
        valid=is_sku(sku),
        cached=services.product_cache.by_sku,
        stored=services.products.get_by_sku,
        etag=lambda product: tag(product.id, product.version),
    )


async def _read(
    request: Request[None, None],
    name: str,
    *,
    valid: bool,
    cached: Callable[[str], Awaitable[Cached[CachedProduct[RenderedProduct]]]],
    stored: Callable[[str], Coroutine[Any, Any, Product]],
    etag: Callable[[Product], int | str],
) -> web.Response:
    """Respond with the product of an id or a SKU.

    Anonymous readers get it from the cache once the view is stored; a 304 and the response to a HEAD are no views.
    """
    if not valid:
        await request.authenticate()
        raise NotFound
    if hdrs.AUTHORIZATION in request.raw.headers:
        viewer, product = await _authenticated_read(request, stored(name))
        if product.deleted_at is not None and not sees_all(viewer):
            raise NotFound
        return conditional_response(request, product_resource(product, viewer), etag=etag(product))
    with request.app[SERVICES].views.reserve() as view:
        found = await cached(name)
        product, content = found.value.product, found.value.content
        if request.if_none_match(version := etag(product)):
            return json_response(status=304, etag=version, headers=REVALIDATED)
        if not request.is_head:
            await view.record(
                product.id,
                address=request.address,
                user_agent=request.user_agent,
                referrer=request.raw.headers.get(hdrs.REFERER),
                speculative=request.is_speculative,
            )
    headers = content.headers.copy()
    headers[hdrs.ETAG] = f'"{version}"'
    if found.age is not None:
        headers["Warning"] = _STALE
        headers["Age"] = str(int(found.age))
    return web.Response(body=content.body, headers=headers)


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
