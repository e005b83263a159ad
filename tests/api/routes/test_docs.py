"""The interactive documentation page works offline and loads nothing from other hosts."""

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.api.client import Client
from tests.api.small import small_service


@pytest.fixture(scope="module")
async def small(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of the small application."""
    async with small_service() as url:
        yield Client(http, url)


async def test_the_page_loads_nothing_from_other_hosts(small: Client) -> None:
    """Every address in the page and in its start script belongs to the service."""
    page = (await small.get("/docs")).body.decode()
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) == 4
    assert all(asset.startswith("/docs/") for asset in assets)
    start = next(asset for asset in assets if asset.endswith("page.js"))
    for text in (page, (await small.get(start)).body.decode()):
        assert "://" not in text
    assert "<script>" not in page


async def test_the_content_security_policy_forbids_other_hosts(small: Client) -> None:
    policy = (await small.get("/docs")).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_assets_can_be_cached_permanently(small: Client) -> None:
    """Their addresses contain their hash."""
    page = await small.get("/docs")
    media_types = {}
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.body.decode()):
        reply = await small.get(asset)
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        again = await small.get(asset, headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        media_types[asset.rpartition("/")[2]] = reply.headers["Content-Type"]
    assert media_types == {
        "favicon-32x32.png": "image/png",
        "swagger-ui.css": "text/css; charset=utf-8",
        "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "page.js": "text/javascript; charset=utf-8",
    }
    again = await small.get("/docs", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status, again.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.parametrize("path", ["/docs/0/page.js", "/docs/{}/page.html", "/docs/{}/..%2f__init__.py"])
async def test_no_other_file_of_the_package_is_served(small: Client, path: str) -> None:
    """Files of another version are not served either."""
    page = (await small.get("/docs")).body.decode()
    [version] = re.findall(r"/docs/(\w+)/page.js", page)
    assert (await small.get(f"/docs/{version}/page.js")).status == 200
    assert (await small.get(path.format(version))).status == 404


async def test_the_page_can_be_disabled_by_a_setting(http: aiohttp.ClientSession) -> None:
    async with small_service(docs=False) as url:
        client = Client(http, url)
        assert (await client.get("/docs")).status == 404
        assert (await client.get("/openapi.json")).status == 200
