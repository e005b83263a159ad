"""Registration, sign-in and sessions over HTTP (R14)."""

from dataclasses import asdict
from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.idempotency import create_once, created
from vitrina.api.http.oauth import FORM, NOT_CACHED
from vitrina.api.http.pagination import PageQuery, list_response
from vitrina.api.http.problems import InvalidTokenRequest, rate_limit_headers
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.schemas.accounts import (
    PasswordChange,
    Refresh,
    SessionPage,
    SignIn,
    TokenRequest,
    TokenResource,
    UserRegister,
    UserResource,
    session_resource,
)
from vitrina.domain.users import EVERY_ROLE, Role, canonical_email
from vitrina.errors import (
    Conflict,
    EmailTaken,
    InvalidCredentials,
    InvalidToken,
    Overloaded,
    TableUnavailable,
    TokenReused,
    WrongPassword,
)
from vitrina.services.accounts.accounts import UserDraft

routes = RouteTable("auth")
_NEWCOMER: Final = {"email": "noor@example.com", "password": "green-harbour-2026", "name": "Noor Newcomer"}
"""The example of all routes here: who registers can sign in."""


@routes.post(
    "/v1/auth/register",
    allow=PUBLIC,
    responses={201: UserResource},
    errors=(EmailTaken, Conflict, Overloaded, TableUnavailable),
    response_headers=("ETag",),
    idempotent=True,
    rate_limited=True,
    ignores_tokens=True,
    example=_NEWCOMER,
)
async def register(request: Request[UserRegister, None]) -> web.Response:
    """Register your own account."""
    body = request.body
    draft = UserDraft(email=body.email, password=body.password, name=body.name, role=Role.USER)
    async with request.app[SERVICES].throttle.registration(request.address) as allowance:
        response = await create_once(
            request,
            "register",
            lambda also: request.app[SERVICES].accounts.create(draft, also=also),
            lambda user: created(UserResource.model_validate(user), etag=user.version),
            anonymous=canonical_email(body.email),
        )
    response.headers.update(rate_limit_headers(allowance))
    return response


@routes.post(
    "/v1/auth/login",
    allow=PUBLIC,
    responses={200: TokenResource},
    errors=(InvalidCredentials, Overloaded, TableUnavailable),
    rate_limited=True,
    ignores_tokens=True,
    example={"email": _NEWCOMER["email"], "password": _NEWCOMER["password"]},
)
async def sign_in(request: Request[SignIn, None]) -> web.Response:
    """Sign in."""
    pair, allowance = await request.app[SERVICES].authentication.sign_in(
        request.body.email, request.body.password, address=request.address, user_agent=request.user_agent
    )
    return json_response(TokenResource(**asdict(pair)), headers=rate_limit_headers(allowance))


@routes.post(
    "/v1/auth/refresh",
    allow=PUBLIC,
    responses={200: TokenResource},
    errors=(InvalidToken, TokenReused, TableUnavailable),
    ignores_tokens=True,
    example={"refresh_token": "the refresh token of a sign-in"},
)
async def refresh(request: Request[Refresh, None]) -> web.Response:
    """Exchange a refresh token for a new pair of tokens.

    It works once. If the response was lost, the next try may be `token_reused`, which ends the session: sign in again.
    """
    pair = await request.app[SERVICES].authentication.refresh(request.body.refresh_token)
    return json_response(TokenResource(**asdict(pair)))


@routes.post(
    "/v1/auth/token",
    allow=PUBLIC,
    ignores_tokens=True,
    oauth=True,
    media_types=(FORM,),
    responses={200: TokenResource},
    errors=(InvalidCredentials, InvalidToken, TokenReused, Overloaded, TableUnavailable),
    rate_limited=True,
    example={"grant_type": "password", "username": _NEWCOMER["email"], "password": _NEWCOMER["password"]},
)
async def issue_token(request: Request[TokenRequest, None]) -> web.Response:
    """Sign in or refresh as OAuth 2.0 clients do (RFC 6749).

    `username` is the e-mail. An `Authorization` header and the credentials of clients are ignored: none is registered.
    """
    body, authentication = request.body, request.app[SERVICES].authentication
    if body.scope:
        raise InvalidTokenRequest("invalid_scope", "No scope is defined. Leave `scope` out.")
    headers = NOT_CACHED
    match body.grant_type:
        case "password" if body.username and body.password:
            pair, allowance = await authentication.sign_in(
                body.username, body.password, address=request.address, user_agent=request.user_agent
            )
            headers = NOT_CACHED | rate_limit_headers(allowance)
        case "refresh_token" if body.refresh_token:
            pair = await authentication.refresh(body.refresh_token)
        case "password":
            raise InvalidTokenRequest("invalid_request", "`username` and `password` are required.")
        case "refresh_token":
            raise InvalidTokenRequest("invalid_request", "`refresh_token` is required.")
        case _:
            raise InvalidTokenRequest("unsupported_grant_type", "`grant_type` must be `password` or `refresh_token`.")
    return json_response(TokenResource(**asdict(pair)), headers=headers)


@routes.post("/v1/auth/logout", allow=EVERY_ROLE, responses={204: None})
async def sign_out(request: Request[None, None]) -> web.Response:
    """End this session."""
    await request.app[SERVICES].authentication.sign_out(request.caller)
    return json_response(status=204)


@routes.get("/v1/auth/sessions", allow=EVERY_ROLE, responses={200: SessionPage})
async def list_sessions(request: Request[None, PageQuery]) -> web.Response:
    """List your sessions, newest first."""
    caller, limit = request.caller, request.query.limit
    return await list_response(
        request,
        ("sessions", caller.id),
        lambda start: request.app[SERVICES].authentication.sessions(caller, limit=limit, start=start),
        lambda session: session_resource(session, caller.session.id),
    )


@routes.delete("/v1/auth/sessions/{session_id}", allow=EVERY_ROLE, responses={204: None})
async def end_session(request: Request[None, None]) -> web.Response:
    """End one of your sessions."""
    await request.app[SERVICES].authentication.end_session(request.caller, request.parameter("session_id"))
    return json_response(status=204)


@routes.post(
    "/v1/auth/password",
    allow=EVERY_ROLE,
    responses={204: None},
    errors=(WrongPassword, Conflict, Overloaded),
    rate_limited=True,
    example={"current_password": _NEWCOMER["password"], "new_password": "amber-orchard-2026"},
)
async def change_password(request: Request[PasswordChange, None]) -> web.Response:
    """Change your password; your other sessions end."""
    allowance = await request.app[SERVICES].authentication.change_password(
        request.caller, current_password=request.body.current_password, new_password=request.body.new_password
    )
    return json_response(status=204, headers=rate_limit_headers(allowance))
