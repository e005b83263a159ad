"""Model test of products: after random operations the service agrees with a model of a few dictionaries."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.api.client import Client, JsonObject, Person, Reply, ok, pages, unique

pytestmark = pytest.mark.engine("dynamodb_local", "ministack")  # the demo serves products from MiniStack
STEPS = 60
NAMES = ["Lamp", "lamp", "Chair", "Éclair", "e\u0301clair", "Z"]
PRICES = ["0", "5", "5.00", "10", "9.99"]
CURRENCIES = ["USD", "EUR", "JPY"]


@dataclass(slots=True)
class Model:
    """The expected state: products in order of creation, and the history of each."""

    skus: list[str]
    brands: list[str]
    products: dict[str, JsonObject] = field(default_factory=dict)
    history: dict[str, list[JsonObject]] = field(default_factory=dict)
    prices: dict[str, list[str]] = field(default_factory=dict)

    def holder(self, sku: str) -> str | None:
        """The id of the live product that holds a SKU."""
        holders = (it["id"] for it in self.live() if it["sku"].lower() == sku.lower())
        return next(holders, None)

    def live(self) -> list[JsonObject]:
        """The products that are not deleted."""
        return [it for it in self.products.values() if "deleted_at" not in it]

    def take(self, before: JsonObject, after: JsonObject, action: str) -> None:
        """Check that a response follows from the state before, and store it as the expected state."""
        fields = ("sku", "name", "brand", "description", "price", "currency")
        changes = {
            name: {"from": before.get(name), "to": after[name]} for name in fields if before.get(name) != after[name]
        }
        assert after["version"] == before.get("version", 0) + 1
        entry = {
            "version": after["version"],
            "action": action,
            "at": after["updated_at"],
            "by": after["updated_by"],
            "changes": changes,
        }
        self.products[after["id"]] = after
        self.history.setdefault(after["id"], []).insert(0, entry)
        if action == "created" or {"price", "currency"} & changes.keys():
            self.prices.setdefault(after["id"], []).insert(0, f"{after['price']} {after['currency']}")


class Walk:
    """A sequence of random steps; the response of each is checked."""

    def __init__(self, admin: Person, anonymous: Client, seed: int) -> None:
        self.admin = admin
        self.anonymous = anonymous
        self.chance = random.Random(seed)
        self.model = Model(skus=[unique("Sku") for _ in range(5)], brands=[unique("Brand") for _ in range(2)])

    async def step(self) -> None:
        """Take a random step."""
        steps: list[Callable[[], Awaitable[None]]] = [self.create, self.change, self.change, self.delete, self.restore]
        await self.chance.choice(steps)()

    def sku(self) -> str:
        """One of a few SKUs in a random case."""
        sku = self.chance.choice(self.model.skus)
        return self.chance.choice([sku, sku.upper(), sku.lower()])

    def fields(self) -> JsonObject:
        """Random values for every field of a product."""
        return {
            "sku": self.sku(),
            "name": self.chance.choice(NAMES),
            "brand": self.chance.choice(self.model.brands),
            "price": self.chance.choice(PRICES),
            "currency": self.chance.choice(CURRENCIES),
            "description": self.chance.choice([None, "Warm.", "Line\nbreak"]),
        }

    def known(self) -> JsonObject | None:
        """A random product, live or deleted, or None if there is none."""
        return self.chance.choice(list(self.model.products.values())) if self.model.products else None

    def condition(self, product: JsonObject) -> tuple[dict[str, str], bool]:
        """A random `If-Match`, and whether it matches."""
        version = product["version"]
        choice = self.chance.choice([None, "*", f'"{version}"', f'"{version + 1}"'])
        return ({} if choice is None else {"If-Match": choice}), choice != f'"{version + 1}"'

    async def create(self) -> None:
        """Create a product; a SKU that is taken is rejected."""
        fields = self.fields()
        reply = await self.admin.post("/v1/products", fields)
        holder = self.model.holder(fields["sku"])
        if not fits(fields):
            assert reply.status == 422
        elif holder is not None:
            assert (reply.status, reply.json["holder"]["id"]) == (409, holder)
        else:
            made = ok(reply, 201)
            assert made == made | shown(fields)
            self.model.take({}, made, "created")

    async def change(self) -> None:
        """Change some fields of a product."""
        product = self.known()
        if product is None:
            return
        offered = self.fields()
        fields = {name: offered[name] for name in self.chance.sample(list(offered), self.chance.randint(0, 3))}
        headers, holds = self.condition(product)
        reply = await self.admin.patch(f"/v1/products/{product['id']}", fields, headers=headers)
        wanted = product | fields
        holder = self.model.holder(wanted["sku"])
        if "deleted_at" in product:
            assert reply.status == 404
        elif not holds:
            assert (reply.status, reply.json["current_version"]) == (412, product["version"])
        elif not fits(wanted):
            assert reply.status == 422
        elif holder not in {None, product["id"]}:
            assert (reply.status, reply.json["holder"]["id"]) == (409, holder)
        elif product | shown(wanted) == product:
            assert ok(reply) == product
        else:
            changed = ok(reply)
            assert changed == changed | shown(wanted)
            self.model.take(product, changed, "updated")

    async def delete(self) -> None:
        """Delete a product."""
        product = self.known()
        if product is None:
            return
        headers, holds = self.condition(product)
        reply = await self.admin.delete(f"/v1/products/{product['id']}", headers=headers)
        if "deleted_at" in product:
            assert reply.status == 404
        elif not holds:
            assert reply.status == 412
        else:
            ok(reply, 204)
            after = ok(await self.admin.get(f"/v1/products/{product['id']}"))
            assert after["original_sku"] == product["sku"]
            self.model.take(product, after, "deleted")

    async def restore(self) -> None:
        """Restore a product, perhaps under another SKU."""
        product = self.known()
        if product is None:
            return
        sku = self.chance.choice([None, self.sku()])
        reply = await self.admin.post(f"/v1/products/{product['id']}/restore", None if sku is None else {"sku": sku})
        if "deleted_at" not in product:
            assert reply.json["code"] == "not_deleted"
            return
        holder = self.model.holder(sku or product["original_sku"])
        if holder is not None:
            assert (reply.status, reply.json["holder"]["id"]) == (409, holder)
        else:
            restored = ok(reply)
            assert restored["sku"] == (sku or product["original_sku"])
            self.model.take(product, restored, "restored")

    async def check(self) -> None:
        """Compare everything that the service can return with the model."""
        for product_id, product in self.model.products.items():
            path = f"/v1/products/{product_id}"
            assert ok(await self.admin.get(path)) == product
            assert (await self.anonymous.get(path)).status == (404 if "deleted_at" in product else 200)
            history = await pages(self.admin, f"{path}/history", limit=7)
            assert [entry for page in history for entry in page] == self.model.history[product_id]
            prices = ok(await self.admin.get(f"{path}/prices?limit=100"))["items"]
            assert [f"{price['price']} {price['currency']}" for price in prices] == self.model.prices[product_id]
        for sku in self.model.skus:
            reply: Reply = await self.anonymous.get(f"/v1/products/by-sku/{sku}")
            assert (reply.json["id"] if reply.status == 200 else None) == self.model.holder(sku)
        for brand in self.model.brands:
            for sort in ("newest", "name", "price", "-price"):
                read = await pages(self.admin, f"/v1/products?brand={brand}&sort={sort}", limit=3)
                listed = [item for page in read for item in page]
                wanted = [it for it in self.model.live() if it["brand"] == brand]
                assert sorted(listed, key=identity) == sorted(wanted, key=identity)
        deleted = [item["id"] for page in await pages(self.admin, "/v1/products/deleted", limit=100) for item in page]
        for product_id, product in self.model.products.items():
            assert (product_id in deleted) == ("deleted_at" in product)


def identity(product: JsonObject) -> str:
    """The sort key of a product."""
    return str(product["id"])


def fits(fields: JsonObject) -> bool:
    """Whether the price has valid decimals for its currency."""
    return fields["currency"] != "JPY" or float(fields["price"]).is_integer()


def shown(fields: JsonObject) -> dict[str, Any]:
    """The fields in the format of a response."""
    decimals = 0 if fields["currency"] == "JPY" else 2
    names = ("sku", "name", "brand", "currency", "description")
    return {name: fields[name] for name in names} | {"price": f"{float(fields['price']):.{decimals}f}"}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_service_agrees_with_the_model(admin: Person, anonymous: Client, seed: int) -> None:
    """Every step is compared, and the whole state after each 20 steps."""
    walk = Walk(admin, anonymous, seed)
    for number in range(1, STEPS + 1):
        await walk.step()
        if number % 20 == 0:
            await walk.check()
    assert len(walk.model.products) > 3
