"""Writes of products by SKU over HTTP, for integrators who do not keep ids."""

from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.products import ManagedProduct, ProductPatch, ProductPut, product_resource
from vitrina.domain.api_keys import Scope
from vitrina.domain.products import ProductDraft, check_sku
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.domain.versions import tag
from vitrina.errors import SkuTaken, ValidationFailed

_BY_SKU: Final = "/v1/products/by-sku/{sku}"

routes = RouteTable("products")


@routes.put(
    _BY_SKU,
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    responses={201: ManagedProduct, 200: ManagedProduct},
    response_headers=("Location",),
    conditional=True,
    example={
        "name": "Oak lamp",
        "brand": "Alder",
        "price": "18.99",
        "currency": "USD",
        "description": "Solid oak, oiled by hand.",
    },
)
async def put_product_by_sku(request: Request[ProductPut, None]) -> web.Response:
    """Create or replace the product with a SKU; the same values change nothing.

    The SKU stays as its creator wrote it. That of a deleted product is free, so a new product is created.
    """
    sku = request.parameter("sku")
    try:
        check_sku(sku)
    except ValueError as error:
        raise ValidationFailed.of("sku", str(error)) from error
    product, created = await request.app[SERVICES].products_by_sku.put(
        ProductDraft(sku=sku, **request.body.model_dump()),
        condition=request.precondition(),
        by=request.caller.id,
        request_id=request.request_id,
    )
    return json_response(
        product_resource(product, request.caller),
        status=201 if created else 200,
        etag=tag(product.id, product.version),
        location=f"/v1/products/{product.id}" if created else None,
    )


@routes.patch(
    _BY_SKU,
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    media_types=(JSON, MERGE_PATCH),
    responses={200: ManagedProduct},
    errors=(SkuTaken,),
    conditional=True,
    example={"price": "17.99"},
)
async def change_product_by_sku(request: Request[ProductPatch, None]) -> web.Response:
    """Change the product that holds a SKU; the same values change nothing."""
    product = await request.app[SERVICES].products_by_sku.change(
        request.parameter("sku"),
        request.body.model_dump(exclude_unset=True),
        by=request.caller.id,
        request_id=request.request_id,
        expected=request.precondition(),
    )
    return json_response(product_resource(product, request.caller), etag=tag(product.id, product.version))


@routes.delete(_BY_SKU, allow=PRODUCT_MANAGERS, scope=Scope.MANAGE, responses={204: None}, conditional=True)
async def delete_product_by_sku(request: Request[None, None]) -> web.Response:
    """Delete the product that holds a SKU softly."""
    await request.app[SERVICES].products_by_sku.delete(
        request.parameter("sku"), by=request.caller.id, request_id=request.request_id, expected=request.precondition()
    )
    return json_response(status=204)
