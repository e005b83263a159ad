"""The span of a request, by OpenTelemetry's conventions for HTTP, with the route in place of the client's path.

It continues the trace of a client that sends `traceparent`. Requests that match no route, probes and pages of operators
have no span.
"""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from vitrina import tracing
from vitrina.api.http.app_keys import PROXY_HEADERS
from vitrina.api.http.routing import Route

Handle = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]

_TRACED: Final = "/v1/"


def traced(handle: Handle, route: Route, *, on: bool) -> Handle:
    """Return `handle` in a span, if tracing is `on` and the route is one of the API's own."""
    if not on or not route.path.startswith(_TRACED):
        return handle

    async def handle_traced(raw: web.Request) -> web.StreamResponse:
        attributes = {
            "http.request.method": raw.method,
            "http.route": route.template,
            "url.scheme": "https" if raw.app[PROXY_HEADERS].is_https(raw) else "http",
        }
        parent = raw.headers.get("traceparent")  # Not `tracestate`, which holds whatever the client writes.
        with tracing.span(f"{raw.method} {route.template}", "SERVER", attributes, parent=parent) as span:
            response = await handle(raw)
            if span is not None:
                span.set_attribute("http.response.status_code", response.status)
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                tracing.fail(str(response.status))
            return response

    return handle_traced
