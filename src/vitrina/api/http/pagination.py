"""Pages over HTTP: a signed cursor comes in; a signed cursor and a `Link` header go out."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar

from aiohttp import web
from pydantic import Field

from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.request import Request
from vitrina.api.http.responses import Resource, json_response
from vitrina.api.http.validation import QueryInt, QueryModel
from vitrina.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, Page, Position

T = TypeVar("T")


class PageOf(Resource, Generic[T]):
    """A page, full unless it is the last; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None


class PageQuery(QueryModel):
    """Parameters of every page."""

    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT, description="The most items of a page.")] = DEFAULT_LIMIT
    cursor: Annotated[
        Annotated[str, Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]*$"})] | None,
        Field(description="The `next_cursor` of the page before; the first by default."),
    ] = None


R = TypeVar("R", bound=Resource)
Q = TypeVar("Q", bound=PageQuery)


async def list_response(
    request: Request[None, Q],
    scope: tuple[str | None, ...],
    read: Callable[[Position | None], Awaitable[Page[T]]],
    present: Callable[[T], R],
) -> web.Response:
    """Return the requested page of what `read` yields. Raises InvalidCursor.

    `scope` names the listing and its filters: a cursor is valid for the scope that it was signed for, and no other.
    """
    page = await read(start_position(request, scope))
    return page_response(request, scope, page, PageOf(items=[present(item) for item in page.items], next_cursor=None))


def start_position(request: Request[None, Q], scope: tuple[str | None, ...]) -> Position | None:
    """Return where the requested page starts, None for the first page. Raises InvalidCursor."""
    return request.app[SERVICES].cursors.read(scope, request.query.cursor)


def page_response(
    request: Request[None, Q], scope: tuple[str | None, ...], page: Page[T], content: PageOf[Any]
) -> web.Response:
    """Return `content` with the cursor to what follows `page`, in the body and as a `Link` (RFC 8288)."""
    cursor = request.app[SERVICES].cursors.write(scope, page.next)
    headers = None if cursor is None else {"Link": request.next_link(cursor)}
    return json_response(content.model_copy(update={"next_cursor": cursor}), headers=headers)
