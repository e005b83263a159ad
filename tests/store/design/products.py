"""Rows about products, their lists and their views."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from tests.api.client import Reply, ok
from tests.store.design.harness import Harness, Work, described, keyed, plain, product, row
from tests.stored_views import read
from vitrina.domain.views import View, day_of, shard_of
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import ProductItem
from vitrina.store.operations import Update
from vitrina.store.views import ViewStore

_ONE: Final = "/v1/products/{product_id}"
_BY_SKU: Final = "/v1/products/by-sku/{sku}"

plain("POST /v1/products", lambda h: h.admin.post("/v1/products", product()), 201)
plain(
    "POST /v1/products, with an idempotency key",
    lambda h: h.admin.post("/v1/products", product(), headers=keyed("create")),
    201,
)


@row("POST /v1/products, a replay", 201)
async def _(h: Harness) -> Work:
    body = product()
    ok(await h.admin.post("/v1/products", body, headers=keyed("again")), 201)
    return h.admin.post("/v1/products", body, headers=keyed("again"))


@row("POST /v1/products, SKU taken", 409)
async def _(h: Harness) -> Work:
    return h.admin.post("/v1/products", product(sku=(await h.product())["sku"]))


# Single reads


@row(f"GET {_ONE}, anonymous, not cached", 200)
async def _(h: Harness) -> Work:
    path = _ONE.format(product_id=(await h.product())["id"])
    h.settle()
    return h.anonymous.get(path, headers={"Referer": "https://news.example.org/lamps"})


@row(f"GET {_ONE}, anonymous, just written by the process", 200)
async def _(h: Harness) -> Work:
    return h.anonymous.get(_ONE.format(product_id=(await h.product())["id"]))


@row(f"GET {_ONE}, anonymous, cached", 200)
async def _(h: Harness) -> Work:
    path = _ONE.format(product_id=(await h.product())["id"])
    ok(await h.anonymous.get(path))
    return h.anonymous.get(path)


def _late(h: Harness, path: str) -> Work:
    """Read a product after the cache's entry has expired."""

    async def read() -> object:
        answers, time = h.services.product_cache._products, asyncio.get_running_loop().time
        answers._time = lambda: time() + answers._ttl
        try:
            return await h.anonymous.get(path)
        finally:
            answers._time = time

    h.settle()
    return read()


@row(f"GET {_ONE}, anonymous, too old in the cache, unchanged", 200)
async def _(h: Harness) -> Work:
    path = _ONE.format(product_id=(await h.product())["id"])
    ok(await h.anonymous.get(path))
    return _late(h, path)


@row(f"GET {_ONE}, anonymous, too old in the cache, changed", 200)
async def _(h: Harness) -> Work:
    made = await h.product()
    path = _ONE.format(product_id=made["id"])
    ok(await h.anonymous.get(path))
    # As another process does, of which this one's cache knows nothing.
    await h.table.update(Update(keys.product(made["id"]), [ProductItem.version.set(2)]))
    return _late(h, path)


@row(f"GET {_ONE}, anonymous, cached, If-None-Match", 304)
async def _(h: Harness) -> Work:
    path = _ONE.format(product_id=(await h.product())["id"])
    ok(await h.anonymous.get(path))
    return h.anonymous.get(path, headers={"If-None-Match": '"1"'})


@row(f"GET {_ONE}, signed in", 200)
async def _(h: Harness) -> Work:
    return h.user.get(_ONE.format(product_id=(await h.product())["id"]))


@row(f"GET {_BY_SKU}, anonymous, not cached", 200)
async def _(h: Harness) -> Work:
    path = _BY_SKU.format(sku=(await h.product())["sku"])
    h.settle()
    return h.anonymous.get(path)


@row(f"GET {_BY_SKU}, anonymous, just written by the process", 200)
async def _(h: Harness) -> Work:
    return h.anonymous.get(_BY_SKU.format(sku=(await h.product())["sku"]))


@row(f"GET {_BY_SKU}, anonymous, cached", 200)
async def _(h: Harness) -> Work:
    path = _BY_SKU.format(sku=(await h.product())["sku"])
    ok(await h.anonymous.get(path))
    return h.anonymous.get(path)


@row(f"GET {_BY_SKU}, signed in", 200)
async def _(h: Harness) -> Work:
    return h.user.get(_BY_SKU.format(sku=(await h.product())["sku"]))


# Listings


def _listing(query: str) -> None:
    @row(f"GET /v1/products?{query}", 200)
    async def _(h: Harness) -> Work:
        h.settle()
        return h.anonymous.get(f"/v1/products?{query}")


for _sort in ("newest", "name", "price", "-price"):
    _listing(f"sort={_sort}")
    _listing(f"sort={_sort}&brand=Brightwell")
_listing("name_prefix=brush")
_listing("name_prefix=brush&brand=Brightwell")
_listing("price_min=100&price_max=200")
_listing("price_min=100&sort=-price")
_listing("price_max=200&brand=Brightwell")
_listing("price_max=200&brand=Brightwell&sort=-price")


def _three(name: str, *, signed_in: bool) -> None:
    @row(f"GET /v1/products, three by {name}{', signed in' if signed_in else ''}", 200)
    async def _(h: Harness) -> Work:
        made = [await h.product() for _ in range(3)]
        h.settle()
        names = "&".join(f"{name.lower()}={one[name.lower()]}" for one in made)
        return (h.user if signed_in else h.anonymous).get(f"/v1/products?{names}")


for _name in ("id", "SKU"):
    _three(_name, signed_in=False)
    _three(_name, signed_in=True)
plain("GET /v1/products, signed in", lambda h: h.user.get("/v1/products"))


@row("GET /v1/products, the next page", 200)
async def _(h: Harness) -> Work:
    h.settle()
    cursor = ok(await h.anonymous.get("/v1/products?limit=1"))["next_cursor"]
    return h.anonymous.get(f"/v1/products?cursor={cursor}")


@row("GET /v1/products, cached", 200)
async def _(h: Harness) -> Work:
    ok(await h.anonymous.get("/v1/products"))
    return h.anonymous.get("/v1/products")


plain("GET /v1/products/deleted", lambda h: h.admin.get("/v1/products/deleted"))


@row(f"GET {_ONE}/history", 200)
async def _(h: Harness) -> Work:
    return h.admin.get(f"/v1/products/{(await h.repriced())['id']}/history")


@row(f"GET {_ONE}/prices", 200)
async def _(h: Harness) -> Work:
    return h.anonymous.get(f"/v1/products/{(await h.repriced())['id']}/prices")


@row(f"GET {_ONE}/prices, cached", 200)
async def _(h: Harness) -> Work:
    path = f"/v1/products/{(await h.repriced())['id']}/prices"
    h.settle()
    ok(await h.anonymous.get(path))
    return h.anonymous.get(path)


@row(f"GET {_ONE}/prices, the next page", 200)
async def _(h: Harness) -> Work:
    path = f"/v1/products/{(await h.repriced())['id']}/prices"
    cursor = ok(await h.anonymous.get(f"{path}?limit=1"))["next_cursor"]
    return h.anonymous.get(f"{path}?cursor={cursor}")


@row(f"GET {_ONE}/prices, an admin", 200)
async def _(h: Harness) -> Work:
    return h.admin.get(f"/v1/products/{(await h.repriced())['id']}/prices")


# Changes


def _change(what: str, **fields: object) -> None:
    @row(f"PATCH {_ONE}, {what}", 200)
    async def _(h: Harness) -> Work:
        return h.admin.patch(_ONE.format(product_id=(await h.product())["id"]), fields)


_change("the description", description=described(1))
_change("the name", name="Polished brass lamp 0000")
_change("the brand", brand="Brightworks")
_change("the price", price="149.00")
_change("the SKU", sku="BW-LAMP-MOVED")
_change("without new values", price="129")


# Batches


def _send(h: Harness, *operations: dict[str, object], key: str | None = None) -> Awaitable[Reply]:
    headers = {} if key is None else keyed(key)
    return h.admin.post("/v1/products/batch", {"operations": operations}, headers=headers)


plain("POST /v1/products/batch, a new product", lambda h: _send(h, {"op": "upsert"} | product()))


def _reprice(name: str) -> None:
    @row(f"POST /v1/products/batch, three prices by {name}", 200)
    async def _(h: Harness) -> Work:
        made = [await h.product() for _ in range(3)]
        return _send(h, *({"op": "patch", name.lower(): one[name.lower()], "price": "149.00"} for one in made))


_reprice("id")
_reprice("SKU")


@row("POST /v1/products/batch, two prices of one product", 200)
async def _(h: Harness) -> Work:
    made = await h.product()
    return _send(h, *({"op": "patch", "id": made["id"], "price": price} for price in ("149.00", "139.00")))


async def _keyed(h: Harness) -> list[dict[str, object]]:
    changed, deleted, same = [(await h.product())["id"] for _ in range(3)]
    return [
        {"op": "patch", "id": changed, "price": "149.00"},
        {"op": "delete", "id": deleted},
        {"op": "patch", "id": same, "price": "129"},
    ]


@row("POST /v1/products/batch, a price, a deletion and no new values, with an idempotency key", 200)
async def _(h: Harness) -> Work:
    return _send(h, *await _keyed(h), key="batch")


plain(
    "POST /v1/products/batch, a new product, with an idempotency key",
    lambda h: _send(h, {"op": "upsert"} | product(), key="new"),
)


@row("POST /v1/products/batch, the same again", 200)
async def _(h: Harness) -> Work:
    operations = await _keyed(h)
    ok(await _send(h, *operations, key="twice"))
    return _send(h, *operations, key="twice")


# Changes by SKU


def _write_by_sku(method: str, what: str, **fields: object) -> None:
    @row(f"{method} {_BY_SKU}, {what}", 200)
    async def _(h: Harness) -> Work:
        made = await h.product()
        body = {name: made[name] for name in ("name", "brand", "price", "description")} if method == "PUT" else {}
        return h.admin.request(method, _BY_SKU.format(sku=made["sku"]), body | fields)


@row(f"PUT {_BY_SKU}, a new product", 201)
async def _(h: Harness) -> Work:
    body = product()
    return h.admin.request("PUT", _BY_SKU.format(sku=body.pop("sku")), body)


_write_by_sku("PUT", "another price", price="149.00")
_write_by_sku("PUT", "without new values")
_write_by_sku("PATCH", "the price", price="149.00")
_write_by_sku("PATCH", "the SKU", sku="BW-LAMP-PLACED")


@row(f"DELETE {_BY_SKU}", 204)
async def _(h: Harness) -> Work:
    return h.admin.delete(_BY_SKU.format(sku=(await h.product())["sku"]))


@row(f"DELETE {_ONE}", 204)
async def _(h: Harness) -> Work:
    return h.admin.delete(_ONE.format(product_id=(await h.product())["id"]))


@row(f"POST {_ONE}/restore", 200)
async def _(h: Harness) -> Work:
    return h.admin.post(f"/v1/products/{(await h.deleted())['id']}/restore")


plain("GET /v1/changes", lambda h: h.admin.get("/v1/changes"))


# Views


def of_shard(shard: int) -> str:
    """Return the id of a product whose views are stored in a shard."""
    while shard_of(product_id := new_id(), keys.VIEW_SHARDS) != shard:
        pass
    return product_id


@row("a batch of views of eight products")
async def _(h: Harness) -> Work:
    store, now_ms = ViewStore(h.table), h.services.views._now_ms()
    views = [View(of_shard(shard), now_ms, bytes(12), None, bot=False) for shard in range(keys.VIEW_SHARDS)]
    return store.put(store.segments(views))


@row("the views of a day, all shards")
async def _(h: Harness) -> Work:
    store, now_ms = ViewStore(h.table, retention_days=30), h.services.views._now_ms()
    views = [View(of_shard(shard), now_ms, bytes(12), None, bot=False) for shard in range(keys.VIEW_SHARDS)]
    await store.put([segment for view in views for segment in store.segments([view])])

    async def read_shard(shard: int) -> list[object]:
        return [view async for view in read(store, day_of(now_ms), shard)]

    return asyncio.gather(*map(read_shard, range(keys.VIEW_SHARDS)))
