"""GET /v1/analytics/views/export (R13)."""

import asyncio
import csv
import io
import sys
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
from vitrina.domain.reports import Format, Period
from vitrina.domain.views import View, midnight_ms
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.views import ViewStore

EXPORT = "/v1/analytics/views/export"
DAY = datetime.now(UTC).date() - timedelta(days=5)
LARGE = DAY - timedelta(days=10)


def of_day(day: date) -> str:
    """The path of a day's export."""
    return f"{EXPORT}?from={day}&to={day}"


async def write(service: Service, views: Sequence[View]) -> None:
    """Store views under the days on which they happened."""
    store = ViewStore(service.services.table)
    await store.put(store.segments(views))


@pytest.fixture(scope="module")
async def product_id(service: Service, admin: Person) -> str:
    """A product with three views on one day, one of them by a bot."""
    product_id = str(ok(await admin.post("/v1/products", product_body(sku="-LAMP")), 201)["id"])
    hosts = [None, "news.example.org", None]
    views = [View(product_id, midnight_ms(DAY) + 1_001 * n, bytes([n] * 12), hosts[n], bot=n == 2) for n in range(3)]
    await write(service, views)
    return product_id


@pytest.fixture
async def wide(service: Service) -> AsyncIterator[Service]:
    """Another process of the service, whose table a test can replace."""
    async with serving(service.settings) as wide:
        yield wide


@pytest.mark.parametrize(
    "path",
    [EXPORT, "/v1/analytics/prices/export", "/v1/analytics/top-products", f"/v1/products/{new_id()}/views"],
    ids=["views", "prices", "top products", "a product's views"],
)
async def test_without_the_extra_reports_it_is_501(admin: Person, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "vitrina.services.arrow")
    problem(await admin.get(path), 501, "reports_not_installed")


async def test_the_default_format_is_json_lines(admin: Person, product_id: str) -> None:
    """The response has a file name; times are in milliseconds and visitors in hexadecimal."""
    reply = await admin.get(of_day(DAY))
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.headers["Content-Disposition"] == f'attachment; filename="views-{DAY}-{DAY}.jsonl"'
    first, second, third = map(orjson.loads, reply.body.splitlines())
    segment = first["event_id"].removesuffix("-0")
    assert first == {
        "event_id": f"{segment}-0",
        "event_time": f"{DAY}T00:00:00.000Z",
        "day": f"{DAY}",
        "product_id": product_id,
        "sku": "-LAMP",
        "visitor_id": "00" * 12,
        "referrer_host": None,
        "is_bot": False,
    }
    assert (second["event_id"], second["event_time"], second["referrer_host"]) == (
        f"{segment}-1", f"{DAY}T00:00:01.001Z", "news.example.org",
    )  # fmt: skip
    assert third["is_bot"] is True


async def test_csv_has_a_header_and_escapes_spreadsheet_formulas(admin: Person, product_id: str) -> None:
    """A SKU that starts with a minus sign gets an apostrophe in front."""
    reply = await admin.get(of_day(DAY) + "&format=csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
    assert [(row["product_id"], row["sku"], row["is_bot"]) for row in rows] == [
        (product_id, "'-LAMP", "false"), (product_id, "'-LAMP", "false"), (product_id, "'-LAMP", "true"),
    ]  # fmt: skip


async def test_parquet_is_one_file_with_a_column_for_the_day(admin: Person, product_id: str) -> None:
    """A reader over HTTP has no path from which to derive the day."""
    reply = await admin.get(of_day(DAY) + "&format=parquet")
    assert reply.headers["Content-Type"] == "application/vnd.apache.parquet"
    assert reply.headers["Content-Disposition"].endswith('.parquet"')
    rows = pq.read_table(io.BytesIO(reply.body)).to_pylist()
    assert [(row["day"], row["product_id"], row["referrer_host"]) for row in rows] == [
        (DAY, product_id, None), (DAY, product_id, "news.example.org"), (DAY, product_id, None),
    ]  # fmt: skip


async def test_head_returns_the_headers_and_reads_no_views(admin: Person) -> None:
    """A client may send it before a download."""
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
async def test_an_invalid_parameter_is_named(admin: Person, query: str, name: str) -> None:
    """It is rejected before any read of the table."""
    refused(await admin.get(f"{EXPORT}?{query}"), name)


async def test_a_day_without_views_is_an_empty_file(admin: Person) -> None:
    """The file is valid in each format."""
    nothing = "from=2020-01-01&to=2020-01-02"
    assert (await admin.get(f"{EXPORT}?{nothing}")).body == b""
    assert (await admin.get(f"{EXPORT}?{nothing}&format=csv")).body.count(b"\r\n") == 1
    parquet = await admin.get(f"{EXPORT}?{nothing}&format=parquet")
    assert pq.read_table(io.BytesIO(parquet.body)).num_rows == 0


async def test_an_outage_of_the_table_is_503_before_the_file_starts(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pages are read before the headers are sent."""

    async def refuse(*_: object, **__: object) -> None:
        raise TableUnavailable

    monkeypatch.setattr(service.services.table, "query_raw", refuse)
    problem(await admin.get(of_day(DAY)), 503, "table_unavailable")


@pytest.mark.usefixtures("product_id")
async def test_an_outage_during_the_export_cuts_the_response_short(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client can then detect that the file is incomplete."""
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
    """A table with endless views; it counts the pages that are read."""

    item: Any
    pages: int = 0

    async def query_raw(self, *_: object, **__: object) -> tuple[list[Any], dict[str, str]]:
        """Return the next page."""
        self.pages += 1
        await asyncio.sleep(0)
        return [self.item] * 60, {"pk": "-", "sk": "-"}


@pytest.fixture
def endless(wide: Service, monkeypatch: pytest.MonkeyPatch) -> Endless:
    """The table that `wide` reads."""
    events = [View("01a20ceb-ab32-7095-a216-7a34ed216944", midnight_ms(LARGE), bytes(12), None, bot=False)] * 400
    (item,) = ViewStore(wide.services.table).segments(events)
    endless = Endless(item.serialize())
    monkeypatch.setattr(wide.services.table, "query_raw", endless.query_raw)
    return endless


async def until_free(service: Service) -> None:
    """Wait until no export is running."""
    async with asyncio.timeout(30):
        while service.services.exports._free < 2:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.05)


async def test_a_client_that_reads_nothing_stops_the_export(
    wide: Service, endless: Endless, admin: Person, http: aiohttp.ClientSession
) -> None:
    """The export reads only a few pages and batches ahead, and its slot is free when the client disconnects."""
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with http.get(wide.url + of_day(LARGE), headers=headers) as response:
        assert response.status == 200
        await response.content.read(1024)
        before = -1
        while endless.pages > before:  # Until the count stays the same.
            before = endless.pages
            await asyncio.sleep(1)
        assert endless.pages <= 6 * keys.VIEW_SHARDS
        await response.content.read(1024)
        response.close()
    await until_free(wide)


@pytest.mark.usefixtures("endless")
async def test_a_stalled_client_loses_its_slot(
    wide: Service, admin: Person, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time limit the slot is free although the connection is open."""
    monkeypatch.setattr(exports, "_STALL", 0.5)
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with http.get(wide.url + of_day(LARGE), headers=headers) as response:
        assert response.status == 200
        assert wide.services.exports._free == 1
        await until_free(wide)


async def test_excess_exports_get_503(service: Service, admin: Person) -> None:
    """The response has `Retry-After`."""
    serve, day = service.services.exports, Period(DAY, DAY)
    async with serve.views(day, Format.CSV), serve.prices(day, Format.CSV):
        reply = await admin.get(of_day(DAY))
        problem(reply, 503, "overloaded")
        assert reply.headers["Retry-After"] == "10"
    assert (await admin.get(of_day(DAY))).status == 200
