"""The OpenAPI document, and `/docs`: Swagger UI, vendored, on a page that loads nothing from other hosts."""

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import orjson
from aiohttp import web

from vitrina.api.http.body import JSON
from vitrina.api.http.request import Request
from vitrina.api.http.routing import PUBLIC, Route, RouteTable, new_route
from vitrina.api.http.static import StaticContent
from vitrina.api.openapi.components import NO_DEMO, Demo
from vitrina.api.openapi.document import document
from vitrina.config import Settings
from vitrina.errors import NotFound

DEMO: Final = web.AppKey("demo", Demo)
"""What the demo adds to the document; absent in production."""

routes = RouteTable("ops")
_PAGE: Final = "page.html"
_ASSETS: Final = {
    "page.js": "text/javascript; charset=utf-8",
    "swagger_ui/favicon-32x32.png": "image/png",
    "swagger_ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger_ui/swagger-ui.css": "text/css; charset=utf-8",
}
"""The files that the page loads, in the package `vitrina.api.openapi`, and their media types."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.get("/docs", allow=PUBLIC, ignores_tokens=True, responses={200: "text/html"}, conditional=True)
async def docs(request: Request[None, None]) -> web.StreamResponse:
    """Show this document as a page on which requests can be tried."""
    page = (await asyncio.to_thread(_contents))[_PAGE]
    return page.respond(request, {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY})


@routes.get(
    "/docs/{hash}/{name}",
    allow=PUBLIC,
    ignores_tokens=True,
    responses={200: tuple(_ASSETS.values())},
    documented=False,
)
async def docs_asset(request: Request[None, None]) -> web.StreamResponse:
    """Return a file that the page loads. Its URL has its hash, so that clients may cache it for ever."""
    asset = (await asyncio.to_thread(_contents)).get(request.parameter("name"))
    if asset is None or request.parameter("hash") != asset.etag:
        raise NotFound
    return asset.respond(request, {"Cache-Control": "public, max-age=31536000, immutable"})


@cache
def _contents() -> dict[str, StaticContent]:
    """Read and compress the page and its files once; the page gets the URLs of the files."""
    folder = files("vitrina.api.openapi")
    contents = {
        path.rpartition("/")[2]: StaticContent((folder / path).read_bytes(), media_type)
        for path, media_type in _ASSETS.items()
    }
    page = (folder / _PAGE).read_text()
    for name, content in contents.items():
        page = page.replace(f'"{name}"', f'"/docs/{content.etag}/{name}"')
    return contents | {_PAGE: StaticContent(page.encode(), "text/html; charset=utf-8")}


def document_route(routes: Sequence[Route], settings: Settings) -> Route:
    """Return the route that serves the document of `routes` and of itself, which is built at the first request."""

    @cache
    def rendered(demo: Demo) -> StaticContent:
        made = document((*routes, itself), server=settings.public_url, demo=demo)
        return StaticContent(orjson.dumps(made), JSON)

    async def openapi(request: Request[None, None]) -> web.StreamResponse:
        """Return this document."""
        content = await asyncio.to_thread(rendered, request.app.get(DEMO, NO_DEMO))
        return content.respond(request, {"Cache-Control": "no-cache"})

    itself = new_route(
        "GET",
        "/openapi.json",
        openapi,
        tags=("ops",),
        allow=PUBLIC,
        ignores_tokens=True,
        responses={200: JSON},
        conditional=True,
    )
    return itself
