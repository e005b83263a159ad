"""PUT, PATCH and DELETE /v1/products/by-sku/{sku}."""

import asyncio

import pytest

from tests.api.client import Client, JsonObject, Person, Reply, ok, problem, product_body, refused, unique


def put_body(**fields: object) -> JsonObject:
    """Return the body of a PUT: a product without its SKU."""
    body = product_body() | fields
    del body["sku"]
    return body


def path_of(sku: str) -> str:
    """Return the path of a SKU."""
    return f"/v1/products/by-sku/{sku}"


async def put(client: Client, sku: str, *, headers: dict[str, str] | None = None, **fields: object) -> Reply:
    """Put a product."""
    return await client.request("PUT", path_of(sku), put_body(**fields), headers=headers or {})


async def history(admin: Person, product: JsonObject) -> list[str]:
    """Return the actions of a product's changes, newest first."""
    return [entry["action"] for entry in ok(await admin.get(f"/v1/products/{product['id']}/history"))["items"]]


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product at version 1, whose SKU has letters of both cases."""
    made: JsonObject = ok(await put(admin, unique("By.Sku"), description="Warm."), 201)
    return made


async def test_a_put_creates_a_product_or_replaces_all_of_it(admin: Person, super_admin: Person) -> None:
    """A field that is left out gets its default, and the SKU stays as its creator wrote it."""
    sku = unique("Put.Me")
    reply = await put(admin, sku, price="1500", currency="JPY", description="Warm.")
    made = ok(reply, 201)
    assert reply.headers["Location"] == f"/v1/products/{made['id']}"
    assert reply.headers["ETag"] == f'"{made["id"]}.1"'
    assert ok(await admin.get(reply.headers["Location"])) == made
    reply = await put(super_admin, sku.upper(), name="Ash Lamp")
    replaced = ok(reply)
    assert reply.headers["ETag"] == f'"{made["id"]}.2"'
    assert "Location" not in reply.headers
    assert replaced == made | {
        "name": "Ash Lamp", "price": "19.99", "currency": "USD", "description": None, "version": 2,
        "updated_by": super_admin.id, "updated_at": replaced["updated_at"],
    }  # fmt: skip
    assert await history(admin, made) == ["updated", "created"]


async def test_a_put_of_the_same_values_changes_nothing(admin: Person, product: JsonObject) -> None:
    """There is neither a version nor an entry in the history; an explicit default and `19.990` are the same values."""
    same: JsonObject = {"currency": "USD", "price": 19.990, "description": " Warm. "}
    assert ok(await put(admin, product["sku"].lower(), **same)) == product
    assert await history(admin, product) == ["created"]


async def test_a_put_to_the_sku_of_a_deleted_product_creates_another(admin: Person, product: JsonObject) -> None:
    ok(await admin.delete(path_of(product["sku"].lower())), 204)
    other = ok(await put(admin, product["sku"]), 201)
    assert (other["id"] != product["id"], other["version"]) == (True, 1)
    assert "deleted_at" in ok(await admin.get(f"/v1/products/{product['id']}"))


@pytest.mark.parametrize(
    ("name", "value", "statuses"),
    [
        ("If-None-Match", "*", (201, 412)),
        ("If-None-Match", '"1"', (201, 412)),
        ("If-None-Match", 'W/"{id}.1"', (201, 412)),
        ("If-None-Match", '"2"', (201, 200)),
        ("If-Match", "*", (412, 200)),
        ("If-Match", '"1"', (412, 200)),
        ("If-Match", '"{id}.1"', (412, 200)),
        ("If-Match", 'W/"1"', (412, 412)),
        ("If-Match", '"2"', (412, 412)),
    ],
)
async def test_a_put_honours_both_conditions(
    admin: Person, product: JsonObject, name: str, value: str, statuses: tuple[int, int]
) -> None:
    """RFC 9110 section 13.1, where there is no product and where there is one at version 1.

    The condition is checked before the rules, and also where nothing would change.
    """
    headers = {name: value.format(id=product["id"])}
    for sku, status, version in zip((unique("NEW"), product["sku"]), statuses, (None, 1), strict=True):
        reply = await put(admin, sku, headers=headers, description="Warm.")
        assert reply.status == status, reply
        if status == 412:
            bad = await put(admin, sku, headers=headers, price="1.999")
            assert problem(reply, 412, "version_mismatch")["current_version"] == version
            assert problem(bad, 412, "version_mismatch")["current_version"] == version


async def test_a_put_is_validated_like_a_creation(admin: Person) -> None:
    """The SKU of the path and each field; the body has no SKU, and nothing is made."""
    for sku in ("a%20b", "%2E%2E%2F", "x" * 65, "%C5%BFku"):
        refused(await put(admin, sku), "/sku")
    sku = unique("BAD")
    refused(await admin.request("PUT", path_of(sku), {"sku": sku, "price": "1e2"}), "/name", "/brand", "/price", "/sku")
    refused(await put(admin, sku, price="10.5", currency="JPY"), "/price")
    problem(await put(admin, sku, headers={"If-Match": "1"}), 400, "invalid_header")
    problem(await admin.get(path_of(sku)), 404, "not_found")


async def test_concurrent_puts_of_a_new_sku_make_one_product(admin: Person, super_admin: Person) -> None:
    """One creates it, the others replace it in turn; with `If-None-Match: *` one of them succeeds."""
    sku = unique("Race")
    replies = await asyncio.gather(
        *(put((admin, super_admin)[n % 2], (sku, sku.upper())[n % 3 == 0], name=f"Name {n}") for n in range(12)),
        *(admin.post("/v1/products", product_body(sku=sku)) for _ in range(2)),
    )
    assert {reply.json["id"] for reply in replies if reply.status < 300} == {ok(await admin.get(path_of(sku)))["id"]}
    assert [reply.status for reply in replies].count(201) == 1
    versions = [reply.json["version"] for reply in replies if reply.status in {200, 201}]
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert len(versions) >= 12
    only = await asyncio.gather(*(put(admin, f"{sku}-2", headers={"If-None-Match": "*"}) for _ in range(8)))
    assert sorted(reply.status for reply in only) == [201] + [412] * 7


async def test_a_patch_by_sku_is_a_patch_by_id(admin: Person, anonymous: Client, product: JsonObject) -> None:
    """Its tag names the product, `If-Match` takes either form, and a change of the SKU moves the product."""
    path = path_of(product["sku"].upper())
    reply = await admin.patch(path, {"price": "18"}, headers={"If-Match": '"1"'})
    assert (ok(reply)["price"], reply.headers["ETag"]) == ("18.00", f'"{product["id"]}.2"')
    assert ok(await admin.patch(path, {"price": 18.0}, headers={"If-Match": f'"{product["id"]}.2"'}))["version"] == 2
    stale = await admin.patch(path, {"price": "18"}, headers={"If-Match": f'"{product["id"]}.1"'})
    assert problem(stale, 412, "version_mismatch")["current_version"] == 2
    other = ok(await put(admin, unique("HELD")), 201)
    assert problem(await admin.patch(path, {"sku": other["sku"]}), 409, "sku_taken")["holder"]["id"] == other["id"]
    moved = ok(await admin.patch(path, {"sku": unique("MOVED")}))
    assert (moved["id"], moved["version"]) == (product["id"], 3)
    problem(await admin.patch(path, {"price": "17"}), 404, "not_found")
    assert ok(await anonymous.get(path_of(moved["sku"])))["version"] == 3
    refused(await admin.patch(path, {"price": "1e2"}), "/price")


async def test_a_deletion_by_sku_is_a_deletion_by_id(admin: Person, product: JsonObject) -> None:
    path = path_of(product["sku"])
    stale = await admin.delete(path, headers={"If-Match": '"2"'})
    assert problem(stale, 412, "version_mismatch")["current_version"] == 1
    ok(await admin.delete(path, headers={"If-Match": f'"{product["id"]}.1"'}), 204)
    for reply in (await admin.delete(path), await admin.delete(path_of("a%20b"), headers={"If-Match": "*"})):
        problem(reply, 404, "not_found")
    assert await history(admin, product) == ["deleted", "created"]


async def test_writers_by_sku_and_by_id_take_turns(admin: Person, product: JsonObject) -> None:
    """In one process all of them succeed, as writers by id do."""
    replies = await asyncio.gather(
        *(admin.patch(path_of(product["sku"]), {"name": f"By SKU {n}"}) for n in range(10)),
        *(admin.patch(f"/v1/products/{product['id']}", {"name": f"By id {n}"}) for n in range(10)),
        *(put(admin, product["sku"], name=f"Put {n}") for n in range(10)),
    )
    assert sorted(ok(reply)["version"] for reply in replies) == list(range(2, 32))
