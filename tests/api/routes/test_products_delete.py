"""DELETE /v1/products/{id}, GET /v1/products/deleted and POST /v1/products/{id}/restore."""

import pytest

from tests.api.client import Client, JsonObject, Person, ok, pages, problem, product_body, refused, unique


async def made(admin: Person, **fields: object) -> JsonObject:
    """A live product."""
    product: JsonObject = ok(await admin.post("/v1/products", product_body(**fields)), 201)
    return product


async def gone(admin: Person, **fields: object) -> JsonObject:
    """A deleted product, as it was before its deletion."""
    product = await made(admin, **fields)
    ok(await admin.delete(f"/v1/products/{product['id']}"), 204)
    return product


async def test_a_deletion_returns_no_body_and_hides_the_product(admin: Person, anonymous: Client) -> None:
    """R7: reads and listings do not return it."""
    product = await made(admin, brand=unique("Brand"))
    brand = {"brand": product["brand"]}
    assert len(ok(await anonymous.get("/v1/products", params=brand))["items"]) == 1
    ok(await anonymous.get(f"/v1/products/{product['id']}"))
    reply = await admin.delete(f"/v1/products/{product['id']}")
    assert (reply.status, reply.body) == (204, b"")
    for sort in ("newest", "name", "price", "-price"):
        assert ok(await anonymous.get("/v1/products", params=brand | {"sort": sort}))["items"] == []
    problem(await anonymous.get(f"/v1/products/{product['id']}"), 404, "not_found")
    problem(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"), 404, "not_found")


async def test_a_deleted_product_cannot_be_deleted_again(admin: Person) -> None:
    """The response is 404 whatever `If-Match` says."""
    product = await gone(admin)
    for headers in ({}, {"If-Match": "*"}, {"If-Match": '"1"'}, {"If-Match": '"2"'}):
        problem(await admin.delete(f"/v1/products/{product['id']}", headers=headers), 404, "not_found")


async def test_a_deletion_honours_if_match(admin: Person) -> None:
    """A stale version gets 412; the current version and `*` delete."""
    for condition in ("*", '"1"', '"{id}.1"'):
        product = await made(admin)
        path = f"/v1/products/{product['id']}"
        stale = await admin.delete(path, headers={"If-Match": '"2"'})
        assert problem(stale, 412, "version_mismatch")["current_version"] == 1
        ok(await admin.delete(path, headers={"If-Match": condition.format(id=product["id"])}), 204)


@pytest.mark.parametrize(("path", "allowed"), [("deleted", "GET, HEAD"), ("batch", "POST")])
async def test_a_path_beside_that_of_a_product_has_its_own_methods(admin: Person, path: str, allowed: str) -> None:
    """It is not that of a product with such an id."""
    for reply in (await admin.delete(f"/v1/products/{path}"), await admin.patch(f"/v1/products/{path}", {})):
        problem(reply, 405, "method_not_allowed")
        assert reply.headers["Allow"] == allowed


async def test_managers_can_list_deleted_products_newest_deletion_first(admin: Person, super_admin: Person) -> None:
    """Each product is on one page, with the time and the author of its deletion."""
    products = [await made(admin) for _ in range(5)]
    for product in reversed(products):
        ok(await super_admin.delete(f"/v1/products/{product['id']}"), 204)
    for client in (admin, super_admin):
        read = await pages(client, "/v1/products/deleted", limit=2)
        assert all(len(page) == 2 for page in read[:-1])
        assert 1 <= len(read[-1]) <= 2
        items = [item for page in read for item in page]
        assert [item["id"] for item in items[:5]] == [product["id"] for product in products]
        assert [item["deleted_at"] for item in items] == sorted((item["deleted_at"] for item in items), reverse=True)
        assert items[0]["deleted_by"] == super_admin.id
        assert items[0]["original_sku"] == products[0]["sku"]
        assert items[0] == ok(await admin.get(f"/v1/products/{items[0]['id']}"))


async def test_a_restored_product_has_its_former_fields(admin: Person, super_admin: Person, anonymous: Client) -> None:
    """It has its SKU, is two versions further, is listed, and has no fields of the deletion."""
    product = await gone(admin, description="Warm.", brand=unique("Brand"))
    reply = await super_admin.post(f"/v1/products/{product['id']}/restore")
    restored = ok(reply)
    assert restored == product | {
        "version": 3,
        "updated_at": restored["updated_at"],
        "updated_by": super_admin.id,
    }
    assert reply.headers["ETag"] == '"3"'
    assert ok(await admin.get(f"/v1/products/{product['id']}")) == restored
    assert ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))["version"] == 3
    assert len(ok(await anonymous.get("/v1/products", params={"brand": product["brand"]}))["items"]) == 1
    deleted = ok(await admin.get("/v1/products/deleted", params={"limit": "100"}))["items"]
    assert product["id"] not in [item["id"] for item in deleted]


@pytest.mark.parametrize("body", [{}, {"sku": None}])
async def test_a_restore_without_a_sku_uses_the_old_one(admin: Person, body: JsonObject) -> None:
    """An empty object and a missing body have the same effect."""
    product = await gone(admin)
    assert ok(await admin.post(f"/v1/products/{product['id']}/restore", body))["sku"] == product["sku"]


async def test_a_restore_can_set_another_sku(admin: Person, anonymous: Client) -> None:
    """The old SKU stays free."""
    product, sku = await gone(admin), unique("Other")
    assert ok(await admin.post(f"/v1/products/{product['id']}/restore", {"sku": sku}))["sku"] == sku
    assert ok(await anonymous.get(f"/v1/products/by-sku/{sku}"))["id"] == product["id"]
    await made(admin, sku=product["sku"])


async def test_a_restore_is_rejected_while_another_product_holds_the_sku(admin: Person) -> None:
    """The 409 names the holder; a restore with another SKU succeeds."""
    product = await gone(admin)
    holder = await made(admin, sku=product["sku"].lower())
    path = f"/v1/products/{product['id']}/restore"
    for body in (None, {"sku": product["sku"]}):
        members = problem(await admin.post(path, body), 409, "sku_taken")
        assert members["holder"] == {"id": holder["id"], "href": f"/v1/products/{holder['id']}"}
    assert ok(await admin.get(f"/v1/products/{product['id']}"))["version"] == 2
    ok(await admin.post(path, {"sku": unique("Free")}))


async def test_a_restore_honours_if_match(admin: Person) -> None:
    """On every route of a product, in either form (api.md, entity tags)."""
    product = ok(await admin.post("/v1/products", product_body()), 201)
    ok(await admin.delete(f"/v1/products/{product['id']}"), 204)
    path = f"/v1/products/{product['id']}/restore"
    stale = await admin.post(path, headers={"If-Match": '"1"'})
    assert problem(stale, 412, "version_mismatch")["current_version"] == 2
    problem(await admin.post(path, headers={"If-Match": "2"}), 400, "invalid_header")
    assert ok(await admin.post(path, headers={"If-Match": f'"{product["id"]}.2"'}))["version"] == 3


async def test_a_live_product_cannot_be_restored(admin: Person) -> None:
    """The response is 409, and nothing changes. The shape of the body and existence are checked first."""
    product = await made(admin)
    path = f"/v1/products/{product['id']}/restore"
    problem(await admin.post(path), 409, "not_deleted")
    problem(await admin.post(path, {"sku": "other"}), 409, "not_deleted")
    refused(await admin.post(path, {"sku": "a b"}), "/sku")
    refused(await admin.post(path, {"name": "x"}), "/name")
    assert ok(await admin.get(f"/v1/products/{product['id']}")) == product


async def test_a_product_can_be_deleted_and_restored_repeatedly(admin: Person) -> None:
    """Each deletion and each restore adds a version and a history entry."""
    product = await made(admin)
    path = f"/v1/products/{product['id']}"
    for turn in range(3):
        ok(await admin.delete(path), 204)
        ok(await admin.post(f"{path}/restore", {"sku": f"{product['sku']}-{turn}"}))
    history = ok(await admin.get(f"{path}/history"))["items"]
    assert [entry["action"] for entry in history] == ["restored", "deleted"] * 3 + ["created"]
    assert ok(await admin.get(path))["version"] == 7


async def test_a_restore_without_a_body_ignores_the_content_type(admin: Person) -> None:
    """Some client libraries always send a `Content-Type`."""
    for media_type in ("application/json", "application/octet-stream", "application/x-www-form-urlencoded"):
        product = await gone(admin)
        reply = await admin.post(f"/v1/products/{product['id']}/restore", headers={"Content-Type": media_type})
        assert ok(reply)["sku"] == product["sku"]
