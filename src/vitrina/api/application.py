"""The application that serves routes.

    app = new_application(settings, routes)      # every route, plus /healthz, /readyz, /metrics, /openapi.json, /docs
    app.cleanup_ctx.append(open_the_services)    # sets app[AUTHENTICATOR] and app[READINESS].probe before it yields
    serve(create_app, settings)                  # `api/server.py`; aiohttp's test client takes `app` as it is

Only `new_application` knows how a declaration becomes something that aiohttp serves.
"""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

from aiohttp import web

from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.app_keys import ACCESS_LOG, FORWARDING, READINESS, SETTINGS
from vitrina.api.http.deadlines import Deadlines
from vitrina.api.http.endpoint import Endpoint
from vitrina.api.http.headers import ResponseHeaders
from vitrina.api.http.problems import MethodNotAllowed
from vitrina.api.http.proxies import Forwarding
from vitrina.api.http.request import Request
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.openapi import document as openapi
from vitrina.api.routes import dev_mails as caught_mails, docs, ops as health
from vitrina.api.server.readiness import Readiness
from vitrina.config import Settings
from vitrina.errors import NotFound

AnyRoute = Route[Any, Any]
_ANY_PATH: Final = r"/{any:[\s\S]*}"
_UNKNOWN: Final = "/{any}"
_LINGER: Final = 2.0
"""Seconds for which what is left of a refused body is read, so that its sender gets to see the answer."""


def new_application(settings: Settings, routes: Sequence[AnyRoute]) -> web.Application:
    """Return an application that serves `routes` and those of operations."""
    app = web.Application(handler_args=protocol_options(settings))
    forwarding = Forwarding(settings.proxy_networks)
    app[SETTINGS] = settings
    app[FORWARDING] = forwarding
    app[READINESS] = Readiness()
    headers = ResponseHeaders(settings, forwarding)
    app.on_response_prepare.append(headers.complete)
    access_log = app[ACCESS_LOG] = AccessLog()
    app.on_cleanup.append(_close_journal)
    endpoint = partial(Endpoint, settings=settings, deadlines=Deadlines(), access_log=access_log)
    served = all_routes(settings, routes)
    for path, methods in groupby(sorted(served, key=_path), key=_path):
        resource = app.router.add_resource(path)
        for route in methods:
            handle = endpoint(route).handle
            resource.add_route(route.method, handle, expect_handler=_expect)
            if route.method == "GET":
                resource.add_route("HEAD", handle, expect_handler=_expect)
    unknown = endpoint(_unknown(headers), name="unknown")
    app.router.add_route("*", _ANY_PATH, unknown.handle, expect_handler=_expect)
    return app


def all_routes(settings: Settings, routes: Sequence[AnyRoute]) -> tuple[AnyRoute, ...]:
    """Return `routes` with those of operations; both the application and the document are made from it."""
    operations = (*health.routes(), *(docs.routes() if settings.docs else ()), *caught_mails.routes(settings))
    return (*routes, *operations, openapi.route((*routes, *operations), settings))


def protocol_options(settings: Settings) -> dict[str, Any]:
    """Return how aiohttp reads requests: nothing is unpacked, nobody idles for an hour, and the access log is ours."""
    return {
        "access_log": None,
        "auto_decompress": False,
        "keepalive_timeout": settings.keepalive_timeout,
        "lingering_time": _LINGER,
    }


def _path(route: AnyRoute) -> str:
    return route.path


def _unknown(headers: ResponseHeaders) -> AnyRoute:
    """Return the route of what no route answers: an unknown path, or a known one with another method."""

    async def handle(request: Request[None, None]) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in request.app.router.resources():
            if resource.canonical != _UNKNOWN:
                allowed |= (await resource.resolve(request.raw))[1]
        if not allowed:
            raise NotFound
        if headers.is_preflight(request.raw):
            return headers.preflight(sorted(allowed))
        raise MethodNotAllowed(tuple(sorted(allowed)))

    return Route(
        method="GET",
        path=_ANY_PATH,
        handler=handle,
        allow=PUBLIC,
        ignores_tokens=True,
        summary="",
        operation_id="unknown",
        tags=(),
        answers={},
        documented=False,
    )


async def _close_journal(app: web.Application) -> None:
    app[ACCESS_LOG].flush()


async def _expect(_request: web.Request) -> None:
    """Leave `Expect` to whoever reads the body (`api/body.py`)."""
