"""GET /v1/analytics/views/export (R13)."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pyarrow.parquet as pq
import pytest

from tests.api.client import Person, ok, problem, product_body, refused
from tests.service import Service, serving
from vitrina.api.routes import exports
from vitrina.domain.reports import Period
from vitrina.domain.views import View, midnight_ms
from vitrina.errors import TableUnavailable
from vitrina.services.exports.formats import Format
from vitrina.store import keys
from vitrina.store.views import ViewStore

EXPORT = "/v1/analytics/views/export"
DAY = datetime.now(UTC).date() - timedelta(days=5)
LARGE = DAY - timedelta(days=10)


def of_day(day: date) -> str:
    """The path of a day's export."""
    return f"{EXPORT}?from={day}&to={day}"


async def write(service: Service, views: Sequence[View]) -> None:
    """Store views as if they had been seen on their days."""
    store = ViewStore(service.services.table)
    await store.put(store.segments(views))


@pytest.fixture(scope="module")
async def product_id(service: Service, admin: Person) -> str:
    """A product with three views on a day, a bot's among them."""
    product_id = str(ok(await admin.post("/v1/products", product_body(sku="-LAMP")), 201)["id"])
    hosts = [None, "news.example.org", None]
    views = [View(product_id, midnight_ms(DAY) + 1_001 * n, bytes([n] * 12), hosts[n], bot=n == 2) for n in range(3)]
    await write(service, views)
    return product_id


@pytest.fixture
async def wide(service: Service) -> AsyncIterator[Service]:
    """The service as another process of it, whose table a test replaces."""
    async with serving(service.settings) as wide:
        yield wide


async def test_an_event_is_a_line_unless_told_otherwise(admin: Person, product_id: str) -> None:
    """JSON Lines, with a name to save it under; times to the millisecond, visitors in hexadecimal."""
    reply = await admin.get(of_day(DAY))
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.headers["Content-Disposition"] == f'attachment; filename="views-{DAY}-{DAY}.jsonl"'
    first, second, third = map(orjson.loads, reply.body.splitlines())
    segment = first["event_id"].removesuffix("-0")
    assert first == {
        "event_id": f"{segment}-0",
        "day": f"{DAY}",
        "at": f"{DAY}T00:00:00.000Z",
        "product_id": product_id,
        "sku": "-LAMP",
        "visitor": "00" * 12,
        "referrer_host": None,
        "bot": False,
    }
    assert (second["event_id"], second["at"], second["referrer_host"]) == (
        f"{segment}-1", f"{DAY}T00:00:01.001Z", "news.example.org",
    )  # fmt: skip
    assert third["bot"] is True


async def test_csv_has_a_header_and_runs_in_no_spreadsheet(admin: Person, product_id: str) -> None:
    """A SKU that begins with a minus gets an apostrophe in front."""
    reply = await admin.get(of_day(DAY) + "&format=csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
    assert [(row["product_id"], row["sku"], row["bot"]) for row in rows] == [
        (product_id, "'-LAMP", "false"), (product_id, "'-LAMP", "false"), (product_id, "'-LAMP", "true"),
    ]  # fmt: skip


async def test_parquet_is_one_file_with_its_day(admin: Person, product_id: str) -> None:
    """Over HTTP there is no path to take the day from."""
    reply = await admin.get(of_day(DAY) + "&format=parquet")
    assert reply.headers["Content-Type"] == "application/vnd.apache.parquet"
    assert reply.headers["Content-Disposition"].endswith('.parquet"')
    rows = pq.read_table(io.BytesIO(reply.body)).to_pylist()
    assert [(row["day"], row["product_id"], row["referrer_host"]) for row in rows] == [
        (DAY, product_id, None), (DAY, product_id, "news.example.org"), (DAY, product_id, None),
    ]  # fmt: skip


async def test_head_tells_the_headers_and_reads_nothing(admin: Person) -> None:
    """It may well be asked for before a download."""
    reply = await admin.request("HEAD", of_day(DAY) + "&format=csv")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("format=xml", "/format"),
        ("from=tomorrow", "/from"),
        ("from=2026-11-02&to=2026-11-01", "/from"),
        ("from=2024-01-01&to=2026-01-01", "/from"),
    ],
)
async def test_what_will_not_do_is_refused_by_name(admin: Person, query: str, name: str) -> None:
    """Before anything is read."""
    refused(await admin.get(f"{EXPORT}?{query}"), name)


async def test_days_without_views_are_an_empty_file(admin: Person) -> None:
    """Of each format, and a good one."""
    nothing = "from=2020-01-01&to=2020-01-02"
    assert (await admin.get(f"{EXPORT}?{nothing}")).body == b""
    assert (await admin.get(f"{EXPORT}?{nothing}&format=csv")).body.count(b"\r\n") == 1
    parquet = await admin.get(f"{EXPORT}?{nothing}&format=parquet")
    assert pq.read_table(io.BytesIO(parquet.body)).num_rows == 0


async def test_a_table_that_does_not_answer_is_503_and_no_file(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pages are read before the headers are sent."""

    async def refuse(*_: object, **__: object) -> None:
        raise TableUnavailable

    monkeypatch.setattr(service.services.table, "query_raw", refuse)
    problem(await admin.get(of_day(DAY)), 503, "table_unavailable")


@pytest.mark.usefixtures("product_id")
async def test_an_outage_half_way_cuts_the_answer_short(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody takes half of the events for all of them."""
    read = service.services.table.query_raw

    async def fail_later(query: object, **options: object) -> object:
        if str(DAY) in str(query):
            return await read(query, **options)  # type: ignore[arg-type]
        raise TableUnavailable

    monkeypatch.setattr(service.services.table, "query_raw", fail_later)
    with pytest.raises(aiohttp.ClientPayloadError):
        await admin.get(f"{EXPORT}?from={DAY}&to={DAY + timedelta(days=1)}")


@dataclass(slots=True)
class Endless:
    """A table whose views never end; it counts the pages that are read of it."""

    item: Any
    pages: int = 0

    async def query_raw(self, *_: object, **__: object) -> tuple[list[Any], dict[str, str]]:
        """Return another page, like all others."""
        self.pages += 1
        await asyncio.sleep(0)
        return [self.item] * 60, {"pk": "-", "sk": "-"}


@pytest.fixture
def endless(wide: Service, monkeypatch: pytest.MonkeyPatch) -> Endless:
    """What `wide` reads."""
    events = [View("01a20ceb-ab32-7095-a216-7a34ed216944", midnight_ms(LARGE), bytes(12), None, bot=False)] * 400
    (item,) = ViewStore(wide.services.table).segments(events)
    endless = Endless(item.serialize())
    monkeypatch.setattr(wide.services.table, "query_raw", endless.query_raw)
    return endless


async def until_free(service: Service) -> None:
    """Wait until no export is under way."""
    async with asyncio.timeout(30):
        while service.services.exports._free < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_a_reader_who_takes_nothing_stops_the_reading(
    wide: Service, endless: Endless, admin: Person, http: aiohttp.ClientSession
) -> None:
    """No further ahead than a few pages and batches, whatever there is; and the place is free when it goes away."""
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with http.get(wide.url + of_day(LARGE), headers=headers) as response:
        assert response.status == 200
        await response.content.read(1024)
        before = -1
        while endless.pages > before:  # Until it stands still.
            before = endless.pages
            await asyncio.sleep(1)
        assert endless.pages <= 6 * keys.VIEW_SHARDS
        await response.content.read(1024)
        response.close()
    await until_free(wide)


@pytest.mark.usefixtures("endless")
async def test_a_reader_who_goes_on_taking_nothing_leaves_its_place_to_others(
    wide: Service, admin: Person, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, though it holds on to its connection."""
    monkeypatch.setattr(exports, "_STALL", 0.5)
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with http.get(wide.url + of_day(LARGE), headers=headers) as response:
        assert response.status == 200
        assert wide.services.exports._free == 1
        await until_free(wide)


async def test_more_exports_than_a_process_has_room_for_are_told_to_come_back(service: Service, admin: Person) -> None:
    """503 with Retry-After."""
    stream = service.services.exports.stream
    async with stream(Period(DAY, DAY), Format.CSV), stream(Period(DAY, DAY), Format.CSV):
        reply = await admin.get(of_day(DAY))
        problem(reply, 503, "overloaded")
        assert reply.headers["Retry-After"] == "10"
    assert (await admin.get(of_day(DAY))).status == 200
