"""What a process keeps of a product for anonymous readers: one read for all, stale by no more than is said."""

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
    """Start the service as another process of it would be, with settings of its own; also an anonymous reader of it."""

    @asynccontextmanager
    async def start(**options: float) -> AsyncIterator[tuple[Service, Client]]:
        async with serving(service.settings.model_copy(update=options)) as other:
            yield other, Client(http, other.url)

    return start


def by_id(product: JsonObject) -> str:
    """A product's path."""
    return f"/v1/products/{product['id']}"


def by_sku(product: JsonObject) -> str:
    """The path of its SKU."""
    return f"/v1/products/by-sku/{product['sku']}"


async def reads(reader: Client) -> float:
    """Return how many calls for items the process has made, of one and of many."""
    names = [f'vitrina_dynamodb_calls_total{{operation="{name}"}}' for name in ("GetItem", "BatchGetItem")]
    return sum([await count(reader, name) for name in names])


async def refuse(*_: object, **__: object) -> object:
    """What every call of a table is that does not answer."""
    raise TableUnavailable


class Time:
    """The time by which a process judges what it keeps, which a test moves on."""

    def __init__(self, service: Service) -> None:
        self.seconds = 1000.0
        for kept in (service.services.product_cache._products, service.services.product_cache._holders):
            kept._time = lambda: self.seconds


async def test_a_hundred_readers_at_once_cost_one_read(other: Other, product: JsonObject) -> None:
    """Misses of one key share a read; the next readers, within the time, cost none."""
    async with other(product_cache_ttl=60) as (service, reader):
        before = await reads(reader)
        for _ in range(2):
            replies = await asyncio.gather(*(reader.get(by_id(product)) for _ in range(100)))
            assert {reply.status for reply in replies} == {200}
            assert len({reply.body for reply in replies}) == 1
        assert await reads(reader) == before + 1
        assert len(await stored_views(service, product["id"])) == 200


async def test_misses_of_many_products_gather(other: Other, admin: Person) -> None:
    """Fifty products asked for at once cost a few calls, not fifty."""
    made = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(50)]
    async with other(product_cache_ttl=60) as (_, reader):
        before = await reads(reader)
        replies = await asyncio.gather(*(reader.get(by_id(product)) for product in made))
        assert {reply.json["id"] for reply in replies} == {product["id"] for product in made}
        assert await reads(reader) - before <= 10


async def test_without_a_time_to_live_every_reader_sees_the_table(
    other: Other, admin: Person, product: JsonObject
) -> None:
    """`product_cache_ttl` 0: what another process writes is seen at once, by id and by SKU."""
    async with other(product_cache_ttl=0) as (_, reader):
        for version in range(2, 5):
            ok(await admin.patch(by_id(product), {"name": f"Name {version}"}))
            assert ok(await reader.get(by_id(product)))["version"] == version
            assert ok(await reader.get(by_sku(product)))["version"] == version
        ok(await admin.delete(by_id(product)), 204)
        problem(await reader.get(by_id(product)), 404, "not_found")
        problem(await reader.get(by_sku(product)), 404, "not_found")


async def test_what_another_process_writes_is_seen_once_the_time_is_over(
    other: Other, admin: Person, product: JsonObject
) -> None:
    """Staleness is bounded by the setting: the same answer before, the new one after."""
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
    """Whatever the time: changed, renamed, deleted, restored."""
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


async def test_what_did_not_exist_is_seen_as_soon_as_it_does(other: Other, admin: Person, product: JsonObject) -> None:
    """A 404 is not kept."""
    async with other(product_cache_ttl=60) as (_, reader):
        free = product | {"sku": f"{product['sku']}-free"}
        problem(await reader.get(by_sku(free)), 404, "not_found")
        ok(await admin.patch(by_id(product), {"sku": free["sku"]}))
        ok(await reader.get(by_sku(free)))


async def test_while_the_table_is_away_anonymous_readers_get_what_was_kept(
    other: Other, admin: Person, user: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `Age` and `Warning`; the signed-in get 503, and so does who asks for what was not kept."""
    async with other(product_cache_ttl=1, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        fresh = await reader.get(by_id(product))
        ok(await reader.get(by_sku(product)))
        assert "Age" not in fresh.headers
        assert "Warning" not in fresh.headers
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            time.seconds += 42
            for path in (by_id(product), by_sku(product)):
                stale = await reader.get(path)
                assert ok(stale) == fresh.json
                assert stale.headers["ETag"] == fresh.headers["ETag"]
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
        recovered = await reader.get(by_id(product))
        assert ok(recovered)["version"] == 2
        assert "Warning" not in recovered.headers


async def test_what_was_kept_is_not_served_for_ever(
    other: Other, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its time and `stale_if_error` it is 503."""
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


async def test_a_sku_whose_holder_is_out_of_date_makes_the_answer_so(
    other: Other, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the product itself has just been read."""
    async with other(product_cache_ttl=10, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        time = Time(service)
        ok(await reader.get(by_sku(product)))
        time.seconds += 10
        ok(await reader.get(by_id(product)))
        with monkeypatch.context() as patch:
            patch.setattr(service.services.table, "_call", refuse)
            assert "Age" not in (await reader.get(by_id(product))).headers
            assert (await reader.get(by_sku(product))).headers["Age"] == "10"


async def test_what_is_known_to_be_gone_is_not_brought_back_by_an_outage(
    other: Other, admin: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a read has found the product deleted, by another process, what was kept of it is no answer."""
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


async def test_a_write_whose_answer_was_lost_leaves_nothing_of_the_old_version(
    other: Other, admin: Person, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been carried out, so what was kept may be gone, whether the table answers again or not."""
    async with other(product_cache_ttl=60, stale_if_error=60, view_commit_timeout=0.05) as (service, reader):
        store, writer = service.services.products._store, reader.bearing(admin.token)
        writes: list[tuple[str, Callable[[], Awaitable[Reply]]]] = [
            ("update", lambda: writer.patch(by_id(product), {"price": "1.00"})),
            ("delete", lambda: writer.delete(by_id(product))),
        ]
        for method, write in writes:
            ok(await reader.get(by_id(product)))
            carry_out = getattr(store, method)

            async def committed(*changes: Any, _carry_out: Any = carry_out) -> None:  # noqa: ANN401
                await _carry_out(*changes)
                raise TableUnavailable

            with monkeypatch.context() as patch:
                patch.setattr(store, method, committed)
                problem(await write(), 503, "table_unavailable")
                patch.setattr(service.services.table, "_call", refuse)
                problem(await reader.get(by_id(product)), 503, "table_unavailable")
        problem(await reader.get(by_id(product)), 404, "not_found")
