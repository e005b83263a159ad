"""Recording of views while the table rejects writes: readers wait for a short time, and no view is lost silently."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, raw
from tests.api.views import count, stored_views
from tests.service import Service, serving
from vitrina.errors import TableUnavailable
from vitrina.store.items import Item

QUEUE = 5


class Refusal:
    """A table that rejects the writes of views until `open` is set."""

    def __init__(self, service: Service) -> None:
        self._table = service.services.table
        self._put_many = self._table.put_many
        self.open = asyncio.Event()
        self.hangs = False

    async def put_many(self, items: Sequence[Item]) -> None:
        """Raise, or hang, until `open` is set."""
        if self.hangs:
            await self.open.wait()
        if not self.open.is_set():
            raise TableUnavailable
        await self._put_many(items)


@pytest.fixture
async def strained(service: Service) -> AsyncIterator[Service]:
    """Another process of the service with a short queue of views and a commit timeout of 100 ms."""
    settings = service.settings.model_copy(update={"view_queue": QUEUE, "view_commit_timeout": 0.1})
    async with serving(settings) as strained:
        yield strained


@pytest.fixture
def refusal(strained: Service, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """The table of `strained`, which rejects views from now on."""
    refusal = Refusal(strained)
    monkeypatch.setattr(strained.services.table, "put_many", refusal.put_many)
    return refusal


@pytest.fixture
def reader(http: aiohttp.ClientSession, strained: Service) -> Client:
    """An anonymous client of `strained`."""
    return Client(http, strained.url)


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product without views."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    return made


async def stored_in_time(service: Service, product: JsonObject, number: int) -> None:
    """Wait until the product has that number of stored views."""
    async with asyncio.timeout(10):
        while len(await stored_views(service, product["id"])) < number:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.02)
    assert len(await stored_views(service, product["id"])) == number


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_reader_gets_the_response_after_the_timeout_and_the_view_is_stored_later(
    strained: Service,
    reader: Client,
    refusal: Refusal,
    product: JsonObject,
    hangs: bool,  # noqa: FBT001
) -> None:
    """The response comes neither earlier nor much later, and the view is counted as late."""
    refusal.hangs = hangs
    path, late = f"/v1/products/{product['id']}", await count(reader, "vitrina_views_late_total")
    began = time.monotonic()
    ok(await reader.get(path))
    assert 0.1 <= time.monotonic() - began < 5.0
    assert await count(reader, "vitrina_views_late_total") == late + 1
    assert await stored_views(strained, product["id"]) == []
    refusal.open.set()
    await stored_in_time(strained, product, 1)


async def test_a_slow_table_delays_only_the_readers(
    strained: Service, reader: Client, refusal: Refusal, product: JsonObject
) -> None:
    """A view that is stored within the timeout is not counted as late."""
    refusal.hangs = True
    strained.services.views._commit_timeout._seconds = 30.0
    late = await count(reader, "vitrina_views_late_total")
    reading = asyncio.create_task(reader.get(f"/v1/products/{product['id']}"))
    await asyncio.sleep(0.03)
    assert not reading.done()
    refusal.open.set()
    ok(await reading)
    assert await count(reader, "vitrina_views_late_total") == late
    assert len(await stored_views(strained, product["id"])) == 1


async def test_a_refused_reader_has_no_view_unless_its_flush_had_begun(
    service: Service, http: aiohttp.ClientSession, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that ends at its deadline takes its view back; one that is in flight is counted."""
    settings = service.settings.model_copy(update={"view_commit_timeout": 30.0, "request_timeout": 0.3})
    async with serving(settings) as hurried:
        refusal, reader = Refusal(hurried), Client(http, hurried.url)
        refusal.hangs = True
        monkeypatch.setattr(hurried.services.table, "put_many", refusal.put_many)
        unanswered = await count(reader, "vitrina_views_unanswered_total")
        for reply in await asyncio.gather(*(reader.get(f"/v1/products/{product['id']}") for _ in range(3))):
            problem(reply, 503, "unavailable")
        stored = int(await count(reader, "vitrina_views_unanswered_total") - unanswered)
        assert 1 <= stored < 3
        problem(await reader.get(f"/v1/products/{product['id']}"), 503, "unavailable")
        refusal.open.set()
    assert len(await stored_views(service, product["id"])) == stored


async def test_a_full_queue_rejects_readers_and_loses_no_view(
    strained: Service, reader: Client, refusal: Refusal, product: JsonObject
) -> None:
    """When the queue is full the response is 503 with `Retry-After`.

    Every reader with a 200 has a stored view in the end.
    """
    path = f"/v1/products/{product['id']}"
    refused = await count(reader, "vitrina_views_refused_total")
    replies = await asyncio.gather(*(reader.get(path) for _ in range(QUEUE * 3)))
    answered = [reply for reply in replies if reply.status == 200]
    assert len(answered) == QUEUE
    for reply in [await reader.get(path), *(reply for reply in replies if reply.status != 200)]:
        problem(reply, 503, "overloaded")
        assert int(reply.headers["Retry-After"]) >= 1
    assert await count(reader, "vitrina_views_refused_total") == refused + 2 * QUEUE + 1
    refusal.open.set()
    await stored_in_time(strained, product, QUEUE)
    ok(await reader.get(path))
    assert len(await stored_views(strained, product["id"])) == QUEUE + 1


async def test_a_full_queue_does_not_affect_signed_in_readers(
    strained: Service, reader: Client, refusal: Refusal, admin: Person, product: JsonObject
) -> None:
    """Their reads are not recorded as views. Listings are not affected either."""
    path = f"/v1/products/{product['id']}"
    await asyncio.gather(*(reader.get(path) for _ in range(QUEUE)))
    problem(await reader.get(path), 503, "overloaded")
    assert ok(await reader.bearing(admin.token).get(path)) == product
    ok(await reader.get("/v1/products"))
    ok(await reader.get("/readyz"))
    refusal.open.set()
    await stored_in_time(strained, product, QUEUE)


async def test_queued_views_are_stored_before_the_process_ends(
    service: Service, http: aiohttp.ClientSession, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(service.settings.model_copy(update={"view_commit_timeout": 0.05})) as other:
        refusal = Refusal(other)
        monkeypatch.setattr(other.services.table, "put_many", refusal.put_many)
        ok(await Client(http, other.url).get(f"/v1/products/{product['id']}"))
        assert await stored_views(service, product["id"]) == []
        asyncio.get_running_loop().call_later(0.2, refusal.open.set)
    assert len(await stored_views(service, product["id"])) == 1


async def test_long_referrers_cannot_make_a_segment_too_large(strained: Service, product: JsonObject) -> None:
    """Four hundred concurrent readers each send a host of 250 wide characters.

    An item of DynamoDB has at most 400 KB.
    """
    strained.services.views._queue = 1_000
    path = f"/v1/products/{product['id']}"
    referrers = [f"Referer: http://{chr(0x1F300 + number) * 250}.example/".encode() for number in range(400)]
    answers = await asyncio.gather(*(raw(strained.url, path, referrer) for referrer in referrers))
    assert {answer.split(b" ", 2)[1] for answer in answers} == {b"200"}
    await stored_in_time(strained, product, 400)
