"""Inboxes over HTTP: an admin's own notices, and how they are mailed (R9)."""

from typing import Final

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.pagination import page_response, start_position
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import Route
from vitrina.api.schemas.notifications import (
    NotificationPage,
    NotificationPreferences,
    NotificationPreferencesPut,
    NotificationQuery,
    notification_resource,
    preferences_resource,
)
from vitrina.domain.users import PRODUCT_MANAGERS
from vitrina.errors import InvalidCursor, NotFound

_TAGS: Final = ("notifications",)
_PREFERENCES: Final = "/v1/me/notification-preferences"


async def page(request: Request[None, NotificationQuery]) -> web.Response:
    """Answer a page of the inbox."""
    unread = request.query.unread
    query = ("notifications", request.caller.id, "unread" if unread else "all")
    found = await request.app[SERVICES].inbox.page(
        request.caller.id, unread=unread, limit=request.query.limit, start=start_position(request, query)
    )
    items = [notification_resource(notice) for notice in found.page.items]
    content = NotificationPage(items=items, next_cursor=None, unread_count=found.unread_count)
    return page_response(request, query, found.page, content)


async def read(request: Request[None, None]) -> web.Response:
    """Mark a notice as read."""
    await request.app[SERVICES].inbox.mark_read(request.caller.id, request.parameter("notification_id"))
    return json_response(status=204)


async def read_all(request: Request[None, None]) -> web.Response:
    """Mark all notices as read."""
    await request.app[SERVICES].inbox.mark_all_read(request.caller.id)
    return json_response(status=204)


async def read_preferences(request: Request[None, None]) -> web.Response:
    """Answer how notices are mailed."""
    return json_response(preferences_resource(await request.app[SERVICES].inbox.preferences(request.caller.id)))


async def put_preferences(request: Request[NotificationPreferencesPut, None]) -> web.Response:
    """Replace how notices are mailed."""
    body = request.body
    preferences = await request.app[SERVICES].inbox.set_preferences(
        request.caller.id, email=body.email, digest_minutes=body.digest_minutes, language=body.language
    )
    return json_response(preferences_resource(preferences))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/notifications",
        handler=page,
        allow=PRODUCT_MANAGERS,
        summary="List one's own notices, newest first",
        description="What is unread is found by an index, which may lag behind the table for a moment.",
        operation_id="listNotifications",
        tags=_TAGS,
        query=NotificationQuery,
        answers={200: NotificationPage},
        errors=(InvalidCursor,),
        response_headers=("Link",),
    ),
    Route(
        method="POST",
        path="/v1/notifications/read-all",
        handler=read_all,
        allow=PRODUCT_MANAGERS,
        summary="Mark all of one's notices as read",
        description="Of thousands, some may be left when time is up (503): the same request again goes on.",
        operation_id="readAllNotifications",
        tags=_TAGS,
        answers={204: None},
    ),
    Route(
        method="POST",
        path="/v1/notifications/{notification_id}/read",
        handler=read,
        allow=PRODUCT_MANAGERS,
        summary="Mark a notice as read; again changes nothing",
        operation_id="readNotification",
        tags=_TAGS,
        answers={204: None},
        errors=(NotFound,),
    ),
    Route(
        method="GET",
        path=_PREFERENCES,
        handler=read_preferences,
        allow=PRODUCT_MANAGERS,
        summary="Read how one's notices are mailed",
        operation_id="readNotificationPreferences",
        tags=_TAGS,
        answers={200: NotificationPreferences},
    ),
    Route(
        method="PUT",
        path=_PREFERENCES,
        handler=put_preferences,
        allow=PRODUCT_MANAGERS,
        summary="Set how one's notices are mailed",
        operation_id="putNotificationPreferences",
        tags=_TAGS,
        body=NotificationPreferencesPut,
        answers={200: NotificationPreferences},
    ),
)
