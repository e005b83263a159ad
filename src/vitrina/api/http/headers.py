"""Headers of every response (OWASP's REST security cheat sheet), and CORS if the settings allow origins."""

from http import HTTPStatus
from typing import Final

from aiohttp import web
from multidict import CIMultiDict, istr

from vitrina.api.http.proxies import ProxyHeaders
from vitrina.config import Settings
from vitrina.logging import REQUEST_ID

_SERVER: Final = istr("Server")
_REQUEST_ID: Final = istr("X-Request-ID")
_SECURITY: Final = CIMultiDict(
    {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
_PRIVATE: Final = CIMultiDict({**_SECURITY, "Cache-Control": "no-store"})
_HSTS: Final = "max-age=31536000"
_ALLOWED: Final = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
_EXPOSED: Final = (
    "Allow, ETag, Idempotency-Replayed, Link, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, "
    "Retry-After, WWW-Authenticate, X-Request-ID"
)
_PREFLIGHT_AGE: Final = "600"


def secure(response: web.StreamResponse) -> None:
    """Hide aiohttp's version, and add the security headers that the response does not set itself.

    A response must not be cached (`no-store`) unless it sets `Cache-Control`. A 304 gets none, so that the one of the
    200 still holds.
    """
    headers = response.headers
    headers[_SERVER] = "vitrina"
    headers.merge(_SECURITY if response.status == HTTPStatus.NOT_MODIFIED else _PRIVATE)


class ResponseHeaders:
    """Completes the headers of each response before it is sent; what a handler has set stays."""

    def __init__(self, settings: Settings, proxy_headers: ProxyHeaders) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._proxy_headers = proxy_headers
        self._behind_proxy = bool(settings.trusted_proxies)

    async def complete(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers of every response; aiohttp calls it by `on_response_prepare`."""
        headers = response.headers
        secure(response)
        request_id = REQUEST_ID.get(None)
        if request_id is not None:
            headers[_REQUEST_ID] = request_id
        if self._behind_proxy and self._proxy_headers.is_https(request):
            headers["Strict-Transport-Security"] = _HSTS
        if self._origins:
            self._add_cors(request, headers)

    def is_preflight(self, request: web.Request) -> bool:
        """Return whether the request is a CORS preflight (Fetch standard, section 3.3.2)."""
        return (
            bool(self._origins) and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )

    def preflight(self, methods: list[str]) -> web.Response:
        """Return the response to a preflight; `complete` adds whether the origin is allowed, as to every response."""
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Headers": _ALLOWED,
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Max-Age": _PREFLIGHT_AGE,
            },
        )

    def _add_cors(self, request: web.Request, headers: CIMultiDict[str]) -> None:
        origin = request.headers.get("Origin")
        if "*" in self._origins:
            headers["Access-Control-Allow-Origin"] = "*"
        else:
            headers.add("Vary", "Origin")
            if origin not in self._origins:
                return
            headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
