"""The cache of lists for anonymous readers: one read a second for each page, entity tags, and own writes at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused, unique
from tests.api.views import count
from tests.service import Service, serving
from vitrina.domain.pages import Page
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.services.products.prices import PriceHistory, Prices
from vitrina.services.products.read_through import SETTLING

Other = Callable[..., AbstractAsyncContextManager[tuple[Service, Client]]]
LIST = "/v1/products"


class Time:
    """The clock of the cache of pages, which a test moves."""

    def __init__(self, service: Service) -> None:
        self.seconds = 1000.0
        cache = service.services.product_cache
        for pages in (cache.first_pages, cache.pages):
            pages._time = pages._circuit._time = lambda: self.seconds


@pytest.fixture
def other(service: Service, http: aiohttp.ClientSession) -> Other:
    """Start another process of the service with its own settings; yields it and an anonymous client of it."""

    @asynccontextmanager
    async def start(**options: float) -> AsyncIterator[tuple[Service, Client]]:
        async with serving(service.settings.model_copy(update=options)) as other:
            yield other, Client(http, other.url)

    return start


@pytest.fixture(scope="module")
async def products(admin: Person) -> list[JsonObject]:
    """Three products of a brand, the newest last."""
    brand = unique("Brand")
    bodies = [product_body(brand=brand, name=f"Lamp {number}") for number in range(3)]
    return [ok(await admin.post(LIST, body), 201) for body in bodies]


async def queries(reader: Client) -> float:
    """Return the number of queries of the process."""
    return await count(reader, 'vitrina_dynamodb_calls_total{operation="Query"}')


def names(page: JsonObject) -> list[str]:
    """Return the names on a page."""
    return [item["name"] for item in page["items"]]


async def test_a_crawl_of_other_pages_leaves_the_first_pages_in_the_cache(
    other: Other, products: list[JsonObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front page is read most, and a crawler reads every price and follows every link."""

    async def history(*_: object, **__: object) -> PriceHistory:
        return PriceHistory(Page([], None), Decimal(1), None)

    async with other(product_cache_ttl=1) as (service, reader):
        Time(service)
        front = [f"{LIST}?sort=price", f"{LIST}?brand={products[0]['brand']}"]
        pages = [ok(await reader.get(path)) for path in front]
        with monkeypatch.context() as empty:
            empty.setattr(Prices, "history", history)
            for _ in range(100):
                crawl = (reader.get(f"{LIST}/{new_id()}/prices") for _ in range(15))
                assert all(reply.status == 200 for reply in await asyncio.gather(*crawl))
        ok(await reader.get(f"{LIST}?name_prefix=Lamp"))
        before = await queries(reader)
        assert [ok(await reader.get(path)) for path in front] == pages
        assert await queries(reader) == before
        assert len(service.services.product_cache.pages._cached) == 1000


async def test_a_page_costs_one_query_a_second_however_many_read_it(other: Other, products: list[JsonObject]) -> None:
    """Each order, filter, limit and cursor is a page of its own; the order of parameters makes none."""
    async with other(product_cache_ttl=1) as (service, reader):
        time, brand, before = Time(service), products[0]["brand"], await queries(reader)
        replies = await asyncio.gather(*(reader.get(f"{LIST}?brand={brand}&sort=name") for _ in range(50)))
        assert len({reply.body for reply in replies}) == 1
        assert await queries(reader) == before + 1
        time.seconds += 0.9
        for path in (f"?sort=name&brand={brand}", f"?sort=name&brand={brand.upper()}&limit=25"):
            assert ok(await reader.get(LIST + path)) == replies[0].json
        assert await queries(reader) == before + 1
        first = await reader.get(f"{LIST}?brand={brand}&sort=name&limit=2")
        following = first.headers["Link"].partition(">")[0].removeprefix(f"<{reader.url}")
        for path in (f"{LIST}?brand={brand}", f"{LIST}?brand={brand}&sort=-price", following, following):
            ok(await reader.get(path))
        assert names(ok(await reader.get(following))) == ["Lamp 2"]
        assert await queries(reader) == before + 5
        time.seconds += 0.1
        ok(await reader.get(f"{LIST}?brand={brand}&sort=name"))
        assert await queries(reader) == before + 6


async def test_a_write_of_the_process_is_on_the_next_page_and_one_of_another_after_the_time_to_live(
    other: Other, admin: Person, products: list[JsonObject]
) -> None:
    """A creation, a change, a deletion and a restoration move or remove a product in every list."""
    async with other(product_cache_ttl=60) as (service, reader):
        time, writer = Time(service), reader.bearing(admin.token)
        page = f"{LIST}?sort=name&brand={products[0]['brand']}"
        assert names(ok(await reader.get(page))) == ["Lamp 0", "Lamp 1", "Lamp 2"]
        path = f"{LIST}/{products[0]['id']}"
        ok(await writer.patch(path, {"name": "Lamp 9"}))
        assert names(ok(await reader.get(page))) == ["Lamp 1", "Lamp 2", "Lamp 9"]
        ok(await writer.delete(path), 204)
        assert names(ok(await reader.get(page))) == ["Lamp 1", "Lamp 2"]
        ok(await writer.post(f"{path}/restore"))
        new = ok(await writer.post(LIST, product_body(brand=products[0]["brand"], name="Lamp 3")), 201)
        assert names(ok(await reader.get(page))) == ["Lamp 1", "Lamp 2", "Lamp 3", "Lamp 9"]
        time.seconds += SETTLING
        before = await reader.get(page)
        ok(await admin.delete(f"{LIST}/{new['id']}"), 204)
        ok(await admin.patch(path, {"name": "Lamp 0"}))
        time.seconds += 59.9
        assert ok(await reader.get(page)) == before.json
        time.seconds += 0.1
        assert names(ok(await reader.get(page))) == ["Lamp 0", "Lamp 1", "Lamp 2"]


async def test_people_who_are_signed_in_share_queries_but_get_no_page_from_before_their_request(
    other: Other, admin: Person, user: Person, products: list[JsonObject]
) -> None:
    """Admins and others see different fields, so they share none with each other."""
    async with other() as (_, reader):
        path = f"{LIST}?brand={products[0]['brand']}&sort=price"
        before = await queries(reader)
        clients = [reader.bearing(person.token) for person in (admin, user)]
        replies = await asyncio.gather(*(client.get(path) for client in clients * 20))
        assert await queries(reader) - before < 20
        assert len({reply.body for reply in replies}) == 2
        for number in range(3):
            ok(await admin.patch(f"{LIST}/{products[1]['id']}", {"description": f"Version {number}"}))
            for page in [ok(await client.get(path)) for client in clients]:
                assert f"Version {number}" in [item["description"] for item in page["items"]]


async def test_a_page_has_an_entity_tag_that_confirms_it(
    anonymous: Client, admin: Person, user: Person, products: list[JsonObject]
) -> None:
    """For everyone, GET and HEAD; only anonymous pages may be kept by caches, which must ask again each time."""
    path = f"{LIST}?brand={products[0]['brand']}&limit=1"
    tags = []
    for client in (anonymous, admin, user):
        reply = await client.get(path)
        ok(reply)
        tags.append(tag := reply.headers["ETag"])
        head = await client.request("HEAD", path)
        assert (head.status, head.headers["ETag"], head.body) == (200, tag, b"")
        assert head.headers["Content-Length"] == str(len(reply.body))
        for method, given in (("GET", tag), ("HEAD", f'"x", W/{tag}'), ("GET", "*")):
            same = await client.request(method, path, headers={"If-None-Match": given})
            assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
        ok(await client.get(path, headers={"If-None-Match": '"x"'}))
        problem(await client.get(path, headers={"If-None-Match": "x"}), 400, "invalid_header")
        public = client is anonymous
        assert reply.headers["Cache-Control"] == ("no-cache" if public else "no-store")
        assert reply.headers.get("Vary") == ("Authorization" if public else None)
        if public:
            same = await client.get(path, headers={"If-None-Match": tag})
            assert (same.headers["Cache-Control"], same.headers["Vary"]) == ("no-cache", "Authorization")
    assert tags[0] == tags[2] != tags[1]
    ok(await admin.patch(f"{LIST}/{products[-1]['id']}", {"description": "Changed"}))
    changed = await anonymous.get(path, headers={"If-None-Match": tags[0]})
    assert ok(changed)["items"][0]["description"] == "Changed"
    assert changed.headers["ETag"] != tags[0]


async def test_a_link_is_of_the_request_and_not_of_the_first_one(
    other: Other, http: aiohttp.ClientSession, products: list[JsonObject]
) -> None:
    """The cached page is shared by all hosts and spellings of a query."""
    async with other(product_cache_ttl=60) as (_, reader):
        for host, query in (("a.example", "limit=1&brand={}"), ("b.example:81", "brand={}&limit=1")):
            path = f"{LIST}?{query.format(products[0]['brand'])}"
            async with http.get(f"{reader.url}{path}", headers={"Host": host}) as response:
                cursor = (await response.json())["next_cursor"]
                assert response.headers["Link"] == f'<http://{host}{path}&cursor={cursor}>; rel="next"'


async def test_a_refused_query_is_not_cached(anonymous: Client, products: list[JsonObject]) -> None:
    """A cursor is checked for the query that it comes with, also while its own page is cached."""
    path = f"{LIST}?brand={products[0]['brand']}&limit=1"
    cursor = ok(await anonymous.get(path))["next_cursor"]
    for _ in range(2):
        ok(await anonymous.get(f"{path}&cursor={cursor}"))
        problem(await anonymous.get(f"{path}&sort=name&cursor={cursor}"), 400, "invalid_cursor")
        problem(await anonymous.get(f"{path}&cursor={cursor}x"), 400, "invalid_cursor")
        refused(await anonymous.get(f"{path}&name_prefix=a&sort=price"), "/name_prefix")
    problem(await anonymous.bearing("x").get(path), 401, "invalid_token")


async def test_during_an_outage_a_page_is_served_stale_to_anonymous_readers(
    other: Other, user: Person, products: list[JsonObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has `Age` and `Warning`, as a single product has; other pages and signed-in people get 503."""

    async def refuse(*_: Any, **__: Any) -> object:  # noqa: ANN401
        raise TableUnavailable

    async with other(product_cache_ttl=1, stale_if_error=30) as (service, reader):
        time, path = Time(service), f"{LIST}?brand={products[0]['brand']}"
        fresh = await reader.get(path)
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            time.seconds += 30.9
            stale = await reader.get(path)
            assert (ok(stale), stale.headers["ETag"]) == (fresh.json, fresh.headers["ETag"])
            assert stale.headers["Age"] == "30"
            assert stale.headers["Warning"].startswith("110")
            problem(await reader.get(f"{path}&limit=2"), 503, "table_unavailable")
            problem(await reader.bearing(user.token).get(path), 503, "table_unavailable")
            time.seconds += 0.1
            problem(await reader.get(path), 503, "table_unavailable")
        time.seconds += 0.5
        recovered = await reader.get(path)
        assert ok(recovered) == fresh.json
        assert "Warning" not in recovered.headers
