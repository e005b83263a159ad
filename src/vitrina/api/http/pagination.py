"""Pages over HTTP: a signed cursor in, a signed cursor and a `Link` out."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.schemas.resources import PageOf, PageQuery, Resource
from vitrina.domain.pages import Page, Position

T = TypeVar("T")
R = TypeVar("R", bound=Resource)
Q = TypeVar("Q", bound=PageQuery)


async def listed(
    request: Request[None, Q],
    query: tuple[str | None, ...],
    read: Callable[[Position | None], Awaitable[Page[T]]],
    present: Callable[[T], R],
) -> web.Response:
    """Answer a page of what `read` finds. `query` is what a cursor is bound to. Raises InvalidCursor."""
    page = await read(start_of(request, query))
    return page_answer(request, query, page, PageOf(items=[present(item) for item in page.items], next_cursor=None))


def start_of(request: Request[None, Q], query: tuple[str | None, ...]) -> Position | None:
    """Return where the page that was asked for starts. Raises InvalidCursor."""
    return request.app[SERVICES].cursors.read(query, request.query.cursor)


def page_answer(
    request: Request[None, Q], query: tuple[str | None, ...], page: Page[T], content: PageOf[Any]
) -> web.Response:
    """Answer `content`, with the cursor to what follows `page`."""
    cursor = request.app[SERVICES].cursors.write(query, page.next)
    headers = None if cursor is None else {"Link": request.next_link(cursor)}
    return json_response(content.model_copy(update={"next_cursor": cursor}), headers=headers)
