"""The application that serves routes.

    serve(create_app, settings, on_ready=print)    # `server/process.py`; aiohttp's test server takes the app itself

`create_app` is the service; `new_application` serves any routes, with those of operations beside them.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

from aiohttp import web

from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.app_keys import ACCESS_LOG, AUTHENTICATOR, PROXY_HEADERS, SERVICES, SETTINGS, UNMATCHED
from vitrina.api.http.endpoint import Deadlines, Endpoint
from vitrina.api.http.headers import ResponseHeaders
from vitrina.api.http.problems import MethodNotAllowed
from vitrina.api.http.proxies import ProxyHeaders
from vitrina.api.http.request import Request
from vitrina.api.http.routing import PUBLIC, Route, without_stream
from vitrina.api.http.traces import traced
from vitrina.api.routes import (
    analytics,
    api_keys,
    auth,
    changes,
    docs,
    exports,
    notifications,
    ops,
    product_batches,
    product_reads,
    products,
    products_by_sku,
    users,
)
from vitrina.api.schemas.products import rendered_product
from vitrina.api.server.process import READINESS, Readiness, protocol_options
from vitrina.bootstrap import Services
from vitrina.clock import Clock, now
from vitrina.config import Settings
from vitrina.errors import NotFound

ROUTES: Final = (
    *auth.routes, *api_keys.routes, *users.routes, *products.routes, *products_by_sku.routes, *product_batches.routes,
    *product_reads.routes, *changes.routes, *analytics.routes, *exports.routes, *notifications.routes,
)  # fmt: skip
_ANY_PATH: Final = r"/{any:[\s\S]*}"
_UNKNOWN: Final = "/{any}"


def create_app(
    settings: Settings,
    *,
    clock: Clock = now,
    patient: float | None = None,
    extra: Sequence[Route] = (),
    streams: bool = True,
) -> web.Application:
    """Return the API; it connects when it starts, and stores the views that are still queued when it stops.

    `clock` and `patient` are those of `vitrina.bootstrap.Services`; `extra` are routes beside the API's own, such as
    the demo's. Without `streams`, routes that stream refuse. Raises ValueError without the settings' secrets.
    """
    settings.require_keys()
    routes = (*ROUTES, *extra)
    app = new_application(settings, routes if streams else tuple(map(without_stream, routes)))

    async def open_services(app: web.Application) -> AsyncIterator[None]:
        async with Services(settings, clock=clock, patient=patient, render=rendered_product) as services:
            app[SERVICES] = services
            app[AUTHENTICATOR] = services.authentication
            app[READINESS].probe = services.probe
            yield

    app.cleanup_ctx.append(open_services)
    return app


def new_application(settings: Settings, routes: Sequence[Route]) -> web.Application:
    """Return an application that serves `routes` and those of operations; `app[AUTHENTICATOR]` is still to be set."""
    app = web.Application(handler_args=protocol_options(settings))
    proxy_headers = ProxyHeaders(settings.proxy_networks)
    app[SETTINGS] = settings
    app[PROXY_HEADERS] = proxy_headers
    app[READINESS] = Readiness()
    headers = ResponseHeaders(settings, proxy_headers)
    app.on_response_prepare.append(headers.complete)
    access_log = app[ACCESS_LOG] = AccessLog()
    app.on_cleanup.append(_flush_access_log)
    app[ops.EXPOSITION] = ops.Exposition(access_log)
    endpoint = partial(Endpoint, settings=settings, deadlines=Deadlines(), access_log=access_log)
    served, by_path = all_routes(settings, routes), attrgetter("path")
    for path, methods in groupby(sorted(served, key=by_path), key=by_path):
        resource = app.router.add_resource(path)
        for route in methods:
            handle = traced(endpoint(route).handle, route, on=settings.tracing)
            resource.add_route(route.method, handle, expect_handler=_expect)
            if route.method == "GET":
                resource.add_route("HEAD", handle, expect_handler=_expect)
    app[UNMATCHED] = endpoint(_unknown(headers), name="unknown").handle
    app.router.add_route("*", _ANY_PATH, app[UNMATCHED], expect_handler=_expect)
    return app


def all_routes(settings: Settings, routes: Sequence[Route]) -> tuple[Route, ...]:
    """Return `routes` with those of operations, as the application serves and the document describes them."""
    operations = [*ops.routes]
    if settings.docs:
        operations += docs.routes
    return (*routes, *operations, docs.document_route((*routes, *operations), settings))


def _unknown(headers: ResponseHeaders) -> Route:
    """Return the route for requests that match no other: unknown paths, and known paths with another method."""

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
        operation_id="unknown",
        responses={},
        documented=False,
    )


async def _flush_access_log(app: web.Application) -> None:
    app[ACCESS_LOG].flush()


async def _expect(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to `http/body.py`, which reads the body."""
