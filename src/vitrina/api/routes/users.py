"""Accounts over HTTP: a super_admin's work (R1)."""

from typing import Final

from aiohttp import web

from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.idempotency import create_once
from vitrina.api.http.pagination import listed
from vitrina.api.http.request import Call
from vitrina.api.http.responses import answer, render
from vitrina.api.http.routing import Route
from vitrina.api.schemas import presenters
from vitrina.api.schemas.resources import PageOf, UserCreate, UserPatch, UserQuery, UserResource
from vitrina.api.services import SERVICES
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
from vitrina.store.idempotency import Answer

_TAGS: Final = ("users",)


def created(user: User) -> Answer:
    """Return the answer of an account's creation."""
    return Answer(status=201, headers={"ETag": f'"{user.version}"'}, body=render(presenters.user(user)))


async def create(call: Call[UserCreate, None]) -> web.Response:
    """Make an account."""
    body = call.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role(body.role))

    def rendered(user: User) -> Answer:
        answer = created(user)
        answer.headers["Location"] = f"/v1/users/{user.id}"
        return answer

    return await create_once(
        call, "users", lambda keep: call.app[SERVICES].accounts.create(draft, render=rendered, keep=keep)
    )


async def page(call: Call[None, UserQuery]) -> web.Response:
    """Answer a page of accounts."""
    role, limit = call.query.role, call.query.limit
    return await listed(
        call,
        ("users", role),
        lambda start: call.app[SERVICES].accounts.page(role=role, limit=limit, start=start),
        presenters.user,
    )


async def read(call: Call[None, None]) -> web.Response:
    """Answer an account."""
    return _single(call, await call.app[SERVICES].accounts.read(call.parameter("user_id")))


async def read_own(call: Call[None, None]) -> web.Response:
    """Answer the account that asks."""
    return _single(call, call.caller.user)


async def change(call: Call[UserPatch, None]) -> web.Response:
    """Change an account."""
    fields = call.body.model_dump(exclude_unset=True)
    if "role" in fields:
        fields["role"] = Role(fields["role"])
    user = await call.app[SERVICES].accounts.change(
        call.parameter("user_id"), UserChanges(**fields), expected=call.if_match()
    )
    return answer(presenters.user(user), etag=user.version)


async def delete(call: Call[None, None]) -> web.Response:
    """Delete an account."""
    await call.app[SERVICES].accounts.delete(call.parameter("user_id"), expected=call.if_match())
    return answer(status=204)


def _single(call: Call[None, None], user: User) -> web.Response:
    if call.if_none_match(user.version):
        return answer(status=304, etag=user.version)
    return answer(presenters.user(user), etag=user.version)


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
