"""A plain model of the products: dictionaries, and the rules of the contract in the order in which they are checked."""

from dataclasses import dataclass, field

from tests.api.client import JsonObject

FIELDS = ("sku", "name", "brand", "description", "price", "currency")
DEFAULTS: JsonObject = {"currency": "USD", "description": None}
Refusal = tuple[int, str]


@dataclass(slots=True)
class Catalogue:
    """The products as an admin sees them, in order of creation, and all changes in their order."""

    products: dict[str, JsonObject] = field(default_factory=dict)
    history: dict[str, list[JsonObject]] = field(default_factory=dict)

    @property
    def live(self) -> list[JsonObject]:
        """The products that are not deleted."""
        return [it for it in self.products.values() if "deleted_at" not in it]

    @property
    def deleted(self) -> list[JsonObject]:
        """The deleted products, the last one first; those of one instant by their ids."""
        found = [it for it in self.products.values() if "deleted_at" in it]
        return sorted(found, key=lambda it: (it["deleted_at"], it["id"]), reverse=True)

    def holder(self, sku: str) -> JsonObject | None:
        """Return the live product that holds a SKU, in any case."""
        return next((it for it in self.live if it["sku"].lower() == sku.lower()), None)

    def named(self, operation: JsonObject) -> JsonObject | None:
        """Return the live product that `id`, or else `sku`, of an operation names."""
        if "id" in operation:
            product = self.products.get(operation["id"])
            return product if product is not None and "deleted_at" not in product else None
        return self.holder(operation["sku"])

    def refusal(self, operation: JsonObject) -> Refusal | None:
        """Return the status and code of an operation of a batch that is refused, None if it is done."""
        product, version = self.named(operation), operation.get("version")
        if product is None and operation["op"] != "upsert":
            return 404, "not_found"
        if version is not None and (product is None or product["version"] != version):
            return 412, "version_mismatch"
        if operation["op"] == "delete":
            return None
        wanted = self.wanted(operation)
        if not fits(wanted):
            return 422, "validation_failed"
        holder = self.holder(wanted["sku"])
        if holder is not None and (product is None or holder["id"] != product["id"]):
            return 409, "sku_taken"
        return None

    def wanted(self, operation: JsonObject) -> JsonObject:
        """Return the fields of a product after an upsert or a patch."""
        product = self.named(operation)
        given = {name: operation[name] for name in FIELDS if name in operation}
        if operation["op"] == "upsert":
            return DEFAULTS | given | ({} if product is None else {"sku": product["sku"]})
        assert product is not None
        if "id" not in operation:
            del given["sku"]
        return {name: product[name] for name in FIELDS} | given

    def take(self, after: JsonObject, action: str) -> None:
        """Check that a product follows from the one before, and keep it with its change."""
        before = self.products.get(after["id"], {})
        changes = {
            name: {"from": before.get(name), "to": after[name]} for name in FIELDS if before.get(name) != after[name]
        }
        assert after["version"] == before.get("version", 0) + 1, (before, after)
        entry = {
            "version": after["version"],
            "action": action,
            "at": after["updated_at"],
            "by": after["updated_by"],
            "changes": changes,
        }
        self.products[after["id"]] = after
        self.history.setdefault(after["id"], []).append(entry)

    def prices(self, product_id: str) -> list[tuple[str, str]]:
        """Return the prices of a product with their currencies, oldest first."""
        found: list[tuple[str, str]] = []
        current: JsonObject = {}
        for entry in self.history[product_id]:
            current |= {name: change["to"] for name, change in entry["changes"].items()}
            if {"price", "currency"} & entry["changes"].keys():
                found.append((current["price"], current["currency"]))
        return found


def fits(fields: JsonObject) -> bool:
    """Return whether a price has no more decimals than its currency."""
    return fields["currency"] != "JPY" or float(fields["price"]).is_integer()


def shown(fields: JsonObject) -> JsonObject:
    """Return fields as a response has them."""
    decimals = 0 if fields["currency"] == "JPY" else 2
    return fields | {"price": f"{float(fields['price']):.{decimals}f}"}
