"""Accounts over HTTP, managed by super_admins (R1)."""

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import list_response
from vitrina.api.http.request import Request
from vitrina.api.http.responses import conditional_response, json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.accounts import UserCreate, UserPage, UserPatch, UserQuery, UserResource
from vitrina.domain.users import ACCOUNT_MANAGERS, EVERY_ROLE, Role
from vitrina.errors import Conflict, EmailTaken, Overloaded, SuperAdminProtected
from vitrina.services.accounts.accounts import UserChanges, UserDraft

routes = RouteTable("users")


@routes.post(
    "/v1/users",
    allow=ACCOUNT_MANAGERS,
    responses={201: UserResource},
    errors=(EmailTaken, Conflict, Overloaded),
    response_headers=("Location", "ETag"),
    idempotent=True,
    example={"email": "cleo@example.com", "password": "silver-meadow-2026", "name": "Cleo Clerk", "role": "admin"},
)
async def create_user(request: Request[UserCreate, None]) -> web.Response:
    """Create an account."""
    body = request.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role(body.role))
    return await create_once(
        request,
        "users",
        lambda also: request.app[SERVICES].accounts.create(draft, by=request.caller.id, also=also),
        lambda user: created(UserResource.model_validate(user), etag=user.version, location=f"/v1/users/{user.id}"),
    )


@routes.get("/v1/users", allow=ACCOUNT_MANAGERS, responses={200: UserPage})
async def list_users(request: Request[None, UserQuery]) -> web.Response:
    """List accounts, newest first."""
    role, limit = request.query.role, request.query.limit
    return await list_response(
        request,
        ("users", role),
        lambda start: request.app[SERVICES].accounts.page(role=role, limit=limit, start=start),
        UserResource.model_validate,
    )


@routes.get("/v1/users/{user_id}", allow=ACCOUNT_MANAGERS, responses={200: UserResource}, conditional=True)
async def read_user(request: Request[None, None]) -> web.Response:
    """Read an account."""
    user = await request.app[SERVICES].accounts.get(request.parameter("user_id"))
    return conditional_response(request, UserResource.model_validate(user), etag=user.version)


@routes.get("/v1/me", allow=EVERY_ROLE, responses={200: UserResource}, conditional=True)
async def read_own_account(request: Request[None, None]) -> web.Response:
    """Read your account."""
    user = request.caller.user
    return conditional_response(request, UserResource.model_validate(user), etag=user.version)


@routes.patch(
    "/v1/users/{user_id}",
    allow=ACCOUNT_MANAGERS,
    media_types=(JSON, MERGE_PATCH),
    responses={200: UserResource},
    errors=(SuperAdminProtected, EmailTaken, Overloaded),
    conditional=True,
    example={"name": "Cleo Curator"},
)
async def change_user(request: Request[UserPatch, None]) -> web.Response:
    """Change an account; a new role or password ends its sessions."""
    fields = request.body.model_dump(exclude_unset=True)
    if "role" in fields:
        fields["role"] = Role(fields["role"])
    user = await request.app[SERVICES].accounts.change(
        request.parameter("user_id"), UserChanges(**fields), by=request.caller.id, expected=request.precondition()
    )
    return json_response(UserResource.model_validate(user), etag=user.version)


@routes.delete(
    "/v1/users/{user_id}",
    allow=ACCOUNT_MANAGERS,
    responses={204: None},
    errors=(SuperAdminProtected, Overloaded),
    conditional=True,
)
async def delete_user(request: Request[None, None]) -> web.Response:
    """Delete an account and end its sessions."""
    await request.app[SERVICES].accounts.delete(
        request.parameter("user_id"), by=request.caller.id, expected=request.precondition()
    )
    return json_response(status=204)
