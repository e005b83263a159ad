"""POST requests that create something once per idempotency key (draft-ietf-httpapi-idempotency-key-header)."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON
from vitrina.api.http.problems import CONTENT_TYPE, problem
from vitrina.api.http.request import Request
from vitrina.api.http.responses import render
from vitrina.errors import EmailTaken, SkuTaken, TooManyApiKeys
from vitrina.store.idempotency import Claim, StoredResponse
from vitrina.store.operations import AlsoWrite

T = TypeVar("T")
BodyT = TypeVar("BodyT", bound=BaseModel)
REPLAYED: Final = {"Idempotency-Replayed": "true"}
"""The header of a replay."""
REPLAYED_ERRORS: Final = (EmailTaken, SkuTaken, TooManyApiKeys)
"""The refusals that stored data decided; after any other the client may correct the body and use the key again."""


async def create_once(
    request: Request[BodyT, None],
    route: str,
    create: Callable[[AlsoWrite[T]], Awaitable[T]],
    respond: Callable[[T], StoredResponse],
    *,
    anonymous: str = "",
) -> web.Response:
    """Create something and respond with 201, or replay the first response to this `Idempotency-Key`.

    A key belongs to one user and to one route, named by `route`; without a user it also belongs to `anonymous`, which
    tells strangers apart. The validated body is compared, not its bytes.
    `create` passes its argument on as the service's `also`, and `respond` renders what was created, the same each time.
    Raises IdempotencyKeyReused, IdempotencyInProgress, and what `create` raises.
    """
    claim = claim_of(request, route, request.body.model_dump_json().encode(), anonymous=anonymous)

    def refusal(error: Exception) -> StoredResponse | None:
        """Render a refusal that is replayed."""
        if not isinstance(error, REPLAYED_ERRORS):
            return None
        response = problem(error, instance=request.raw.rel_url.raw_path)
        assert isinstance(response.body, bytes)  # noqa: S101 - `problem` makes it of bytes
        return StoredResponse(status=response.status, headers={"Content-Type": CONTENT_TYPE}, body=response.body)

    stored, replayed = await request.app[SERVICES].idempotency.settle(claim, create, respond, refusal)
    headers = {"Content-Type": JSON, "Cache-Control": "no-store"} | stored.headers
    if replayed:
        headers |= REPLAYED
    return web.Response(body=stored.body, status=stored.status, headers=headers)


def claim_of(request: Request[Any, Any], route: str, body: bytes, *, anonymous: str = "") -> Claim | None:
    """Return the claim of a request's key, None if it has none; the arguments are those of `create_once`."""
    key = request.idempotency_key
    if key is None:
        return None
    if request.principal is None:
        owner, key = "anonymous", f"{key} {anonymous}"  # A key itself has no space.
    else:
        owner = request.principal.id
    return request.app[SERVICES].idempotency.claim(owner=owner, route=route, key=key, body=body)


def created(content: BaseModel, *, etag: int | None = None, location: str | None = None) -> StoredResponse:
    """Return the 201 response of a creation, to be sent now and stored for replays."""
    headers = {} if location is None else {"Location": location}
    if etag is not None:
        headers["ETag"] = f'"{etag}"'
    return StoredResponse(status=201, headers=headers, body=render(content))
