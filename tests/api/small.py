"""A small application with one route of each kind, for tests of the layers between the connection and a handler."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from vitrina.api.application import new_application
from vitrina.api.http.app_keys import AUTHENTICATOR
from vitrina.api.http.body import JSON, MERGE_PATCH
from vitrina.api.http.pagination import PageQuery
from vitrina.api.http.request import Request
from vitrina.api.http.responses import conditional_response, json_response
from vitrina.api.http.routing import PUBLIC, Route, new_route
from vitrina.api.http.validation import BodyModel, QueryInt, QueryModel
from vitrina.api.server.process import listening
from vitrina.config import Settings
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import ACCOUNT_MANAGERS, EVERY_ROLE, Principal, Role, Session, User
from vitrina.errors import InvalidToken, NotFound, SkuTaken, TableUnavailable

SECRET: Final = "canary-7f3a-never-to-be-seen"
LARGE_SIZE: Final = 8_000_000
LARGE: Final = web.AppKey("large", list[str])
"""The ids of the requests for a large response."""
NOW: Final = datetime(2026, 11, 24, 7, 1, 34, 120_000, tzinfo=UTC)


class Widget(BodyModel):
    """A widget to create."""

    name: Annotated[str, Field(min_length=1, max_length=10)]
    size: Annotated[Decimal, Field(strict=False, ge=Decimal("0.5"))] = Decimal(1)
    role: Annotated[Role, Field(strict=False)] = Role.USER


class Made(BaseModel):
    """A widget that was created."""

    name: str | None
    size: Decimal
    made_at: datetime


class Window(QueryModel):
    """The parameters of the listing."""

    limit: Annotated[QueryInt, Field(ge=1, le=100, description="How many.")] = 25
    since: Annotated[str | None, Field(alias="from")] = None


class Ways(QueryModel):
    """The ways in which a handler can fail or linger."""

    how: str = "bug"
    seconds: float = 0
    breaks: Annotated[str | None, Field(alias="break")] = None


class FakeAuthenticator:
    """Accepts one token for each role, the name of the role."""

    async def authenticate(self, token: str) -> Principal:
        """Return a principal of the role that the token names."""
        if token == "outage":
            raise TableUnavailable
        if token not in list(Role):
            raise InvalidToken
        return principal(Role(token))


def principal(role: Role) -> Principal:
    """Return a principal of the role."""
    user = User(
        id=f"id-of-{role}", email=f"{role}@example.com", name=role, role=role, active=True, password_hash=SECRET,
        session_epoch=1, version=1, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    session = Session(
        id="session-1", user_id=user.id, epoch=1, generation=1, user_agent="", created_at=NOW, refreshed_at=NOW,
        expires_at=NOW,
    )  # fmt: skip
    return Principal(user=user, credential=session)


async def who(request: Request[None, None]) -> web.StreamResponse:
    """Return the caller and its address."""
    caller = request.principal.id if request.principal else None
    return json_response(f'{{"id":"{caller}","address":"{request.address}","agent":"{request.user_agent}"}}'.encode())


async def late(request: Request[None, None]) -> web.StreamResponse:
    """Authenticate the caller late."""
    await request.authenticate()
    return await who(request)


async def make(request: Request[Widget, None]) -> web.StreamResponse:
    """Create a widget."""
    _ = request.idempotency_key
    made = Made(name=request.body.name, size=request.body.size, made_at=NOW)
    return json_response(made, status=201, location="/v1/widgets/1", etag=1)


async def touch(request: Request[Widget | None, None]) -> web.StreamResponse:
    """Accept an optional body."""
    return json_response(Made(name=request.body.name if request.body else None, size=Decimal("1.50"), made_at=NOW))


async def listing(request: Request[None, Window]) -> web.StreamResponse:
    """Return the parameters of the query."""
    return json_response(request.query, headers={"Link": request.next_link("abc=")})


async def paged(request: Request[None, PageQuery]) -> web.StreamResponse:
    """Return the parameters of a page."""
    return json_response(request.query)


async def tagged(request: Request[None, None]) -> web.StreamResponse:
    """Return an object with a version."""
    cached = {"Cache-Control": "public, max-age=1"}
    return conditional_response(request, b'{"version":3}', etag=3, headers=cached)


async def change(request: Request[None, None]) -> web.StreamResponse:
    """Return the tags of `If-Match`."""
    tags = request.precondition().match
    return json_response(b'"any"' if tags is None or tags == "*" else orjson.dumps(sorted(tags)))


async def fail(request: Request[None, Ways]) -> web.StreamResponse:
    """Raise the error that the query names."""
    raise {"sku": SkuTaken("p-1"), "missing": NotFound(), "bug": ValueError(SECRET)}[request.query.how]


async def sleep(request: Request[None, Ways]) -> web.StreamResponse:
    """Sleep for the seconds of the query."""
    await asyncio.sleep(request.query.seconds)
    return json_response(b'"slept"')


async def large(request: Request[None, None]) -> web.StreamResponse:
    """Return more than a kernel buffers, and count the readers."""
    request.app[LARGE].append(request.request_id)
    return json_response(b'"' + b"x" * LARGE_SIZE + b'"')


async def stream(request: Request[None, Ways]) -> web.StreamResponse:
    """Stream three lines, or fail after the second if the query says so."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request.raw)
    for number in range(3):
        if number == 2 and request.query.breaks is not None:
            raise ValueError(SECRET)
        await response.write(b"%d\n" % number)
        await asyncio.sleep(0.05)
    return response


def _route(method: Any, path: str, handler: Any, **options: Any) -> Route:  # noqa: ANN401
    defaults: dict[str, Any] = {"allow": PUBLIC, "scope": Scope.READ, "operation_id": f"{method} {path}"}
    defaults["responses"] = {200: JSON}
    return new_route(method, path, handler, tags=("small",), **defaults | options)


ROUTES: Final = (
    _route("GET", "/v1/who", who),
    _route("GET", "/v1/late", late, late_authentication=True),
    _route("GET", "/v1/mine", who, allow=EVERY_ROLE, scope=None),
    _route("GET", "/v1/accounts", who, allow=ACCOUNT_MANAGERS),
    _route("POST", "/v1/widgets", make, responses={201: Made}, idempotent=True, response_headers=("Location",)),
    _route("POST", "/v1/accounts", make, allow=ACCOUNT_MANAGERS, responses={201: Made}),
    _route("POST", "/v1/touch", touch, responses={200: Made}, rate_limited=True),
    _route("PATCH", "/v1/widgets/{id}", make, media_types=(JSON, MERGE_PATCH), conditional=True),
    _route("GET", "/v1/widgets", listing, response_headers=("Link",)),
    _route("GET", "/v1/pages", paged),
    _route("GET", "/v1/widgets/{id}", tagged, conditional=True),
    _route("DELETE", "/v1/widgets/{id}", change, conditional=True),
    _route("GET", "/v1/fail", fail, errors=(SkuTaken, NotFound)),
    _route("GET", "/v1/sleep", sleep),
    _route("GET", "/v1/sleep-long", sleep, deadline=False),
    _route("GET", "/v1/large", large),
    _route("GET", "/v1/stream", stream, responses={200: ("text/plain", "text/csv")}, deadline=False),
)


def settings(**options: Any) -> Settings:  # noqa: ANN401 - a setting's own field checks its value
    """Settings for a test: a free port and fixed keys."""
    return Settings(**{"signing_keys": f"k:{SECRET * 2}", "secret_key": SECRET * 2, "port": 0, **options})


def create_app(given: Settings) -> web.Application:
    """Return the small application."""
    app = new_application(given, ROUTES)
    app[LARGE] = []
    app[AUTHENTICATOR] = FakeAuthenticator()
    return app


@asynccontextmanager
async def small_service(**options: Any) -> AsyncIterator[str]:  # noqa: ANN401
    """Serve the small application on a free port as `vitrina api` does; yields the URL."""
    async with small_app(**options) as (url, _):
        yield url


@asynccontextmanager
async def small_app(**options: Any) -> AsyncIterator[tuple[str, web.Application]]:  # noqa: ANN401
    """Serve it, and yield the URL and the application."""
    given = settings(**options)
    app = create_app(given)
    async with listening(app, given) as url:
        yield url, app


async def exchange(url: str, *sent: bytes, pause: float = 0.0, seconds: float = 5.0) -> bytes:
    """Send these bytes, `pause` seconds apart, and return what the server sends until it closes the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in sent:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


def raw(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return the bytes of a request that asks to close the connection."""
    lines = {"Host": "test", "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
