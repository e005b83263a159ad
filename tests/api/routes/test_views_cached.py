"""The product cache for anonymous readers: concurrent reads share one read of the table, and staleness is limited."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.api.client import Client, JsonObject, Person, Reply, ok, problem, product_body
from tests.api.views import count, stored_views
from tests.service import Service, serving
from vitrina.errors import TableUnavailable

Other = Callable[..., AbstractAsyncContextManager[tuple[Service, Client]]]


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    return made


@pytest.fixture
def other(service: Service, http: aiohttp.ClientSession) -> Other:
    """Start another process of the service with its own settings; yields it and an anonymous client of it."""

    @asynccontextmanager
    async def start(**options: float) -> AsyncIterator[tuple[Service, Client]]:
        async with serving(service.settings.model_copy(update=options)) as other:
            yield other, Client(http, other.url)

    return start


def by_id(product: JsonObject) -> str:
    """The path of a product by its id."""
    return f"/v1/products/{product['id']}"


def by_sku(product: JsonObject) -> str:
    """The path of a product by its SKU."""
    return f"/v1/products/by-sku/{product['sku']}"


async def reads(reader: Client) -> float:
    """Return the number of `GetItem` and `BatchGetItem` calls of the process."""
    names = [f'vitrina_dynamodb_calls_total{{operation="{name}"}}' for name in ("GetItem", "BatchGetItem")]
    return sum([await count(reader, name) for name in names])


async def refuse(*_: object, **__: object) -> object:
    """Replaces every call to the table during an outage."""
    raise TableUnavailable


class Time:
    """The clock of the cache, which a test moves."""

    def __init__(self, service: Service) -> None:
        self.seconds = 1000.0
        for kept in (service.services.product_cache._products, service.services.product_cache._holders):
            kept._time = kept._circuit._time = lambda: self.seconds


async def test_a_hundred_concurrent_readers_cost_one_read(other: Other, product: JsonObject) -> None:
    """Concurrent misses of one key share a read; later readers within the time to live cost none."""
    async with other(product_cache_ttl=60) as (service, reader):
        before = await reads(reader)
        for _ in range(2):
            replies = await asyncio.gather(*(reader.get(by_id(product)) for _ in range(100)))
            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
        assert await reads(reader) == before + 1
        assert len(await stored_views(service, product["id"])) == 200


async def test_misses_of_many_products_are_batched(other: Other, admin: Person) -> None:
    """Fifty products that are read concurrently cost a few calls, not fifty."""
    made = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(50)]
    async with other(product_cache_ttl=60) as (_, reader):
        before = await reads(reader)
        replies = await asyncio.gather(*(reader.get(by_id(product)) for product in made))
        assert {reply.json["id"] for reply in replies} == {product["id"] for product in made}
        assert await reads(reader) - before <= 10


async def test_without_a_time_to_live_the_cache_is_off(other: Other, admin: Person, product: JsonObject) -> None:
    """With `product_cache_ttl` 0 a write of another process is visible at once, by id and by SKU."""
    async with other(product_cache_ttl=0) as (_, reader):
        for version in range(2, 5):
            ok(await admin.patch(by_id(product), {"name": f"Name {version}"}))
            assert ok(await reader.get(by_id(product)))["version"] == version
            assert ok(await reader.get(by_sku(product)))["version"] == version
        ok(await admin.delete(by_id(product)), 204)
        problem(await reader.get(by_id(product)), 404, "not_found")
        problem(await reader.get(by_sku(product)), 404, "not_found")


async def test_a_write_of_another_process_is_seen_after_the_time_to_live(
    other: Other, admin: Person, product: JsonObject
) -> None:
    """Until then readers get the cached product."""
    async with other(product_cache_ttl=2) as (service, reader):
        time = Time(service)
        ok(await reader.get(by_id(product)))
        ok(await admin.patch(by_id(product), {"name": "New"}))
        time.seconds += 1.9
        kept = await reader.get(by_id(product))
        assert ok(kept)["version"] == 1
        assert "Warning" not in kept.headers
        time.seconds += 0.1
        assert ok(await reader.get(by_id(product)))["version"] == 2


async def test_a_write_in_the_process_is_seen_by_its_next_reader(
    other: Other, admin: Person, product: JsonObject
) -> None:
    """A change, a new SKU, a deletion and a restore clear the cache before the time to live ends."""
    async with other(product_cache_ttl=60) as (_, reader):
        writer = reader.bearing(admin.token)
        ok(await reader.get(by_id(product)))
        ok(await reader.get(by_sku(product)))
        moved = ok(await writer.patch(by_id(product), {"sku": f"{product['sku']}-moved"}))
        problem(await reader.get(by_sku(product)), 404, "not_found")
        assert ok(await reader.get(by_sku(moved)))["version"] == 2
        assert ok(await reader.get(by_id(product)))["version"] == 2
        ok(await writer.delete(by_id(product)), 204)
        for path in (by_id(product), by_sku(moved)):
            problem(await reader.get(path), 404, "not_found")
        ok(await writer.post(f"{by_id(product)}/restore", {"sku": product["sku"]}))
        for path in (by_id(product), by_sku(product)):
            assert ok(await reader.get(path))["version"] == 4
        problem(await reader.get(by_sku(moved)), 404, "not_found")


async def test_a_new_product_is_seen_at_once(other: Other, admin: Person, product: JsonObject) -> None:
    """A 404 is not cached."""
    async with other(product_cache_ttl=60) as (_, reader):
        free = product | {"sku": f"{product['sku']}-free"}
        problem(await reader.get(by_sku(free)), 404, "not_found")
        ok(await admin.patch(by_id(product), {"sku": free["sku"]}))
        ok(await reader.get(by_sku(free)))


async def test_during_an_outage_anonymous_readers_get_cached_products(
    other: Other, admin: Person, user: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The responses have `Age` and `Warning`.

    Signed-in readers get 503, and so do requests for products that are not cached.
    """
    async with other(product_cache_ttl=1, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        fresh = await reader.get(by_id(product))
        tags = {path: (await reader.get(path)).headers["ETag"] for path in (by_id(product), by_sku(product))}
        assert "Age" not in fresh.headers
        assert "Warning" not in fresh.headers
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            time.seconds += 42
            for path, tag in tags.items():
                stale = await reader.get(path)
                assert ok(stale) == fresh.json
                assert stale.headers["ETag"] == tag
                assert stale.headers["Age"] == "42"
                assert stale.headers["Warning"].startswith("110")
                for person in (user, admin):
                    reply = await reader.bearing(person.token).get(path)
                    problem(reply, 503, "table_unavailable")
                    assert int(reply.headers["Retry-After"]) >= 1
            unknown = "/v1/products/01890000-0000-7000-8000-000000000000"
            problem(await reader.get(unknown), 503, "table_unavailable")
            problem(await reader.get("/v1/products"), 503, "table_unavailable")
        ok(await admin.patch(by_id(product), {"name": "New"}))
        time.seconds += 0.5
        recovered = await reader.get(by_id(product))
        assert ok(recovered)["version"] == 2
        assert "Warning" not in recovered.headers


async def test_a_cached_product_is_not_served_forever(
    other: Other, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time to live and `stale_if_error` the response is 503."""
    async with other(product_cache_ttl=1, stale_if_error=30, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        ok(await reader.get(by_sku(product)))
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            time.seconds += 30.9
            for path in (by_id(product), by_sku(product)):
                assert (await reader.get(path)).headers["Age"] == "30"
            time.seconds += 0.1
            for path in (by_id(product), by_sku(product)):
                problem(await reader.get(path), 503, "table_unavailable")


async def test_a_stale_sku_lookup_makes_the_response_stale(
    other: Other, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response has the `Age` of the lookup although the product has just been read."""
    async with other(product_cache_ttl=10, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        ok(await reader.get(by_sku(product)))
        time.seconds += 10
        ok(await reader.get(by_id(product)))
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            assert "Age" not in (await reader.get(by_id(product))).headers
            assert (await reader.get(by_sku(product))).headers["Age"] == "10"


async def test_an_outage_does_not_revive_a_deleted_product(
    other: Other, admin: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a read has found that another process deleted the product, its cached copy is not served."""
    async with other(product_cache_ttl=1, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        ok(await reader.get(by_sku(product)))
        ok(await admin.delete(by_id(product)), 204)
        time.seconds += 1
        for path in (by_id(product), by_sku(product)):
            problem(await reader.get(path), 404, "not_found")
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            for path in (by_id(product), by_sku(product)):
                problem(await reader.get(path), 503, "table_unavailable")


async def test_a_write_with_an_unknown_result_clears_the_cache(
    other: Other, admin: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write may have succeeded, so the cached copy may be outdated, also during the outage."""
    async with other(product_cache_ttl=60, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        store, writer, time = service.services.products._store, reader.bearing(admin.token), Time(service)
        writes: list[tuple[str, Callable[[], Awaitable[Reply]]]] = [
            ("update", lambda: writer.patch(by_id(product), {"price": "1.00"})),
            ("delete", lambda: writer.delete(by_id(product))),
        ]
        for method, write in writes:
            ok(await reader.get(by_id(product)))
            carry_out = getattr(store, method)

            async def committed(*changes: Any, _carry_out: Any = carry_out, **also: Any) -> None:  # noqa: ANN401
                await _carry_out(*changes, **also)
                raise TableUnavailable

            with monkeypatch.context() as patch:
                patch.setattr(store, method, committed)
                problem(await write(), 503, "table_unavailable")
                patch.setattr(service.services.table, "_call", refuse)
                problem(await reader.get(by_id(product)), 503, "table_unavailable")
            time.seconds += 0.5
        problem(await reader.get(by_id(product)), 404, "not_found")
