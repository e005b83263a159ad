"""The composition root of the API: routes and services become one application."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from vitrina.api.application import new_application
from vitrina.api.http.app_keys import AUTHENTICATOR, READINESS, SETTINGS
from vitrina.api.routes import analytics, auth, exports, notifications, product_reads as reading, products, users
from vitrina.api.services import SERVICES, open_services
from vitrina.config import Settings

ROUTES: Final = (
    *auth.ROUTES, *users.ROUTES, *products.ROUTES, *reading.ROUTES, *analytics.ROUTES, *exports.ROUTES,
    *notifications.ROUTES,
)  # fmt: skip


def create_app(settings: Settings) -> web.Application:
    """Return the API; it connects when it starts and stores the views that still wait when it stops.

    Raises ValueError without the secrets that it signs and hashes by.
    """
    settings.require_keys()
    app = new_application(settings, ROUTES)
    app.cleanup_ctx.append(_services)
    return app


async def _services(app: web.Application) -> AsyncIterator[None]:
    async with open_services(app[SETTINGS]) as services:
        app[SERVICES] = services
        app[AUTHENTICATOR] = services.authentication
        app[READINESS].probe = services.probe
        yield
