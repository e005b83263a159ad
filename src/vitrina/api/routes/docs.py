"""`/docs`: Swagger UI from the package swagger-ui-py, on a page that loads nothing from other hosts."""

import asyncio
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from vitrina.api.http.request import Request
from vitrina.api.http.responses import conditional_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.errors import NotFound

routes = RouteTable("ops")
_START: Final = b"""\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitrina API</title>
<link rel="icon" href="/docs/{version}/favicon-32x32.png">
<link rel="stylesheet" href="/docs/{version}/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/{version}/swagger-ui-bundle.js"></script>
<script src="/docs/{version}/start.js"></script>
</body>
</html>
"""
_MEDIA_TYPES: Final = {
    "favicon-32x32.png": "image/png",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


class _Assets(NamedTuple):
    """Files that the page loads. Their URLs contain the version, so that clients may cache them for ever."""

    version: str
    files: dict[str, bytes]


@routes.get("/docs", allow=PUBLIC, ignores_tokens=True, responses={200: "text/html"}, conditional=True)
async def docs(request: Request[None, None]) -> web.StreamResponse:
    """Show this document as a page on which requests can be tried."""
    assets = await asyncio.to_thread(_assets)
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "Content-Type": "text/html; charset=utf-8",
    }
    return conditional_response(
        request, _PAGE.format(version=assets.version).encode(), etag=assets.version, headers=headers
    )


@routes.get(
    "/docs/{version}/{name}",
    allow=PUBLIC,
    ignores_tokens=True,
    responses={200: tuple(_MEDIA_TYPES.values())},
    documented=False,
)
async def docs_asset(request: Request[None, None]) -> web.StreamResponse:
    """Return a file that the page loads."""
    assets = await asyncio.to_thread(_assets)
    name = request.parameter("name")
    if request.parameter("version") != assets.version or name not in assets.files:
        raise NotFound
    headers = {"Cache-Control": _FOR_GOOD, "Content-Type": _MEDIA_TYPES[name]}
    return conditional_response(request, assets.files[name], etag=assets.version, headers=headers)


@cache
def _assets() -> _Assets:
    """Read the files once. The package itself is not imported, because it imports a template engine."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("swagger_ui")
    folder = Path(spec.submodule_search_locations[0]) / "static"
    files = {name: _START if name == "start.js" else (folder / name).read_bytes() for name in _MEDIA_TYPES}
    digest = hashlib.sha256(_PAGE.encode() + b"".join(files.values()))
    return _Assets(digest.hexdigest()[:16], files)
