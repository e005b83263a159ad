"""Products over HTTP (R5 to R8, R10): each handler parses, makes one call of a service, and answers."""

from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import PageOf, PageQuery, list_response, page_response, start_position
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.routes.product_reads import ONE_PRODUCT
from vitrina.api.schemas.products import (
    ChangeEntry,
    DeletedProduct,
    ManagedProduct,
    PricePage,
    ProductCreate,
    ProductPatch,
    ProductQuery,
    ProductRestore,
    PublicProduct,
    change_entry,
    price_entry,
    product_resource,
    sees_all,
)
from vitrina.domain.products import ProductDraft, Sort
from vitrina.domain.text import fold
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import (
    Conflict,
    InvalidCursor,
    NotDeleted,
    NotFound,
    SkuTaken,
    ValidationFailed,
)

_TAGS: Final = ("products",)


async def create(request: Request[ProductCreate, None]) -> web.Response:
    """Make a product."""
    draft = ProductDraft(**request.body.model_dump())
    return await create_once(
        request,
        "products",
        lambda also: request.app[SERVICES].products.create(
            draft, by=request.caller.id, request_id=request.request_id, also=also
        ),
        lambda product: created(
            product_resource(product, request.caller), etag=product.version, location=f"/v1/products/{product.id}"
        ),
    )


async def page(request: Request[None, ProductQuery]) -> web.Response:
    """Answer a page of live products."""
    query = request.query
    sort = query.sort or (Sort.NAME if query.name_prefix else Sort.NEWEST)
    if query.name_prefix is not None and sort is not Sort.NAME:
        raise ValidationFailed.of("name_prefix", "goes with sort=name only")
    brand, prefix = query.brand and fold(query.brand), query.name_prefix and fold(query.name_prefix)
    return await list_response(
        request,
        ("products", sort, brand, prefix),
        lambda start: request.app[SERVICES].products.page(
            sort=sort, brand=brand, name_prefix=prefix, limit=query.limit, start=start
        ),
        lambda product: product_resource(product, request.principal),
    )


async def change(request: Request[ProductPatch, None]) -> web.Response:
    """Change a product."""
    product = await request.app[SERVICES].products.change(
        request.parameter("product_id"),
        request.body.model_dump(exclude_unset=True),
        by=request.caller.id,
        request_id=request.request_id,
        expected=request.if_match(),
    )
    return json_response(product_resource(product, request.caller), etag=product.version)


async def delete(request: Request[None, None]) -> web.Response:
    """Delete a product softly."""
    await request.app[SERVICES].products.delete(
        request.parameter("product_id"),
        by=request.caller.id,
        request_id=request.request_id,
        expected=request.if_match(),
    )
    return json_response(status=204)


async def deleted(request: Request[None, PageQuery]) -> web.Response:
    """Answer a page of deleted products."""
    return await list_response(
        request,
        ("deleted",),
        lambda start: request.app[SERVICES].products.deleted(limit=request.query.limit, start=start),
        lambda product: product_resource(product, request.caller),
    )


async def restore(request: Request[ProductRestore, None]) -> web.Response:
    """Bring a deleted product back."""
    product = await request.app[SERVICES].products.restore(
        request.parameter("product_id"),
        request.body.sku if request.raw_body else None,
        by=request.caller.id,
        request_id=request.request_id,
    )
    return json_response(product_resource(product, request.caller), etag=product.version)


async def history(request: Request[None, PageQuery]) -> web.Response:
    """Answer a page of a product's changes."""
    product_id = request.parameter("product_id")
    return await list_response(
        request,
        ("history", product_id),
        lambda start: request.app[SERVICES].products.history(product_id, limit=request.query.limit, start=start),
        change_entry,
    )


async def prices(request: Request[None, PageQuery]) -> web.Response:
    """Answer a page of a product's prices."""
    product_id = request.parameter("product_id")
    query = ("prices", product_id)
    found = await request.app[SERVICES].products.prices(
        product_id,
        limit=request.query.limit,
        start=start_position(request, query),
        current=sees_all(request.principal),
    )
    content = PricePage(
        items=[price_entry(period) for period in found.page.items],
        next_cursor=None,
        lowest_last_30_days=found.lowest_last_30_days,
    )
    return page_response(request, query, found.page, content)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/products",
        handler=create,
        allow=PRODUCT_MANAGERS,
        summary="Create a product",
        operation_id="createProduct",
        tags=_TAGS,
        body=ProductCreate,
        answers={201: ManagedProduct},
        errors=(SkuTaken, Conflict),
        response_headers=("Location", "ETag"),
        idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/products",
        handler=page,
        allow=PUBLIC,
        summary="List live products",
        operation_id="listProducts",
        tags=_TAGS,
        query=ProductQuery,
        answers={200: PageOf[ManagedProduct | PublicProduct]},
        errors=(InvalidCursor,),
        response_headers=("Link",),
    ),
    Route(
        method="GET",
        path="/v1/products/deleted",
        handler=deleted,
        allow=PRODUCT_MANAGERS,
        summary="List deleted products, the newest deletion first",
        operation_id="listDeletedProducts",
        tags=_TAGS,
        query=PageQuery,
        answers={200: PageOf[DeletedProduct]},
        errors=(InvalidCursor,),
        response_headers=("Link",),
    ),
    Route(
        method="PATCH",
        path=ONE_PRODUCT,
        handler=change,
        allow=PRODUCT_MANAGERS,
        summary="Change a product; the same values change nothing",
        operation_id="changeProduct",
        tags=_TAGS,
        body=ProductPatch,
        media_types=(JSON, MERGE_PATCH),
        answers={200: ManagedProduct},
        errors=(NotFound, Conflict, SkuTaken),
        response_headers=("ETag",),
        conditional=True,
    ),
    Route(
        method="DELETE",
        path=ONE_PRODUCT,
        handler=delete,
        allow=PRODUCT_MANAGERS,
        summary="Delete a product softly",
        operation_id="deleteProduct",
        tags=_TAGS,
        answers={204: None},
        errors=(NotFound, Conflict),
        conditional=True,
    ),
    Route(
        method="POST",
        path="/v1/products/{product_id}/restore",
        handler=restore,
        allow=PRODUCT_MANAGERS,
        summary="Restore a deleted product, under its SKU or another",
        operation_id="restoreProduct",
        tags=_TAGS,
        body=ProductRestore,
        body_optional=True,
        answers={200: ManagedProduct},
        errors=(NotFound, NotDeleted, SkuTaken, Conflict),
        response_headers=("ETag",),
    ),
    Route(
        method="GET",
        path="/v1/products/{product_id}/history",
        handler=history,
        allow=PRODUCT_MANAGERS,
        summary="List a product's changes, newest first",
        operation_id="listProductHistory",
        tags=_TAGS,
        query=PageQuery,
        answers={200: PageOf[ChangeEntry]},
        errors=(NotFound, InvalidCursor),
        response_headers=("Link",),
    ),
    Route(
        method="GET",
        path="/v1/products/{product_id}/prices",
        handler=prices,
        allow=PUBLIC,
        summary="List a product's prices, newest first",
        operation_id="listProductPrices",
        tags=_TAGS,
        query=PageQuery,
        answers={200: PricePage},
        errors=(NotFound, InvalidCursor),
        response_headers=("Link",),
    ),
)
