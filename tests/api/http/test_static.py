"""Content that never changes is compressed once and revalidated by its hash."""

import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.api.client import Client
from tests.api.small import small_service


@pytest.fixture(scope="module")
async def small() -> AsyncIterator[Client]:
    """A client that decompresses nothing."""
    async with small_service() as url, aiohttp.ClientSession(auto_decompress=False) as http:
        yield Client(http, url)


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP", True),
        ("gzip;q=0.5, identity", True),
        ("deflate, gzip; q=1.0", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, identity", False),
        ("identity", False),
        ("xgzip", False),
        ("", False),
    ],
)
async def test_a_client_gets_gzip_if_it_accepts_it(small: Client, accepted: str, *, compressed: bool) -> None:
    """The URL is the same, so caches must tell the two apart, and each has an ETag of its own."""
    plain = await small.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    reply = await small.get("/openapi.json", headers={"Accept-Encoding": accepted})
    assert reply.headers["Vary"] == "Accept-Encoding"
    assert reply.headers.get("Content-Encoding") == ("gzip" if compressed else None)
    assert (gzip.decompress(reply.body) if compressed else reply.body) == plain.body
    assert (reply.headers["ETag"] != plain.headers["ETag"]) == compressed
    if compressed:
        assert len(reply.body) < len(plain.body) / 5
    again = {"Accept-Encoding": accepted, "If-None-Match": reply.headers["ETag"]}
    assert (await small.get("/openapi.json", headers=again)).status == 304
