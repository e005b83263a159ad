"""Single products over HTTP: anonymous reads leave a view (R4, R11), all others are as fresh as the table."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

from aiohttp import web

from vitrina.api.http.request import Call
from vitrina.api.http.responses import answer
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.schemas import presenters
from vitrina.api.schemas.presenters import KeptProduct
from vitrina.api.schemas.resources import SeenProduct
from vitrina.api.services import SERVICES
from vitrina.domain.products import Product, is_sku
from vitrina.domain.users import Principal
from vitrina.errors import NotFound, Overloaded
from vitrina.ids import is_id
from vitrina.services.products.cache import Answer, Kept

ONE_PRODUCT: Final = "/v1/products/{product_id:(?!deleted$)[^/]+}"
"""The path of a product; the list of the deleted ones has its own."""
_STALE: Final = '110 - "Response is Stale"'
"""RFC 7234 section 5.5.1; RFC 9111 dropped the header, and its readers know `Age`."""


async def read(call: Call[None, None]) -> web.Response:
    """Answer a product by its id."""
    services, product_id = call.app[SERVICES], call.parameter("product_id")
    if not is_id(product_id):
        await call.authenticate()
        raise NotFound
    if "Authorization" not in call.request.headers:
        services.views.expect()
        return await _anonymously(call, services.product_cache.by_id(product_id))
    viewer, product = await _side_by_side(call, services.products.read(product_id))
    if product.deleted_at is not None and not presenters.sees_all(viewer):
        raise NotFound
    return _as_signed_in(call, product, viewer)


async def read_by_sku(call: Call[None, None]) -> web.Response:
    """Answer the live product that holds a SKU."""
    services, sku = call.app[SERVICES], call.parameter("sku")
    if not is_sku(sku):
        await call.authenticate()
        raise NotFound
    if "Authorization" not in call.request.headers:
        services.views.expect()
        return await _anonymously(call, services.product_cache.by_sku(sku))
    viewer, product = await _side_by_side(call, services.products.read_by_sku(sku))
    return _as_signed_in(call, product, viewer)


async def _anonymously(call: Call[None, None], reading: Awaitable[Kept[Answer[KeptProduct]]]) -> web.Response:
    """Answer a reader who is expected, from the cache and once the view is stored; a 304 and a HEAD are no views."""
    views = call.app[SERVICES].views
    try:
        kept = await reading
    finally:
        views.has_read()
    product, content = kept.value.product, kept.value.content
    if call.if_none_match(product.version):
        return answer(status=304, etag=product.version, headers=presenters.REVALIDATED)
    if not call.is_head:
        await views.record(
            product.id,
            address=call.address,
            user_agent=call.user_agent,
            referrer=call.request.headers.get("Referer"),
        )
    headers = content.headers.copy()
    if kept.age is not None:
        headers["Warning"] = _STALE
        headers["Age"] = str(int(kept.age))
    return web.Response(body=content.body, headers=headers)


def _as_signed_in(call: Call[None, None], product: Product, viewer: Principal | None) -> web.Response:
    if call.if_none_match(product.version):
        return answer(status=304, etag=product.version)
    return answer(presenters.product(product, viewer), etag=product.version)


async def _side_by_side(
    call: Call[None, None], reading: Coroutine[Any, Any, Product]
) -> tuple[Principal | None, Product]:
    """Read while the token is checked. A token that is refused hides whatever came of the read."""
    task = asyncio.create_task(reading)
    try:
        viewer = await call.authenticate()
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return viewer, await task


_VIEWS: Final = "An anonymous read is recorded as a view; HEAD, 304 and the reads of signed-in people are not."

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/products/by-sku/{sku}",
        handler=read_by_sku,
        allow=PUBLIC,
        late_authentication=True,
        summary="Read the live product that holds a SKU",
        description=_VIEWS,
        operation_id="readProductBySku",
        tags=("products",),
        answers={200: SeenProduct},
        errors=(NotFound, Overloaded),
        response_headers=("ETag",),
        conditional=True,
    ),
    Route(
        method="GET",
        path=ONE_PRODUCT,
        handler=read,
        allow=PUBLIC,
        late_authentication=True,
        summary="Read a product",
        description=_VIEWS + " Admins see deleted products too.",
        operation_id="readProduct",
        tags=("products",),
        answers={200: SeenProduct},
        errors=(NotFound, Overloaded),
        response_headers=("ETag",),
        conditional=True,
    ),
)
