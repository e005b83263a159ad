"""Batches of operations on products over HTTP."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.idempotency import REPLAYED, claim_of
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.batches import BatchResults, ProductBatch, RenderResult, render_results
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import PRODUCT_MANAGERS

routes = RouteTable("products")


@routes.post(
    "/v1/products/batch",
    allow=PRODUCT_MANAGERS,
    scope=Scope.MANAGE,
    responses={200: BatchResults},
    response_headers=("Retry-After",),
    idempotent=True,
    example={
        "operations": [
            {"op": "upsert", "sku": "LAMP-02", "name": "Ash lamp", "brand": "Alder", "price": "24.99"},
            {"op": "patch", "sku": "LAMP-02", "version": 1, "price": "22.99"},
            {"op": "delete", "sku": "LAMP-02"},
        ]
    },
)
async def run_product_batch(request: Request[ProductBatch, None]) -> web.Response:
    """Create, replace, change and delete up to 100 products.

    Each operation is a transaction of its own, and its result has the status of the single request: a refusal, also of
    a field that is not valid, stops no other. Operations on one product are done in their order, others in parallel.
    Only a body that is no list of at most 100 operations, each with a known `op`, is refused as a whole.

    An operation that is not done in time has the status 503, one that met an error of the service 500, and later ones
    on its product have 503. Those with the codes `conflict` and `idempotency_in_progress` were not done either. The
    response has `Retry-After` if another try can do more. With an `Idempotency-Key` send the same batch again,
    also if its response was lost: what was done or refused is replayed, and only the rest is done. A batch that was
    corrected needs another key.
    """
    results, replayed = await request.app[SERVICES].product_batches.run(
        [operation.parsed() for operation in request.body.operations],
        by=request.caller.id,
        request_id=request.request_id,
        claim=claim_of(request, "batch", request.body.fingerprint(request.raw_body)),
        respond=RenderResult(request.raw.rel_url.raw_path),
        due=request.due,
    )
    headers = REPLAYED if replayed else {}
    if waits := [int(result.headers["Retry-After"]) for result in results if "Retry-After" in result.headers]:
        headers = headers | {"Retry-After": str(max(waits))}
    return json_response(render_results(results), headers=headers)
