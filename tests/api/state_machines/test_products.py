"""Products: whatever is done to them in whatever order, the service agrees with a model of a few dictionaries."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.api.client import JsonObject, Reply, ok, unique
from tests.api.state_machines.bench import Bench
from tests.api.state_machines.catalogue import FIELDS, Catalogue, shown
from vitrina.clock import rfc3339

pytestmark = pytest.mark.slow

SKUS = st.sampled_from(["a", "A", "b", "B", "c"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Lamp", "lamp", "Chair", "Éclair", "e\u0301clair"]),
    "price": st.sampled_from(["0", "5", "5.00", "10", "9.99"]),
    "currency": st.sampled_from(["USD", "EUR", "JPY"]),
    "description": st.sampled_from([None, "Warm.", "Line\nbreak"]),
}
WHOLE = st.fixed_dictionaries(
    {name: VALUES[name] for name in ("name", "price")},
    optional={name: VALUES[name] for name in ("currency", "description")},
)
PARTIAL = st.fixed_dictionaries({}, optional=VALUES)
VERSIONS = st.sampled_from([None, None, "current", "stale"])
NAMES = st.one_of(SKUS.map(lambda sku: ("sku", sku)), st.integers(0, 9).map(lambda number: ("id", number)))
OPERATIONS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("upsert"), SKUS.map(lambda sku: ("sku", sku)), WHOLE, VERSIONS),
    st.tuples(st.just("patch"), NAMES, PARTIAL, VERSIONS),
    st.tuples(st.just("delete"), NAMES, st.just({}), VERSIONS),
)
UNKNOWN = "01900000-0000-7000-8000-000000000000"


class ProductMachine(RuleBasedStateMachine):
    """Changes products by an admin; each response and the product after it are compared with the model."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.admin = bench.super_admin
        self.model = Catalogue()
        self.prefix = unique("sm")
        self.brand = f"Brand {self.prefix}"
        bench.service.clock.at = bench.service.clock.at
        self.began = rfc3339(bench.service.clock.at)

    @rule(operation=OPERATIONS)
    def single(self, operation: Any) -> None:  # noqa: ANN401 - as drawn
        """Send one request: PUT, PATCH or DELETE, by id or by SKU."""
        asked = self._operation(operation)
        reply = self._send(asked)
        self._check(asked, reply.status, reply.json if reply.body else None)

    @rule(sku=SKUS, fields=WHOLE, repeats=st.booleans())
    def create(self, sku: str, fields: JsonObject, repeats: bool) -> None:  # noqa: FBT001 - as drawn
        """Create a product, and perhaps send the request again, which changes nothing."""
        asked = {"op": "create", "sku": f"{self.prefix}-{sku}", "brand": self.brand, **fields}
        body = {name: value for name, value in asked.items() if name != "op"}
        headers = {"Idempotency-Key": unique("key")}
        reply = self._call("POST", "/v1/products", body, headers)
        held = self.model.holder(body["sku"])
        wanted = {"currency": "USD", "description": None} | body
        refusal = self.model.refusal(asked | {"op": "upsert"})
        if refusal is not None and refusal[0] == 422:
            assert reply.status == 422
        elif held is not None:
            assert (reply.status, reply.json["holder"]["id"]) == (409, held["id"])
        else:
            made = ok(reply, 201)
            assert made == made | shown(wanted)
            self.model.take(made, "created")
        if repeats and reply.status == 201:
            again = self._call("POST", "/v1/products", body, headers)
            assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (201, reply.json, "true")

    @rule(number=st.integers(0, 9), sku=SKUS, fields=PARTIAL, version=VERSIONS)
    def rename(self, number: int, sku: str, fields: JsonObject, version: str | None) -> None:
        """Give a product another SKU, which may be taken."""
        asked = self._operation(("patch", ("id", number), fields | {"sku": f"{self.prefix}-{sku}"}, version))
        reply = self._send(asked)
        self._check(asked, reply.status, reply.json)

    @rule(number=st.integers(0, 9), sku=st.one_of(st.none(), SKUS))
    def restore(self, number: int, sku: str | None) -> None:
        """Restore a product, perhaps under another SKU."""
        product = self._product(number)
        if product is None:
            return
        body = None if sku is None else {"sku": f"{self.prefix}-{sku}"}
        reply = self._call("POST", f"/v1/products/{product['id']}/restore", body)
        if "deleted_at" not in product:
            assert (reply.status, reply.json["code"]) == (409, "not_deleted")
            return
        wanted = product["original_sku"] if body is None else body["sku"]
        holder = self.model.holder(wanted)
        if holder is not None:
            assert (reply.status, reply.json["holder"]["id"]) == (409, holder["id"])
        else:
            restored = ok(reply)
            assert restored["sku"] == wanted
            self.model.take(restored, "restored")

    @rule(operations=st.lists(OPERATIONS, min_size=1, max_size=5))
    def batch(self, operations: list[Any]) -> None:
        """Send a batch, which does the operations on one product in their order; no operation here moves a SKU."""
        asked = [self._operation(each) for each in operations]
        results = ok(self._call("POST", "/v1/products/batch", {"operations": asked}))["results"]
        assert len(results) == len(asked)
        for operation, result in zip(asked, results, strict=True):
            self._check(operation, result["status"], result.get("product") or result.get("problem"))

    def teardown(self) -> None:
        """Compare all that lists tell with the model."""
        for product_id, product in self.model.products.items():
            path = f"/v1/products/{product_id}"
            assert ok(self._call("GET", path)) == product
            assert self.bench.listed(self.admin, f"{path}/history") == self.model.history[product_id][::-1]
            found = [(price["price"], price["currency"]) for price in self.bench.listed(self.admin, f"{path}/prices")]
            assert found == self.model.prices(product_id)[::-1]
        for sku in "abc":
            held = self.model.holder(f"{self.prefix}-{sku}")
            reply = self._call("GET", f"/v1/products/by-sku/{self.prefix}-{sku}")
            assert (reply.json["id"] if reply.status == 200 else None) == (held and held["id"])
        self._compare_list("newest", lambda it: it["id"])
        self._compare_list("price", lambda it: float(it["price"]))
        self.bench.eventually(
            lambda: [*self.bench.newest(self.admin, "/v1/products/deleted", by="deleted_at", since=self.began)],
            [it["id"] for it in self.model.deleted],
        )
        self._compare_feed()

    def _compare_list(self, sort: str, key: Callable[[JsonObject], Any]) -> None:
        path = f"/v1/products?brand={self.brand}&sort={sort}"
        wanted = sorted(map(key, self.model.live), reverse=sort == "newest")
        self.bench.eventually(lambda: [key(it) for it in self.bench.listed(self.admin, path)], wanted)

    def _compare_feed(self) -> None:
        """Each change is in the feed, those of a product in order, once it has settled."""
        self.bench.service.clock.go_on(seconds=10)

        def read() -> dict[str, list[JsonObject]]:
            found: dict[str, list[JsonObject]] = {}
            path: str | None = f"/v1/changes?from={self.began}&limit=100"
            while path is not None:
                page = ok(self._call("GET", path))
                for entry in page["items"]:
                    if entry["product_id"] in self.model.products:
                        kept = {name: entry[name] for name in ("version", "action", "at", "by", "changes")}
                        found.setdefault(entry["product_id"], []).append(kept)
                path = f"/v1/changes?limit=100&cursor={page['next_cursor']}" if page["items"] else None
            return found

        self.bench.eventually(read, self.model.history)

    def _product(self, number: int) -> JsonObject | None:
        found = list(self.model.products.values())
        return found[number % len(found)] if found else None

    def _operation(self, drawn: Any) -> JsonObject:  # noqa: ANN401 - as drawn
        """Return an operation of a batch from what was drawn."""
        op, (by, name), fields, version = drawn
        asked: JsonObject = {"op": op, **fields}
        if op == "upsert":
            asked["brand"] = self.brand
        if by == "sku":
            asked["sku"] = f"{self.prefix}-{name}"
        else:
            product = self._product(name)
            asked["id"] = UNKNOWN if product is None else product["id"]
        if version is not None:
            product = self.model.named(asked)
            now = 1 if product is None else product["version"]
            asked["version"] = now if version == "current" else now + 1
        return asked

    def _send(self, asked: JsonObject) -> Reply:
        """Send an operation of a batch as a request of its own."""
        path = f"/v1/products/{asked['id']}" if "id" in asked else f"/v1/products/by-sku/{asked['sku']}"
        headers = {} if "version" not in asked else {"If-Match": f'"{asked["version"]}"'}
        method = {"upsert": "PUT", "patch": "PATCH", "delete": "DELETE"}[asked["op"]]
        if "version" in asked and "id" not in asked:
            product = self.model.named(asked)
            headers = {"If-Match": f'"{product["id"] if product else UNKNOWN}.{asked["version"]}"'}
        body = (
            None
            if asked["op"] == "delete"
            else {name: asked[name] for name in FIELDS if name in asked and (name != "sku" or "id" in asked)}
        )
        return self._call(method, path, body, headers)

    def _check(self, asked: JsonObject, status: int, answer: JsonObject | None) -> None:
        """Compare the outcome of an operation with the model, and follow it."""
        refusal, product = self.model.refusal(asked), self.model.named(asked)
        if refusal is not None:
            assert answer is not None
            assert (status, answer["code"]) == refusal, (asked, product)
            if refusal == (412, "version_mismatch"):
                assert answer["current_version"] == (None if product is None else product["version"])
            return
        if asked["op"] == "delete":
            assert (status, answer) == (204, None)
            assert product is not None
            after = ok(self._call("GET", f"/v1/products/{product['id']}"))
            assert after["original_sku"] == product["sku"]
            self.model.take(after, "deleted")
            return
        assert answer is not None
        wanted = shown(self.model.wanted(asked))
        assert answer == answer | wanted, (asked, answer)
        assert status == (201 if product is None else 200)
        if product is not None and product == product | wanted:
            assert answer == product
        else:
            self.model.take(answer, "created" if product is None else "updated")

    def _call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Reply:
        self.bench.service.clock.go_on(seconds=1)
        return self.bench.run(self.admin.request(method, path, body, headers=headers or {}))


async def test_products_agree_with_the_model(run: Callable[[Callable[[Bench], RuleBasedStateMachine]], None]) -> None:
    await asyncio.to_thread(run, ProductMachine)
