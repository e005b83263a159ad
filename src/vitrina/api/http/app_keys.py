"""What the application holds: every typed key, and the seams behind them."""

from typing import Final, Protocol

from aiohttp import web

from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.proxies import Forwarding
from vitrina.api.server.readiness import Readiness
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.users import Principal


class Authenticator(Protocol):
    """Says who sent an access token."""

    async def authenticate(self, token: str) -> Principal:
        """Return who sent `token`. Raises InvalidToken, TableUnavailable."""
        ...


SETTINGS: Final = web.AppKey("settings", Settings)
SERVICES: Final = web.AppKey("services", Services)
AUTHENTICATOR: Final = web.AppKey[Authenticator]("authenticator")
ACCESS_LOG: Final = web.AppKey("journal", AccessLog)
FORWARDING: Final = web.AppKey("forwarding", Forwarding)
READINESS: Final = web.AppKey("readiness", Readiness)
