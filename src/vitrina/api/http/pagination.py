"""Pages over HTTP: a signed cursor in, a signed cursor and a `Link` out."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from vitrina.api.http.request import Call
from vitrina.api.http.responses import answer
from vitrina.api.schemas.resources import PageOf, PageQuery, Resource
from vitrina.api.services import SERVICES
from vitrina.domain.pages import Page, Position

T = TypeVar("T")
R = TypeVar("R", bound=Resource)
Q = TypeVar("Q", bound=PageQuery)


async def listed(
    call: Call[None, Q],
    query: tuple[str | None, ...],
    read: Callable[[Position | None], Awaitable[Page[T]]],
    present: Callable[[T], R],
) -> web.Response:
    """Answer a page of what `read` finds. `query` is what a cursor is bound to. Raises InvalidCursor."""
    page = await read(start_of(call, query))
    return page_answer(call, query, page, PageOf(items=[present(item) for item in page.items], next_cursor=None))


def start_of(call: Call[None, Q], query: tuple[str | None, ...]) -> Position | None:
    """Return where the page that was asked for starts. Raises InvalidCursor."""
    return call.app[SERVICES].cursors.read(query, call.query.cursor)


def page_answer(
    call: Call[None, Q], query: tuple[str | None, ...], page: Page[T], content: PageOf[Any]
) -> web.Response:
    """Answer `content`, with the cursor to what follows `page`."""
    cursor = call.app[SERVICES].cursors.write(query, page.next)
    headers = None if cursor is None else {"Link": call.next_link(cursor)}
    return answer(content.model_copy(update={"next_cursor": cursor}), headers=headers)
