"""GET /v1/products/{id}/views and /v1/analytics/top-products (R12)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused
from tests.service import Service, serving
from vitrina.domain.reports import Counts, Period
from vitrina.domain.views import View
from vitrina.errors import NoRoom, TableUnavailable
from vitrina.ids import new_id
from vitrina.services.analytics import analytics as module
from vitrina.services.analytics.analytics import Analytics
from vitrina.services.analytics.rollups import RollupQueue, Rollups
from vitrina.store import keys
from vitrina.store.items import ProductItem, ViewDayItem, ViewTallyItem
from vitrina.store.operations import Put, Update
from vitrina.store.rollups import RollupStore, StoredRollup
from vitrina.store.views import ViewStore

TOP = "/v1/analytics/top-products"


def today() -> date:
    """Today's date in UTC."""
    return datetime.now(UTC).date()


def ago(days: int) -> date:
    """The date a number of days before today; a negative number gives a later date."""
    return today() - timedelta(days=days)


def view(product_id: str, day: date, *, visitor: int = 0, bot: bool = False) -> View:
    """A view at the start of a day."""
    at = datetime.combine(day, time.min, UTC)
    return View(product_id, int(at.timestamp() * 1000), visitor.to_bytes(12), None, bot)


async def write(service: Service, views: Sequence[View]) -> None:
    """Store views under the days on which they happened."""
    store = ViewStore(service.services.table)
    await store.put(store.segments(views))


async def made(admin: Person, service: Service | None = None) -> str:
    """Create a live product; with a service, one that was created long before its views."""
    product_id = str(ok(await admin.post("/v1/products", product_body()), 201)["id"])
    if service:
        long_ago = datetime.now(UTC) - timedelta(days=400)
        await service.services.table.update(Update(keys.product(product_id), [ProductItem.created_at.set(long_ago)]))
    return product_id


def queue_of(service: Service) -> RollupQueue:
    """The background queue in which the service rolls days up."""
    return service.services.analytics._queue


async def test_a_report_has_a_row_for_each_day_and_counts_bots_separately(service: Service, admin: Person) -> None:
    """`total`, `views` and `unique_visitors` exclude bots; a visitor who comes on two days is counted on both."""
    product_id, other = await made(admin, service), await made(admin, service)
    await write(
        service,
        [
            *(view(product_id, ago(3), visitor=number % 2) for number in range(5)),
            view(product_id, ago(3), visitor=9, bot=True),
            view(product_id, today(), visitor=1),
            view(product_id, today(), visitor=1, bot=True),
            *(view(other, ago(3), visitor=number) for number in range(7)),
        ],
    )
    path = f"/v1/products/{product_id}/views?from={ago(3)}&to={today()}"
    expected = {
        "product_id": product_id,
        "from": f"{ago(3)}",
        "to": f"{today()}",
        "total": 6,
        "unique_visitors": 3,
        "bots": 2,
        "days": [
            {"day": f"{ago(3)}", "views": 5, "unique_visitors": 2, "bots": 1},
            {"day": f"{ago(2)}", "views": 0, "unique_visitors": 0, "bots": 0},
            {"day": f"{ago(1)}", "views": 0, "unique_visitors": 0, "bots": 0},
            {"day": f"{today()}", "views": 1, "unique_visitors": 1, "bots": 1},
        ],
    }
    assert ok(await admin.get(path)) == expected
    await queue_of(service).done()
    assert ago(3) in await RollupStore(service.services.table).totals(Period(ago(3), ago(3)))
    assert ok(await admin.get(path)) == expected


async def test_an_anonymous_read_is_in_the_report_at_once(
    admin: Person, super_admin: Person, anonymous: Client
) -> None:
    """R11 and R12: the view is stored before the response is sent."""
    product_id = await made(admin)
    for _ in range(3):
        ok(await anonymous.get(f"/v1/products/{product_id}", headers={"User-Agent": "Mozilla/5.0 Firefox/145.0"}))
    ok(await anonymous.get(f"/v1/products/{product_id}", headers={"User-Agent": "Googlebot/2.1"}))
    ok(await admin.get(f"/v1/products/{product_id}"))
    report = ok(await super_admin.get(f"/v1/products/{product_id}/views"))
    assert (report["total"], report["unique_visitors"], report["bots"]) == (3, 1, 1)


async def test_days_before_the_creation_of_the_product_are_not_read(
    admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year's report on a new product reads only the days since its creation, not 366 days in one request."""
    counted: list[date] = []

    async def count(_: object, day: date, *__: object, **___: object) -> Counts:
        counted.append(day)
        return Counts()

    monkeypatch.setattr(Rollups, "count_product", count)
    path = f"/v1/products/{await made(admin)}/views"
    report = ok(await admin.get(path, params={"from": f"{ago(365)}", "to": f"{today()}"}))
    assert (len(report["days"]), counted) == (366, [today()])


async def test_the_default_is_the_last_thirty_days(admin: Person) -> None:
    report = ok(await admin.get(f"/v1/products/{await made(admin)}/views"))
    assert [day["day"] for day in report["days"]] == [f"{ago(days)}" for days in range(29, -1, -1)]
    assert (report["from"], report["to"], report["total"]) == (f"{ago(29)}", f"{today()}", 0)


async def test_future_days_have_rows(admin: Person) -> None:
    path = f"/v1/products/{await made(admin)}/views"
    report = ok(await admin.get(path, params={"from": f"{ago(-3)}", "to": f"{ago(-4)}"}))
    assert [day["views"] for day in report["days"]] == [0, 0]
    assert len(ok(await admin.get(path, params={"from": "9999-12-01", "to": "9999-12-31"}))["days"]) == 31


async def test_a_year_is_the_longest_report(admin: Person) -> None:
    """A report has at most 366 days, first and last included."""
    path = f"/v1/products/{await made(admin)}/views"
    assert len(ok(await admin.get(path, params={"from": "2024-01-01", "to": "2024-12-31"}))["days"]) == 366
    refused(await admin.get(path, params={"from": "2023-12-31", "to": "2024-12-31"}), "/from")


@pytest.mark.parametrize("path", ["/v1/products/01a20f85-08d9-73a0-8275-7148fa5f785c/views", TOP])
@pytest.mark.parametrize(
    ("parameters", "pointers"),
    [
        ({"from": "yesterday"}, ["/from"]),
        ({"to": "2026-02-30"}, ["/to"]),
        ({"from": "2026-11-24T00:00:00", "to": "1764000000"}, ["/from", "/to"]),
        ({"from": "", "to": "\u0662\u0660\u0662\u0666-11-24"}, ["/from", "/to"]),
        ({"from": "2026-11-02", "to": "2026-11-01"}, ["/from"]),
        ({"to": "2026-1-1"}, ["/to"]),
    ],
)
async def test_an_invalid_range_of_days_is_rejected_and_the_parameter_named(
    admin: Person, path: str, parameters: dict[str, str], pointers: list[str]
) -> None:
    """The response is 422, before any read of the table; the range is never clamped."""
    refused(await admin.get(path, params=parameters), *pointers)


@pytest.mark.parametrize("limit", ["0", "101", "ten", "-1"])
async def test_an_invalid_limit_is_rejected(admin: Person, limit: str) -> None:
    refused(await admin.get(TOP, params={"limit": limit}), "/limit")


@pytest.mark.parametrize("product_id", ["01a20f85-08d9-73a0-8275-7148fa5f785c", "nothing"])
async def test_an_unknown_product_is_not_found(admin: Person, product_id: str) -> None:
    """The response is 404 whether or not the id is well-formed."""
    problem(await admin.get(f"/v1/products/{product_id}/views"), 404, "not_found")


async def test_a_deleted_product_keeps_its_report(service: Service, admin: Person) -> None:
    """R7: its history is kept. The top products show when it was deleted."""
    product_id = await made(admin, service)
    await write(service, [view(product_id, ago(-1000), visitor=number) for number in range(3)])
    await write(service, [view(product_id, today(), visitor=number) for number in range(500)])
    ok(await admin.delete(f"/v1/products/{product_id}"), 204)
    assert ok(await admin.get(f"/v1/products/{product_id}/views"))["total"] == 500
    (leader,) = ok(await admin.get(TOP, params={"from": f"{today()}", "limit": "1"}))["items"]
    assert leader["product"] == ok(await admin.get(f"/v1/products/{product_id}"))
    assert leader["product"]["deleted_at"]
    assert (leader["views"], leader["unique_visitors"]) == (500, 500)


async def test_top_products_are_ordered_by_views_over_rolled_up_and_live_days(service: Service, admin: Person) -> None:
    """Counts are exact over the range and exclude bots.

    Ties are ordered by id; a product viewed only by bots is not listed.
    """
    first, second, third, bots_only = [await made(admin, service) for _ in range(4)]
    days = {"from": f"{ago(41)}", "to": f"{ago(40)}"}
    await write(
        service,
        [
            *(view(first, ago(40), visitor=number % 2) for number in range(4)),
            *(view(second, ago(41), visitor=number) for number in range(3)),
            *(view(third, ago(41), visitor=number) for number in range(2)),
            *(view(third, ago(40), visitor=number) for number in range(2)),
            *(view(first, ago(41), visitor=number, bot=True) for number in range(9)),
            *(view(bots_only, ago(41), visitor=number, bot=True) for number in range(9)),
            view(new_id(), ago(41)),
        ],
    )
    expected = [(first, 4, 2), (third, 4, 4), (second, 3, 3)]
    for _ in range(2):
        report = ok(await admin.get(TOP, params=days))
        assert report.keys() == {"items"}
        items: list[JsonObject] = report["items"]
        assert [(one["product"]["id"], one["views"], one["unique_visitors"]) for one in items] == expected
        assert items[0]["product"]["created_by"] == admin.id
        await queue_of(service).done()
    assert len(await RollupStore(service.services.table).totals(Period(ago(41), ago(40)))) == 2
    assert len(ok(await admin.get(TOP, params=days | {"limit": "2"}))["items"]) == 2
    assert ok(await admin.get(TOP, params={"from": "2001-01-01", "to": "2001-01-01"})) == {"items": []}


async def test_concurrent_requests_for_the_same_days_share_one_rollup(
    service: Service, admin: Person, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollup continues after a request times out, so that a later request finds it done.

    A stop does not wait for it.
    """
    async with serving(service.settings.model_copy(update={"request_timeout": 0.5})) as hurried:
        store = hurried.services.analytics._store
        stored, begun, gate = store.stored, 0, asyncio.Event()

        async def held_up(period: Period) -> Any:  # noqa: ANN401
            nonlocal begun
            begun += 1
            await gate.wait()
            return await stored(period)

        monkeypatch.setattr(store, "stored", held_up)
        client = Client(http, hurried.url, token=admin.token)
        only_today = {"from": f"{today()}"}
        for reply in await asyncio.gather(*(client.get(TOP, params=only_today | {"limit": limit}) for limit in "123")):
            problem(reply, 503, "unavailable")
        assert begun == 1
        asyncio.get_running_loop().call_later(0.1, gate.set)
        assert "items" in ok(await client.get(TOP, params=only_today))
        assert begun == 1
        gate.clear()
        problem(await client.get(TOP), 503, "unavailable")
        assert begun == 2
    assert not hurried.services.analytics._adding


async def test_a_rollup_with_items_of_another_one_is_made_again(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that died may have left them. Until then its day is counted from the segments."""
    monkeypatch.setattr("vitrina.services.analytics.rollups._SETTLING", 0)
    product_id, day = await made(admin, service), ago(70)
    path, services = f"/v1/products/{product_id}/views", service.services
    days = {"from": f"{day}", "to": f"{day}"}
    await write(service, [view(product_id, day), view(product_id, day, visitor=1)])
    await services.rollups.roll_up(day)
    ((table_key, _),) = (await services.rollup_store.parts(day, generation=None)).items()
    of_product = ViewDayItem.keyed(
        keys.view_day(product_id, day), views=1, unique_visitors=1, bots=0, generation="another"
    )
    of_all = ViewTallyItem.keyed(table_key, rows=b"", generation="another")
    for left in (of_product, of_all):
        await services.table.put(Put(left))
        for _ in range(2):
            (of_day,) = ok(await admin.get(path, params=days))["days"]
            (leader,) = ok(await admin.get(TOP, params=days))["items"]
            assert (of_day["views"], leader["views"]) == (2, 2)
            await queue_of(service).done()
        rollup = (await services.rollup_store.stored(Period(day, day)))[day]
        assert rollup.is_valid
        assert await services.rollup_store.of_product(product_id, {day: rollup}) == {day: Counts(2, 2, 0)}


async def test_totals_that_are_read_stale_do_not_outdate_their_rollup(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica may still have the totals of the rollup before."""
    product_id, day, store = await made(admin, service), ago(72), service.services.rollup_store
    await write(service, [view(product_id, day)])
    await service.services.rollups.roll_up(day)
    made_now = (await store.stored(Period(day, day)))[day]

    async def stale(_: Period) -> dict[date, StoredRollup]:
        return {day: replace(made_now, generation="earlier")}

    with monkeypatch.context() as lagging, capture_logs() as captured:
        lagging.setattr(store, "stored", stale)
        reply = await admin.get(f"/v1/products/{product_id}/views", params={"from": f"{day}", "to": f"{day}"})
        assert ok(reply)["total"] == 1
    assert "rollup_torn" not in [line["event"] for line in captured]
    assert (await store.stored(Period(day, day)))[day] == made_now


async def test_days_whose_views_have_expired_are_reported_as_their_outdated_rollup_has_them(
    service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the rollup counts as it is yet."""
    monkeypatch.setattr("vitrina.services.analytics.rollups._SETTLING", 0)
    product_id, day, store = await made(admin, service), ago(71), service.services.view_store
    days = {"from": f"{day}", "to": f"{day}"}
    await store.put(segments := store.segments([view(product_id, day)]))
    await service.services.rollups.roll_up(day)
    await store.put_late(late := store.segments([view(product_id, day, visitor=1)]))
    await service.services.table.delete_many([keys.Key(each.pk, each.sk) for each in (*segments, *late)])
    for _ in range(2):
        assert ok(await admin.get(f"/v1/products/{product_id}/views", params=days))["total"] == 1
        assert [each["views"] for each in ok(await admin.get(TOP, params=days))["items"]] == [1]
        await queue_of(service).done()


async def test_days_that_outlast_the_deadline_are_still_rolled_up(
    service: Service, admin: Person, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every later request for these days would time out, too."""
    product_id = await made(admin, service)
    for day, path in (ago(60), f"/v1/products/{product_id}/views"), (ago(61), TOP):
        await write(service, [view(product_id, day)])
        async with serving(service.settings.model_copy(update={"request_timeout": 0.5})) as hurried:
            monkeypatch.setattr(module, "_LONGEST", 0.4)
            client = Client(http, hurried.url, token=admin.token)
            with monkeypatch.context() as slow:

                async def for_ever(*_: object, **__: object) -> None:
                    await asyncio.Event().wait()

                slow.setattr(hurried.services.analytics._rollups, "count_product", for_ever)
                slow.setattr(Analytics, "_add_live", for_ever)
                problem(await client.get(path, params={"from": f"{day}", "to": f"{day}"}), 503, "unavailable")
            await queue_of(hurried).done()
        assert day in await RollupStore(service.services.table).totals(Period(day, day))


async def test_shared_rollups_are_limited_in_number_and_time(
    service: Service, admin: Person, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limits, and when the local disk is full, the response is 503."""
    async with serving(service.settings) as bounded:
        analytics = bounded.services.analytics
        monkeypatch.setattr(module, "_MOST_PERIODS", 1)
        client = Client(http, bounded.url, token=admin.token)

        async def for_ever(_: Period) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(analytics, "_counted", for_ever)
        first = asyncio.create_task(client.get(TOP, params={"from": f"{ago(3)}"}))
        while not analytics._adding:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)
        problem(await client.get(TOP), 503, "overloaded")
        await analytics.close()
        first.cancel()
        monkeypatch.setattr(module, "_LONGEST", 0.05)
        problem(await client.get(TOP), 503, "unavailable")

        async def full(*_: object, **__: object) -> None:
            raise NoRoom

        monkeypatch.setattr(analytics, "_counted", full)
        monkeypatch.setattr(analytics._rollups, "count_product", full)
        for path in (TOP, f"/v1/products/{await made(admin)}/views"):
            problem(await client.get(path), 503, "unavailable")


async def test_a_stop_of_the_service_cancels_rollups(service: Service) -> None:
    """Rollups that run in the background are cancelled."""
    queue = queue_of(service)
    queue.add(ago(50))
    await asyncio.wait_for(queue.close(), 30)
    assert await RollupStore(service.services.table).totals(Period(ago(50), ago(50))) == {}


async def test_an_outage_of_the_table_is_503(service: Service, admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is 503 although several concurrent calls fail."""
    product_id = await made(admin)

    async def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise TableUnavailable

    analytics: Analytics = service.services.analytics
    monkeypatch.setattr(analytics._rollups, "_add", fail)
    for path in (f"/v1/products/{product_id}/views", TOP):
        reply = await admin.get(path)
        problem(reply, 503, "table_unavailable")
        assert reply.headers["Retry-After"]
