"""GET /v1/changes: the feed by which another system is kept in step."""

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused, unique
from tests.documents.pages import README, text
from tests.service import Service
from vitrina.clock import from_rfc3339, rfc3339
from vitrina.store import keys
from vitrina.store.items import ChangeItem
from vitrina.store.operations import Update

FEED = "/v1/changes"
_STARTS = count(1)


@pytest.fixture
def start(service: Service) -> Iterator[str]:
    """The time from which a test reads; the clock stands, so that no test waits for a change to settle."""
    with service.clock.hold() as clock:
        clock.go_on(minutes=next(_STARTS))
        yield rfc3339(clock())


async def make(admin: Person, **fields: object) -> JsonObject:
    """Create a product."""
    product: JsonObject = ok(await admin.post("/v1/products", product_body(**fields)), 201)
    return product


async def feed(client: Client, start: str, *, limit: int) -> list[JsonObject]:
    """Return all changes from a time on, read in pages of `limit`."""
    page = ok(await client.get(FEED, params={"from": start, "limit": str(limit)}))
    found: list[JsonObject] = []
    while page["items"]:
        assert len(page["items"]) <= limit
        found += page["items"]
        page = ok(await client.get(FEED, params={"cursor": page["next_cursor"], "limit": str(limit)}))
    return found


async def test_each_change_of_each_kind_is_there_as_in_the_history(service: Service, admin: Person, start: str) -> None:
    """It is there seven seconds after it was made, and not earlier: one before it might still be on its way."""
    product, other = await make(admin), await make(admin)
    path = f"/v1/products/{product['id']}"
    service.clock.go_on(seconds=1)
    ok(await admin.patch(path, {"price": "12.5", "description": "Warm."}))
    ok(await admin.delete(path), 204)
    ok(await admin.post(f"{path}/restore", {"sku": unique("Back")}))
    service.clock.go_on(seconds=6)
    assert {item["product_id"] for item in await feed(admin, start, limit=9)} == set()
    service.clock.go_on(milliseconds=1)
    assert len(await feed(admin, start, limit=9)) == 2
    service.clock.go_on(seconds=1)
    found = await feed(admin, start, limit=9)
    history = ok(await admin.get(f"{path}/history"))["items"][::-1]
    skus = [product["sku"], product["sku"], product["sku"], ok(await admin.get(path))["sku"]]
    assert [item for item in found if item["product_id"] == product["id"]] == [
        change | {"id": f"{product['id']}.{change['version']}", "product_id": product["id"], "sku": sku}
        for change, sku in zip(history, skus, strict=True)
    ]
    assert [item["version"] for item in found if item["product_id"] == other["id"]] == [1]


async def test_pages_of_any_size_have_all_changes_in_order(service: Service, admin: Person, start: str) -> None:
    """The order of a product's versions holds even where the clock of the second process is behind."""
    products = [await make(admin) for _ in range(12)]
    service.clock.go_on(seconds=-2)
    for product in products * 2:
        ok(await admin.patch(f"/v1/products/{product['id']}", {"description": unique("text")}))
    service.clock.go_on(seconds=30)
    whole = await feed(admin, start, limit=100)
    assert len(whole) == 3 * len(products)
    assert [(item["at"], item["id"]) for item in whole] == sorted((item["at"], item["id"]) for item in whole)
    for product in products:
        assert [item["version"] for item in whole if item["product_id"] == product["id"]] == [1, 2, 3]
    for limit in (1, 5, 25):
        assert await feed(admin, start, limit=limit) == whole


async def test_a_reader_goes_on_from_the_last_cursor(service: Service, admin: Person, start: str) -> None:
    """However long after it was given, and however often."""
    made = await make(admin)
    service.clock.go_on(seconds=10)
    reply = await admin.get(FEED, params={"from": start, "limit": "5"})
    page = ok(reply)
    assert [item["product_id"] for item in page["items"]] == [made["id"]]
    assert reply.headers["Link"] == f'<{service.url}{FEED}?limit=5&cursor={page["next_cursor"]}>; rel="next"'
    for _ in range(2):
        page = ok(await admin.get(FEED, params={"cursor": page["next_cursor"]}))
        assert page["items"] == []
    later = await make(admin)
    service.clock.go_on(seconds=10)
    page = ok(await admin.get(FEED, params={"cursor": page["next_cursor"]}))
    assert [item["product_id"] for item in page["items"]] == [later["id"]]


@pytest.mark.usefixtures("start")
async def test_without_a_start_the_feed_begins_with_the_oldest_change(admin: Person, service: Service) -> None:
    await make(admin)
    service.clock.go_on(seconds=10)
    (oldest,) = ok(await admin.get(FEED, params={"limit": "1"}))["items"]
    assert oldest == (await feed(admin, "0001-01-01T00:00:00Z", limit=100))[0]


async def test_a_time_may_have_an_offset_and_any_precision(admin: Person, service: Service, start: str) -> None:
    """It is cut to milliseconds; the change of that very millisecond is included."""
    made = await make(admin)
    service.clock.go_on(seconds=10)
    local = (from_rfc3339(start) + timedelta(hours=2)).isoformat(timespec="microseconds").replace("+00:00", "+02:00")
    for time in (start, local, start.lower()):
        items = ok(await admin.get(FEED, params={"from": time}))["items"]
        assert [item["product_id"] for item in items] == [made["id"]]


@pytest.mark.usefixtures("start")
async def test_the_readme_keeps_an_index_in_step(admin: Person, service: Service, tmp_path: Path) -> None:
    """Its program goes on from its last cursor, has the fields of all products, and repairs what the feed left out."""
    programs = re.findall(r"^```python\n(.*?)^```$", text(README), re.MULTILINE | re.DOTALL)
    (program,) = (each for each in programs if "/v1/changes" in each)
    key = ok(await admin.post("/v1/auth/keys", {"name": "index", "scope": "read"}), 201)["key"]
    environment = {"VITRINA_URL": service.url, "VITRINA_API_KEY": key}

    async def indexed() -> dict[str, JsonObject]:
        service.clock.go_on(seconds=10)
        done = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=tmp_path, env=environment)
        assert await done.wait() == 0
        with closing(sqlite3.connect(tmp_path / "index.db")) as index:
            rows = index.execute("SELECT id, version, live, fields FROM product").fetchall()
        return {row[0]: json.loads(row[3]) | {"version": row[1], "live": bool(row[2])} for row in rows}

    lamp, chair, late = await make(admin, description="Warm."), await make(admin), await make(admin)
    assert {lamp["id"], chair["id"], late["id"]} <= (await indexed()).keys()
    for price in ("8", "7"):
        ok(await admin.patch(f"/v1/products/{late['id']}", {"price": price, "brand": f"At {price}"}))
    absent = [ChangeItem.feed.remove(), ChangeItem.feed_position.remove()]
    await service.services.table.update(Update(keys.change(late["id"], 2), absent))
    ok(await admin.patch(f"/v1/products/{late['id']}", {"name": "Late"}))
    ok(await admin.patch(f"/v1/products/{lamp['id']}", {"price": "9", "description": None}))
    ok(await admin.delete(f"/v1/products/{chair['id']}"), 204)
    index = await indexed()
    history = await feed(admin, "0001-01-01T00:00:00Z", limit=100)
    assert index.keys() == {change["product_id"] for change in history}
    for product_id, entry in index.items():
        product = ok(await admin.get(f"/v1/products/{product_id}"))
        wanted = {name: product[name] for name in entry if name != "live"} | {"live": "deleted_at" not in product}
        assert entry == wanted
    assert index[lamp["id"]]["price"] == "9.00"
    assert not index[chair["id"]]["live"]
    assert (index[late["id"]]["version"], index[late["id"]]["brand"]) == (4, "At 7")


@pytest.mark.parametrize(
    "time",
    ["2026-11-24", "2026-11-24T07:01:34", "1764000000", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+01:00", "now", ""],
)
async def test_a_text_that_is_no_time_is_refused(admin: Person, time: str) -> None:
    refused(await admin.get(FEED, params={"from": time}), "/from")


async def test_a_cursor_goes_alone_and_is_that_of_the_feed(admin: Person, start: str) -> None:
    cursor = ok(await admin.get(FEED))["next_cursor"]
    refused(await admin.get(FEED, params={"cursor": cursor, "from": start}), "/from")
    problem(await admin.get("/v1/products", params={"cursor": cursor}), 400, "invalid_cursor")
    problem(await admin.get(FEED, params={"cursor": cursor[:-2]}), 400, "invalid_cursor")
