"""The composition root of the API: routes and services become one application."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from vitrina.api.application import new_application
from vitrina.api.http.app_keys import AUTHENTICATOR, READINESS, SERVICES
from vitrina.api.routes import analytics, auth, exports, notifications, product_reads as reading, products, users
from vitrina.api.schemas import presenters
from vitrina.bootstrap import Services
from vitrina.clock import Clock, now
from vitrina.config import Settings

ROUTES: Final = (
    *auth.ROUTES, *users.ROUTES, *products.ROUTES, *reading.ROUTES, *analytics.ROUTES, *exports.ROUTES,
    *notifications.ROUTES,
)  # fmt: skip


def create_app(settings: Settings, *, clock: Clock = now, patient: float | None = None) -> web.Application:
    """Return the API; it connects when it starts, and stores the views that are still queued when it stops.

    `clock` and `patient` are those of `vitrina.bootstrap.Services`. Raises ValueError without the settings' secrets.
    """
    settings.require_keys()
    app = new_application(settings, ROUTES)

    async def open_services(app: web.Application) -> AsyncIterator[None]:
        async with Services(settings, clock=clock, patient=patient, render=presenters.cached_product) as services:
            app[SERVICES] = services
            app[AUTHENTICATOR] = services.authentication  # Built before the first request: it takes as long as a hash.
            app[READINESS].probe = services.probe
            yield

    app.cleanup_ctx.append(open_services)
    return app
