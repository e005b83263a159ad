"""Rows about reports, exports and the relay's leases."""

from datetime import date, timedelta
from typing import Final

from tests.store.design.harness import Harness, Work, plain, row
from vitrina.clock import now
from vitrina.domain.reports import GRACE, Period
from vitrina.domain.views import View, midnight_ms
from vitrina.services.analytics.rollups import Rollups
from vitrina.store.leases import Lease, LeaseStore
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore
from vitrina.store.views import ViewStore

_VIEWS: Final = "/v1/products/{product_id}/views"
_TOP: Final = "/v1/analytics/top-products"
_EXPORT: Final = "/v1/analytics/views/export"


def _rollups(h: Harness) -> Rollups:
    return Rollups(ViewStore(h.table), RollupStore(h.table))


async def _seen(h: Harness, product_id: str, *, days_ago: int) -> date:
    """Store views of a product on a closed day."""
    day = (now() - GRACE).date() - timedelta(days=days_ago)
    store = ViewStore(h.table)
    await store.put(store.segments([View(product_id, midnight_ms(day), bytes(12), "example.org", bot=False)]))
    return day


def _of(day: date) -> dict[str, str]:
    return {"from": day.isoformat(), "to": day.isoformat()}


@row("vitrina views rollup, a day of one product")
async def _(h: Harness) -> Work:
    return _rollups(h).roll_up(await _seen(h, (await h.product())["id"], days_ago=40))


@row("vitrina views rollup --again, after a late view")
async def _(h: Harness) -> Work:
    product_id = (await h.product())["id"]
    await _rollups(h).roll_up(await _seen(h, product_id, days_ago=44))
    return _rollups(h).roll_up(await _seen(h, product_id, days_ago=44), again=True)


@row("views that are stored after their day has closed")
async def _(h: Harness) -> Work:
    store, day = ViewStore(h.table), (now() - GRACE).date() - timedelta(days=45)
    return store.put_late(
        store.segments([View((await h.product())["id"], midnight_ms(day), bytes(12), None, bot=False)])
    )


@row("vitrina views rollup, late views of a day have expired")
async def _(h: Harness) -> Work:
    day, store = (now() - GRACE).date() - timedelta(days=45), RollupStore(h.table)
    outdated, at = await store.earlier(day)
    return store.keep(day, generation=outdated.generation, at=at)


@row(f"GET {_VIEWS}, a closed day", 200)
async def _(h: Harness) -> Work:
    product_id = (await h.product())["id"]
    day = await _seen(h, product_id, days_ago=41)
    await _rollups(h).roll_up(day)
    return h.admin.get(_VIEWS.format(product_id=product_id), params=_of(day))


@row(f"GET {_VIEWS}, the open day", 200)
async def _(h: Harness) -> Work:
    return h.admin.get(_VIEWS.format(product_id=(await h.product())["id"]), params=_of(now().date()))


@row(f"GET {_TOP}, a closed day", 200)
async def _(h: Harness) -> Work:
    day = await _seen(h, (await h.product())["id"], days_ago=42)
    await _rollups(h).roll_up(day)
    return h.admin.get(_TOP, params=_of(day))


@row(f"GET {_TOP}, the open day", 200)
async def _(h: Harness) -> Work:
    return h.admin.get(_TOP, params=_of(now().date()))


@row(f"GET {_EXPORT}, a day", 200)
async def _(h: Harness) -> Work:
    day = await _seen(h, (await h.product())["id"], days_ago=43)
    return h.admin.get(_EXPORT, params=_of(day))


@row("vitrina views report, the summary of a closed day")
async def _(h: Harness) -> Work:
    return RollupStore(h.table).summary((now() - GRACE).date() - timedelta(days=42))


@row("vitrina views report, the prices of a product in a month")
async def _(h: Harness) -> Work:
    product_id = (await h.repriced())["id"]
    return ProductListings(h.table).prices_since(product_id, now() - timedelta(days=30), consistent=False)


@row("vitrina products import, rows of one existing product, unchanged")
async def _(h: Harness) -> Work:
    return _compared(ProductStore(h.table), (await h.product())["sku"])


async def _compared(products: ProductStore, sku: str) -> None:
    holders = await products.holders([sku], consistent=True)
    await products.get_many(list(holders.values()), consistent=True)


@row("vitrina views export, SKUs of viewed products")
async def _(h: Harness) -> Work:
    return ProductStore(h.table).skus([(await h.product())["id"]])


@row("vitrina views export, the days that got views late")
async def _(h: Harness) -> Work:
    day = now().date()
    return h.services.view_source().generations(Period(day - timedelta(days=60), day))


plain("vitrina views export, the time up to which days have closed", lambda h: h.services.closing_time())
plain("vitrina views export --new, the first day with data", lambda h: h.services.product_listings.first_created())


@row("vitrina prices export, the prices of a product")
async def _(h: Harness) -> Work:
    return h.services.product_listings.price_periods((await h.repriced())["id"])


@row("vitrina relay, a shard from its lease to its end")
async def _(h: Harness) -> Work:
    return _lease_a_shard(LeaseStore(h.table, stream_label="2026-11-24T00:00:00.000"))


async def _lease_a_shard(leases: LeaseStore) -> None:
    shard = Lease(shard_id="shardId-1", parent="shardId-0")
    await leases.create(shard)
    mine = await leases.take((await leases.all())[shard.shard_id], owner="a")
    await leases.renew(mine, checkpoint="100")
    await leases.renew(mine, checkpoint="200", release=True)
    await leases.delete(mine)


plain(
    "vitrina notifier, before it returns messages to the queue",
    lambda h: h.services.probe(consistent=True),
)


@row("vitrina notifier, a change that the relay could not decode")
async def _(h: Harness) -> Work:
    product = await h.repriced()
    return ProductListings(h.table).price_change(product["id"], product["version"])
