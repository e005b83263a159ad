"""Products over HTTP (R5 to R8, R10); `product_reads` has what anonymous readers get from the cache."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import PageQuery, list_response
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.routes.product_reads import ONE_PRODUCT
from vitrina.api.schemas.products import (
    ChangeEntry,
    DeletedProductPage,
    HistoryPage,
    ManagedProduct,
    ProductCreate,
    ProductPatch,
    ProductRestore,
    product_resource,
)
from vitrina.domain.api_keys import Scope
from vitrina.domain.products import ProductDraft
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import Conflict, NotDeleted, SkuTaken

routes = RouteTable("products")


@routes.post(
    "/v1/products",
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    responses={201: ManagedProduct},
    errors=(SkuTaken, Conflict),
    response_headers=("Location", "ETag"),
    idempotent=True,
    example={
        "sku": "LAMP-01",
        "name": "Oak lamp",
        "brand": "Alder",
        "price": "19.99",
        "currency": "USD",
        "description": "Solid oak, oiled by hand.",
    },
)
async def create_product(request: Request[ProductCreate, None]) -> web.Response:
    """Create a product."""
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


@routes.patch(
    ONE_PRODUCT,
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    media_types=(JSON, MERGE_PATCH),
    responses={200: ManagedProduct},
    errors=(SkuTaken,),
    conditional=True,
    example={"price": "17.99"},
)
async def change_product(request: Request[ProductPatch, None]) -> web.Response:
    """Change a product; the same values change nothing."""
    product = await request.app[SERVICES].products.change(
        request.parameter("product_id"),
        request.body.model_dump(exclude_unset=True),
        by=request.caller.id,
        request_id=request.request_id,
        expected=request.precondition(),
    )
    return json_response(product_resource(product, request.caller), etag=product.version)


@routes.delete(ONE_PRODUCT, allow=PRODUCT_MANAGERS, scope=Scope.MANAGE, responses={204: None}, conditional=True)
async def delete_product(request: Request[None, None]) -> web.Response:
    """Delete a product softly."""
    await request.app[SERVICES].products.delete(
        request.parameter("product_id"),
        by=request.caller.id,
        request_id=request.request_id,
        expected=request.precondition(),
    )
    return json_response(status=204)


@routes.get("/v1/products/deleted", allow=PRODUCT_MANAGERS, scope=Scope.READ, responses={200: DeletedProductPage})
async def list_deleted_products(request: Request[None, PageQuery]) -> web.Response:
    """List deleted products, the newest deletion first."""
    return await list_response(
        request,
        ("deleted",),
        lambda start: request.app[SERVICES].products.deleted(limit=request.query.limit, start=start),
        lambda product: product_resource(product, request.caller),
    )


@routes.post(
    "/v1/products/{product_id}/restore",
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    responses={200: ManagedProduct},
    errors=(NotDeleted, SkuTaken, Conflict),
    conditional=True,
    example={"sku": "LAMP-01"},
)
async def restore_product(request: Request[ProductRestore | None, None]) -> web.Response:
    """Restore a deleted product, under its SKU or another."""
    product = await request.app[SERVICES].products.restore(
        request.parameter("product_id"),
        request.body.sku if request.body else None,
        expected=request.precondition(),
        by=request.caller.id,
        request_id=request.request_id,
    )
    return json_response(product_resource(product, request.caller), etag=product.version)


@routes.get("/v1/products/{product_id}/history", allow=PRODUCT_MANAGERS, scope=Scope.READ, responses={200: HistoryPage})
async def list_product_history(request: Request[None, PageQuery]) -> web.Response:
    """List a product's changes, newest first."""
    product_id = request.parameter("product_id")
    return await list_response(
        request,
        ("history", product_id),
        lambda start: request.app[SERVICES].products.history(product_id, limit=request.query.limit, start=start),
        ChangeEntry.model_validate,
    )
