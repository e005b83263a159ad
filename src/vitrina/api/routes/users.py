"""Accounts over HTTP: a super_admin's work (R1)."""

from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import PageOf, list_response
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import Route
from vitrina.api.schemas.accounts import UserCreate, UserPatch, UserQuery, UserResource, user_resource
from vitrina.domain.users import ACCOUNT_MANAGERS, EVERY_ROLE, Role, User
from vitrina.errors import (
    Conflict,
    EmailTaken,
    InvalidCursor,
    NotFound,
    Overloaded,
    SuperAdminProtected,
)
from vitrina.services.accounts.accounts import UserChanges, UserDraft

_TAGS: Final = ("users",)


async def create(request: Request[UserCreate, None]) -> web.Response:
    """Make an account."""
    body = request.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role(body.role))
    return await create_once(
        request,
        "users",
        lambda also: request.app[SERVICES].accounts.create(draft, also=also),
        lambda user: created(user_resource(user), etag=user.version, location=f"/v1/users/{user.id}"),
    )


async def page(request: Request[None, UserQuery]) -> web.Response:
    """Answer a page of accounts."""
    role, limit = request.query.role, request.query.limit
    return await list_response(
        request,
        ("users", role),
        lambda start: request.app[SERVICES].accounts.page(role=role, limit=limit, start=start),
        user_resource,
    )


async def read(request: Request[None, None]) -> web.Response:
    """Answer an account."""
    return _single(request, await request.app[SERVICES].accounts.get(request.parameter("user_id")))


async def read_own(request: Request[None, None]) -> web.Response:
    """Answer the account that asks."""
    return _single(request, request.caller.user)


async def change(request: Request[UserPatch, None]) -> web.Response:
    """Change an account."""
    fields = request.body.model_dump(exclude_unset=True)
    if "role" in fields:
        fields["role"] = Role(fields["role"])
    user = await request.app[SERVICES].accounts.change(
        request.parameter("user_id"), UserChanges(**fields), expected=request.if_match()
    )
    return json_response(user_resource(user), etag=user.version)


async def delete(request: Request[None, None]) -> web.Response:
    """Delete an account."""
    await request.app[SERVICES].accounts.delete(request.parameter("user_id"), expected=request.if_match())
    return json_response(status=204)


def _single(request: Request[None, None], user: User) -> web.Response:
    if request.if_none_match(user.version):
        return json_response(status=304, etag=user.version)
    return json_response(user_resource(user), etag=user.version)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/me",
        handler=read_own,
        allow=EVERY_ROLE,
        summary="Read one's own account",
        operation_id="readOwnAccount",
        tags=_TAGS,
        answers={200: UserResource},
        response_headers=("ETag",),
        conditional=True,
    ),
    Route(
        method="POST",
        path="/v1/users",
        handler=create,
        allow=ACCOUNT_MANAGERS,
        summary="Create an account",
        operation_id="createUser",
        tags=_TAGS,
        body=UserCreate,
        answers={201: UserResource},
        errors=(EmailTaken, Conflict, Overloaded),
        response_headers=("Location", "ETag"),
        idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/users",
        handler=page,
        allow=ACCOUNT_MANAGERS,
        summary="List accounts, newest first",
        operation_id="listUsers",
        tags=_TAGS,
        query=UserQuery,
        answers={200: PageOf[UserResource]},
        errors=(InvalidCursor,),
        response_headers=("Link",),
    ),
    Route(
        method="GET",
        path="/v1/users/{user_id}",
        handler=read,
        allow=ACCOUNT_MANAGERS,
        summary="Read an account",
        operation_id="readUser",
        tags=_TAGS,
        answers={200: UserResource},
        errors=(NotFound,),
        response_headers=("ETag",),
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1/users/{user_id}",
        handler=change,
        allow=ACCOUNT_MANAGERS,
        summary="Change an account; a new role or password ends its sessions",
        operation_id="changeUser",
        tags=_TAGS,
        body=UserPatch,
        media_types=(JSON, MERGE_PATCH),
        answers={200: UserResource},
        errors=(NotFound, SuperAdminProtected, EmailTaken, Conflict, Overloaded),
        response_headers=("ETag",),
        conditional=True,
    ),
    Route(
        method="DELETE",
        path="/v1/users/{user_id}",
        handler=delete,
        allow=ACCOUNT_MANAGERS,
        summary="Delete an account and end its sessions",
        operation_id="deleteUser",
        tags=_TAGS,
        answers={204: None},
        errors=(NotFound, SuperAdminProtected, Conflict),
        conditional=True,
    ),
)
