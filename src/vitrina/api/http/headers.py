"""Headers that every answer carries, however it was made (OWASP's REST security cheat sheet), and CORS by setting."""

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
    """Name the server without aiohttp's versions, and add what the answer does not say itself.

    An answer is private unless it says otherwise; 304 says nothing, so that what was said with the 200 still holds.
    """
    headers = response.headers
    headers[_SERVER] = "vitrina"
    headers.merge(_SECURITY if response.status == HTTPStatus.NOT_MODIFIED else _PRIVATE)


class ResponseHeaders:
    """Completes the headers of each answer before they are sent; what a handler set stays as it is."""

    def __init__(self, settings: Settings, forwarding: ProxyHeaders) -> None:
        """Take who may call from a browser, and the proxies that tell of TLS."""
        self._origins = frozenset(settings.cors_origins)
        self._forwarding = forwarding
        self._behind_proxy = bool(settings.trusted_proxies)

    async def complete(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every answer carries; an `on_response_prepare` signal."""
        headers = response.headers
        secure(response)
        request_id = REQUEST_ID.get(None)
        if request_id is not None:
            headers[_REQUEST_ID] = request_id
        if self._behind_proxy and self._forwarding.is_https(request):
            headers["Strict-Transport-Security"] = _HSTS
        if self._origins:
            self._add_cors(request, headers)

    def is_preflight(self, request: web.Request) -> bool:
        """Say whether a browser asks what it may ask (the Fetch standard's CORS-preflight request)."""
        return (
            bool(self._origins) and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )

    def preflight(self, methods: list[str]) -> web.Response:
        """Return the answer to a preflight; whether the origin may is said by the headers of every answer."""
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
