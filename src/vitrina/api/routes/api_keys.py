"""API keys over HTTP: credentials of programs that run unattended, each owned by an admin."""

from http import HTTPStatus
from secrets import token_urlsafe

import orjson
from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import PageQuery, list_response
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response, render
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.accounts import ApiKeyCreate, ApiKeyFields, ApiKeyPage, ApiKeyResource, NewApiKeyResource
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import Conflict, Overloaded, TooManyApiKeys
from vitrina.services.accounts.api_keys import ApiKeyDraft

routes = RouteTable("auth")


@routes.post(
    "/v1/auth/keys",
    allow=PRODUCT_MANAGERS,
    responses={201: NewApiKeyResource},
    errors=(TooManyApiKeys, Conflict, Overloaded),
    response_headers=("Location",),
    idempotent=True,
    example={"name": "Search index", "scope": "read", "expires_in_days": 90},
)
async def create_api_key(request: Request[ApiKeyCreate, None]) -> web.Response:
    """Create an API key, with which a program calls the API for you.

    Send it as `Authorization: Bearer vtk_…`. Only this response shows it; its hash alone is stored. A `read` key reads
    what you may read of products, changes, reports and exports; a `manage` key changes products as well. No key may use
    accounts, passwords, sessions, keys or notices. History and notices name you. A key ends when it expires or is
    deleted, and when your account is deleted, deactivated or no longer an admin's; a new password does not end it.
    You may have 100 keys.
    """
    caller, api_keys = request.caller, request.app[SERVICES].api_keys
    draft = ApiKeyDraft(**request.body.model_dump())
    seed = request.idempotency_key or token_urlsafe(32)
    response = await create_once(
        request,
        "keys",
        lambda also: api_keys.create(caller.user, draft, seed=seed, also=also),
        # What is stored for a replay has no secret: the key's text is computed anew.
        lambda key: created(ApiKeyFields.model_validate(key), location=f"/v1/auth/keys/{key.id}"),
    )
    if response.status != HTTPStatus.CREATED:  # A refusal that is stored for replays.
        return response
    assert isinstance(response.body, bytes)  # noqa: S101 - `create_once` makes it of bytes
    fields = orjson.loads(response.body)
    response.body = render(NewApiKeyResource(**fields, key=api_keys.text(caller.id, fields["id"], seed)))
    return response


@routes.get("/v1/auth/keys", allow=PRODUCT_MANAGERS, responses={200: ApiKeyPage})
async def list_api_keys(request: Request[None, PageQuery]) -> web.Response:
    """List your valid API keys, newest first."""
    caller, limit = request.caller, request.query.limit
    return await list_response(
        request,
        ("keys", caller.id),
        lambda start: request.app[SERVICES].api_keys.page(caller.user, limit=limit, start=start),
        ApiKeyResource.model_validate,
    )


@routes.delete("/v1/auth/keys/{key_id}", allow=PRODUCT_MANAGERS, responses={204: None})
async def delete_api_key(request: Request[None, None]) -> web.Response:
    """Delete one of your API keys, which ends it at once."""
    await request.app[SERVICES].api_keys.delete(request.caller.user, request.parameter("key_id"))
    return json_response(status=204)
