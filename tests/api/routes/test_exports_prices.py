"""GET /v1/analytics/prices/export; tests/services/exports/test_prices.py has its rows and formats."""

import csv
import io
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow.parquet as pq
import pytest

from tests.api.client import Person, ok, problem, product_body, refused
from tests.service import Service
from vitrina.errors import TableUnavailable

EXPORT = "/v1/analytics/prices/export"


@pytest.fixture(scope="module")
async def product_id(admin: Person) -> str:
    """A product whose price was reduced, and which was then deleted."""
    product_id = str(ok(await admin.post("/v1/products", product_body(sku="LAMP", price="19.9")), 201)["id"])
    ok(await admin.patch(f"/v1/products/{product_id}", {"price": "15"}))
    ok(await admin.delete(f"/v1/products/{product_id}"), 204)
    return product_id


async def test_a_price_is_a_row_in_each_format(admin: Person, product_id: str) -> None:
    """The sample's times are those of its history; the file is named after the days that were asked for."""
    changes = ok(await admin.get(f"/v1/products/{product_id}/history"))["items"]
    deleted, reduced, created = (change["at"] for change in changes)
    product = {"product_id": product_id, "sku": "LAMP", "currency": "USD"}
    rows = [
        product | {"price": price, "valid_from": since, "valid_to": until}
        for price, since, until in (("19.90", created, reduced), ("15.00", reduced, deleted))
    ]
    reply = await admin.get(EXPORT)
    assert reply.headers["Content-Disposition"] == 'attachment; filename="prices.jsonl"'
    assert list(map(orjson.loads, reply.body.splitlines())) == rows
    today = datetime.now(UTC).date()
    reply = await admin.get(f"{EXPORT}?from={today}&to=9999-12-31&format=csv")
    assert reply.headers["Content-Disposition"] == f'attachment; filename="prices-from-{today}-to-9999-12-31.csv"'
    assert list(csv.DictReader(io.StringIO(reply.body.decode(), newline=""))) == rows
    reply = await admin.get(f"{EXPORT}?to={today}&format=parquet")
    assert [str(row["price"]) for row in pq.read_table(io.BytesIO(reply.body)).to_pylist()] == ["19.9000", "15.0000"]
    assert (await admin.get(f"{EXPORT}?to={today - timedelta(days=1)}")).body == b""
    assert (await admin.request("HEAD", EXPORT)).body == b""


@pytest.mark.parametrize("query", ["from=2026-11-02&to=2026-11-01", "from=2026-02-30"])
async def test_invalid_days_are_named(admin: Person, query: str) -> None:
    refused(await admin.get(f"{EXPORT}?{query}"), "/from")


async def test_an_outage_is_503_before_the_file_starts(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first products are read before the headers are sent."""

    async def refuse(*_: object, **__: object) -> None:
        raise TableUnavailable

    monkeypatch.setattr(service.services.product_listings, "live", refuse)
    problem(await admin.get(EXPORT), 503, "table_unavailable")
