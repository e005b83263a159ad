"""Inboxes over HTTP: the notices of an admin, and how they are mailed (R9)."""

from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.pagination import page_response, start_position
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import RouteTable
from vitrina.api.schemas.notifications import (
    NotificationPage,
    NotificationPreferences,
    NotificationPreferencesPut,
    NotificationQuery,
    notification_resource,
)
from vitrina.domain.users import PRODUCT_MANAGERS

routes = RouteTable("notifications")
_PREFERENCES: Final = "/v1/me/notification-preferences"


@routes.get("/v1/notifications", allow=PRODUCT_MANAGERS, responses={200: NotificationPage})
async def list_notifications(request: Request[None, NotificationQuery]) -> web.Response:
    """List your notices, newest first.

    Unread notices are found by an index, which may lag behind the table for a moment.
    """
    unread = request.query.unread
    query = ("notifications", request.caller.id, "unread" if unread else "all")
    found = await request.app[SERVICES].inbox.page(
        request.caller.id, unread=unread, limit=request.query.limit, start=start_position(request, query)
    )
    items = [notification_resource(notice) for notice in found.page.items]
    content = NotificationPage(items=items, next_cursor=None, unread_count=found.unread_count)
    return page_response(request, query, found.page, content)


@routes.post("/v1/notifications/{notification_id}/read", allow=PRODUCT_MANAGERS, responses={204: None})
async def read_notification(request: Request[None, None]) -> web.Response:
    """Mark a notice as read; repeating it changes nothing."""
    await request.app[SERVICES].inbox.mark_read(request.caller.id, request.parameter("notification_id"))
    return json_response(status=204)


@routes.post("/v1/notifications/read-all", allow=PRODUCT_MANAGERS, responses={204: None})
async def read_all_notifications(request: Request[None, None]) -> web.Response:
    """Mark all your notices as read.

    With thousands of notices, some may be left at the deadline (503); repeat the request to continue.
    """
    await request.app[SERVICES].inbox.mark_all_read(request.caller.id)
    return json_response(status=204)


@routes.get(_PREFERENCES, allow=PRODUCT_MANAGERS, responses={200: NotificationPreferences})
async def read_notification_preferences(request: Request[None, None]) -> web.Response:
    """Read how your notices are mailed."""
    preferences = await request.app[SERVICES].inbox.preferences(request.caller.id)
    return json_response(NotificationPreferences.model_validate(preferences))


@routes.put(
    _PREFERENCES,
    allow=PRODUCT_MANAGERS,
    responses={200: NotificationPreferences},
    example={"email": "digest", "digest_minutes": 30, "language": "en"},
)
async def put_notification_preferences(request: Request[NotificationPreferencesPut, None]) -> web.Response:
    """Set how your notices are mailed."""
    body = request.body
    preferences = await request.app[SERVICES].inbox.set_preferences(
        request.caller.id, email=body.email, digest_minutes=body.digest_minutes, language=body.language
    )
    return json_response(NotificationPreferences.model_validate(preferences))
