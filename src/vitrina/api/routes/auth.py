"""Signing in and out over HTTP (R14)."""

from dataclasses import asdict
from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.pagination import PageOf, PageQuery, list_response
from vitrina.api.http.problems import rate_limit_headers
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.schemas.accounts import (
    PasswordChange,
    Refresh,
    SessionResource,
    SignIn,
    TokenResource,
    UserRegister,
    UserResource,
    session_resource,
    user_resource,
)
from vitrina.domain.users import EVERY_ROLE, Role
from vitrina.errors import (
    Conflict,
    EmailTaken,
    InvalidCredentials,
    InvalidCursor,
    InvalidToken,
    NotFound,
    Overloaded,
    TokenReused,
    WrongPassword,
)
from vitrina.services.accounts.accounts import UserDraft

_TAGS: Final = ("auth",)


async def register(request: Request[UserRegister, None]) -> web.Response:
    """Make an account of one's own (R3)."""
    body = request.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role.USER)
    return await create_once(
        request,
        "register",
        lambda also: request.app[SERVICES].accounts.create(draft, also=also),
        lambda user: created(user_resource(user), etag=user.version),
    )


async def sign_in(request: Request[SignIn, None]) -> web.Response:
    """Start a session."""
    pair, allowance = await request.app[SERVICES].authentication.sign_in(
        request.body.email, request.body.password, address=request.address, user_agent=request.user_agent
    )
    return json_response(TokenResource(**asdict(pair)), headers=rate_limit_headers(allowance))


async def refresh(request: Request[Refresh, None]) -> web.Response:
    """Spend a refresh token for a new pair."""
    pair = await request.app[SERVICES].authentication.refresh(request.body.refresh_token)
    return json_response(TokenResource(**asdict(pair)))


async def sign_out(request: Request[None, None]) -> web.Response:
    """End this session."""
    await request.app[SERVICES].authentication.sign_out(request.caller)
    return json_response(status=204)


async def sessions(request: Request[None, PageQuery]) -> web.Response:
    """Answer a page of one's own sessions."""
    caller, limit = request.caller, request.query.limit
    return await list_response(
        request,
        ("sessions", caller.id),
        lambda start: request.app[SERVICES].authentication.sessions(caller, limit=limit, start=start),
        lambda session: session_resource(session, caller.session.id),
    )


async def end_session(request: Request[None, None]) -> web.Response:
    """End one of one's own sessions."""
    await request.app[SERVICES].authentication.end_session(request.caller, request.parameter("session_id"))
    return json_response(status=204)


async def change_password(request: Request[PasswordChange, None]) -> web.Response:
    """Change one's own password."""
    allowance = await request.app[SERVICES].authentication.change_password(
        request.caller, current_password=request.body.current_password, new_password=request.body.new_password
    )
    return json_response(status=204, headers=rate_limit_headers(allowance))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/auth/register",
        handler=register,
        allow=PUBLIC,
        summary="Register an account of one's own",
        operation_id="register",
        tags=_TAGS,
        body=UserRegister,
        answers={201: UserResource},
        errors=(EmailTaken, Conflict, Overloaded),
        response_headers=("ETag",),
        idempotent=True,
    ),
    Route(
        method="POST",
        path="/v1/auth/login",
        handler=sign_in,
        allow=PUBLIC,
        summary="Sign in",
        operation_id="signIn",
        tags=_TAGS,
        body=SignIn,
        answers={200: TokenResource},
        errors=(InvalidCredentials, Overloaded),
        rate_limited=True,
    ),
    Route(
        method="POST",
        path="/v1/auth/refresh",
        handler=refresh,
        allow=PUBLIC,
        summary="Spend a refresh token for a new pair of tokens",
        operation_id="refresh",
        tags=_TAGS,
        body=Refresh,
        answers={200: TokenResource},
        errors=(InvalidToken, TokenReused),
    ),
    Route(
        method="POST",
        path="/v1/auth/logout",
        handler=sign_out,
        allow=EVERY_ROLE,
        summary="End this session",
        operation_id="signOut",
        tags=_TAGS,
        answers={204: None},
    ),
    Route(
        method="GET",
        path="/v1/auth/sessions",
        handler=sessions,
        allow=EVERY_ROLE,
        summary="List one's own sessions, newest first",
        operation_id="listSessions",
        tags=_TAGS,
        query=PageQuery,
        answers={200: PageOf[SessionResource]},
        errors=(InvalidCursor,),
        response_headers=("Link",),
    ),
    Route(
        method="DELETE",
        path="/v1/auth/sessions/{session_id}",
        handler=end_session,
        allow=EVERY_ROLE,
        summary="End one of one's own sessions",
        operation_id="endSession",
        tags=_TAGS,
        answers={204: None},
        errors=(NotFound,),
    ),
    Route(
        method="POST",
        path="/v1/auth/password",
        handler=change_password,
        allow=EVERY_ROLE,
        summary="Change one's own password; one's other sessions end",
        operation_id="changePassword",
        tags=_TAGS,
        body=PasswordChange,
        answers={204: None},
        errors=(WrongPassword, Conflict, Overloaded),
        rate_limited=True,
    ),
)
