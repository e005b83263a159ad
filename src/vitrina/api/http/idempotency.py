"""POSTs that create, once for each idempotency key (draft-ietf-httpapi-idempotency-key-header)."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON
from vitrina.api.http.problems import CONTENT_TYPE, problem
from vitrina.api.http.request import Request
from vitrina.errors import EmailTaken, SkuTaken
from vitrina.services.idempotency import Keep
from vitrina.store.idempotency import StoredResponse

BodyT = TypeVar("BodyT", bound=BaseModel)
_REPLAYED: Final = "Idempotency-Replayed"


async def create_once(
    request: Request[BodyT, None], route: str, create: Callable[[Keep], Awaitable[StoredResponse]]
) -> web.Response:
    """Answer a creation; under an `Idempotency-Key` that was used before, with its first answer.

    `route` names the route for the key: it belongs to one route of one user. What the body says counts, not how it is
    written. Raises IdempotencyKeyReused, IdempotencyInProgress, and what `create` raises.
    """
    key = request.idempotency_key
    idempotency = request.app[SERVICES].idempotency
    claim = None
    if key is not None:
        owner = "anonymous" if request.principal is None else request.principal.id
        claim = idempotency.claim(owner=owner, route=route, key=key, body=request.body.model_dump_json().encode())

    def refused(error: Exception) -> StoredResponse | None:
        """Keep a refusal that the data decided; one of the body's shape is the client's to mend under the same key."""
        if not isinstance(error, EmailTaken | SkuTaken):
            return None
        refusal = problem(error, instance=request.raw.rel_url.raw_path)
        assert isinstance(refusal.body, bytes)  # noqa: S101 - made of bytes
        return StoredResponse(status=refusal.status, headers={"Content-Type": CONTENT_TYPE}, body=refusal.body)

    kept, replayed = await idempotency.settle(claim, create, refused)
    headers = {"Content-Type": JSON, "Cache-Control": "no-store"} | kept.headers
    return web.Response(body=kept.body, status=kept.status, headers=headers | ({_REPLAYED: "true"} if replayed else {}))
