"""Typed keys of the objects that the application holds for the HTTP layer, and the protocols behind them."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.proxies import ProxyHeaders
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.users import Principal


class Authenticator(Protocol):
    """Verifies access tokens and API keys."""

    async def authenticate(self, token: str) -> Principal:
        """Return the account of an access token or an API key. Raises InvalidToken, TableUnavailable."""
        ...


SETTINGS: Final = web.AppKey("settings", Settings)
UNMATCHED: Final = web.AppKey[Callable[[web.Request], Awaitable[web.StreamResponse]]]("unmatched")
"""Handles requests that match no route."""
SERVICES: Final = web.AppKey("services", Services)
AUTHENTICATOR: Final = web.AppKey[Authenticator]("authenticator")
ACCESS_LOG: Final = web.AppKey("access_log", AccessLog)
PROXY_HEADERS: Final = web.AppKey("proxy_headers", ProxyHeaders)
