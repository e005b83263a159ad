"""Signing in and out over HTTP (R14)."""

from dataclasses import asdict
from typing import Final

from aiohttp import web

from vitrina.api.http.idempotency import create_once
from vitrina.api.http.pagination import listed
from vitrina.api.http.problems import rate_limit_headers
from vitrina.api.http.request import Call
from vitrina.api.http.responses import answer
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.routes.users import created
from vitrina.api.schemas import presenters
from vitrina.api.schemas.resources import (
    PageOf,
    PageQuery,
    PasswordChange,
    Refresh,
    SessionResource,
    SignIn,
    TokenResource,
    UserRegister,
    UserResource,
)
from vitrina.api.services import SERVICES
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


async def register(call: Call[UserRegister, None]) -> web.Response:
    """Make an account of one's own (R3)."""
    body = call.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role.USER)
    return await create_once(
        call, "register", lambda keep: call.app[SERVICES].accounts.create(draft, render=created, keep=keep)
    )


async def sign_in(call: Call[SignIn, None]) -> web.Response:
    """Start a session."""
    pair, allowance = await call.app[SERVICES].authentication.sign_in(
        call.body.email, call.body.password, address=call.address, user_agent=call.user_agent
    )
    return answer(TokenResource(**asdict(pair)), headers=rate_limit_headers(allowance))


async def refresh(call: Call[Refresh, None]) -> web.Response:
    """Spend a refresh token for a new pair."""
    pair = await call.app[SERVICES].authentication.refresh(call.body.refresh_token)
    return answer(TokenResource(**asdict(pair)))


async def sign_out(call: Call[None, None]) -> web.Response:
    """End this session."""
    await call.app[SERVICES].authentication.sign_out(call.caller)
    return answer(status=204)


async def sessions(call: Call[None, PageQuery]) -> web.Response:
    """Answer a page of one's own sessions."""
    caller, limit = call.caller, call.query.limit
    return await listed(
        call,
        ("sessions", caller.id),
        lambda start: call.app[SERVICES].authentication.sessions(caller, limit=limit, start=start),
        lambda session: presenters.session(session, caller.session.id),
    )


async def end_session(call: Call[None, None]) -> web.Response:
    """End one of one's own sessions."""
    await call.app[SERVICES].authentication.end_session(call.caller, call.parameter("session_id"))
    return answer(status=204)


async def change_password(call: Call[PasswordChange, None]) -> web.Response:
    """Change one's own password."""
    allowance = await call.app[SERVICES].authentication.change_password(
        call.caller, current=call.body.current_password, new=call.body.new_password
    )
    return answer(status=204, headers=rate_limit_headers(allowance))


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
