"""Nobody reaches an object, or a field of one, that they may not see (ASVS 5.0 V8.2.2, V8.2.3, API1:2023, API3:2023).

tests/api/test_policy.py has who may call which route at all.
"""

import asyncio
from collections import Counter

import pytest

from tests.api.client import Client, JsonObject, Person, fresh_email, ok, problem, product_body, sign_up
from tests.service import Service

INNER_FIELDS = {"created_by", "updated_by", "deleted_by", "deleted_at", "original_sku"}


@pytest.fixture(scope="module")
async def deleted(admin: Person) -> JsonObject:
    """A deleted product, as it was."""
    product: JsonObject = ok(await admin.post("/v1/products", product_body(price="0.07")), 201)
    ok(await admin.delete(f"/v1/products/{product['id']}"), 204)
    return product


@pytest.fixture(scope="module")
async def product(admin: Person) -> JsonObject:
    """A live product."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(price="0.08")), 201)
    return made


def listings(product: JsonObject) -> list[str]:
    """Return the ways to a product that everybody has, beside its id and its SKU."""
    name, sku = product["name"].replace(" ", "%20"), product["sku"]
    return [
        f"/v1/products?id={product['id']}", f"/v1/products?sku={sku}", "/v1/products?price_min=0.06&price_max=0.09",
        "/v1/products?limit=100", f"/v1/products?name_prefix={name}&limit=100",
        f"/v1/products?brand={product['brand']}&limit=100",
    ]  # fmt: skip


def unknown_id(product: JsonObject) -> str:
    """Return an id of the same form that no product has."""
    return str(product["id"])[:-4] + "0000"


async def test_the_public_reaches_a_deleted_product_by_no_route(
    anonymous: Client, user: Person, deleted: JsonObject
) -> None:
    """It looks like one that never was."""
    for client in (anonymous, user):
        for path in (deleted["id"], f"by-sku/{deleted['sku']}", f"{deleted['id']}/prices"):
            found = await client.get(f"/v1/products/{path}")
            missing = await client.get(f"/v1/products/{path.replace(deleted['id'], unknown_id(deleted))}")
            problem(found, 404, "not_found")
            assert found.json | {"instance": ""} == missing.json | {"instance": ""}
        for path in listings(deleted):
            page = ok(await client.get(path))
            assert deleted["id"] not in [item["id"] for item in page["items"]], path


async def test_the_public_sees_no_inner_field_of_a_product(
    anonymous: Client, user: Person, admin: Person, product: JsonObject
) -> None:
    """Not even right after an admin has read the same page, which the process may keep."""
    paths = [f"/v1/products/{product['id']}", f"/v1/products/by-sku/{product['sku']}", *listings(product)]
    for path in paths:
        for client in (admin, anonymous, admin, user):
            body = ok(await client.get(path))
            for item in body.get("items", [body]):
                assert (INNER_FIELDS & item.keys() != set()) == (client is admin), (path, item)


async def test_another_accounts_objects_are_not_found(
    anonymous: Client, user: Person, admin: Person, super_admin: Person
) -> None:
    """Whatever the role of who asks: sessions, keys and notices are their owner's only."""
    key = ok(await admin.post("/v1/auth/keys", {"name": "mine", "scope": "read"}), 201)
    strangers = [user, super_admin, await sign_up(anonymous)]
    for stranger in strangers:
        problem(await stranger.delete(f"/v1/auth/sessions/{admin.tokens['session_id']}"), 404, "not_found")
        assert admin.tokens["session_id"] not in (await stranger.get("/v1/auth/sessions?limit=100")).body.decode()
    problem(await super_admin.delete(f"/v1/auth/keys/{key['id']}"), 404, "not_found")
    assert ok(await super_admin.get("/v1/auth/keys"))["items"] == []
    ok(await anonymous.bearing(key["key"]).get("/v1/products/deleted"))
    assert ok(await admin.get("/v1/me")) == admin.account


KEY_SYNTAX = ("USER%23{}", "PRODUCT%23{}", "SKU%23{}", "{}%23", "{}%00", "%2E%2E%2F{}", "{}'%20OR%20'1'='1", "$ne", "*",
              "{}%0A", "%7B%22S%22:%22{}%22%7D", "{}%20")  # fmt: skip


@pytest.mark.parametrize(
    "template",
    ["/v1/products/{}", "/v1/products/{}/history", "/v1/products/{}/views", "/v1/users/{}", "/v1/products/by-sku/{}"],
)
async def test_the_syntax_of_stored_keys_means_nothing_in_a_path(
    super_admin: Person, product: JsonObject, template: str
) -> None:
    """ASVS 5.0 V1.2.4: no text of a path reaches another item of the table."""
    name = {"/v1/users/{}": super_admin.id, "/v1/products/by-sku/{}": product["sku"]}.get(template, product["id"])
    ok(await super_admin.get(template.format(name)))
    for syntax in KEY_SYNTAX:
        problem(await super_admin.get(template.format(syntax.format(name))), 404, "not_found")


async def test_no_race_over_http_removes_a_super_admin(super_admin: Person, service: Service) -> None:
    """Three of them are changed and deleted at once (API5:2023); `vitrina users` is the only way."""
    made = [
        await service.services.accounts.create_super_admin(email=fresh_email(), password=super_admin.password, name="S")
        for _ in range(2)
    ]
    ids = [super_admin.id, *(each.id for each in made)]
    bodies: list[JsonObject | None] = [None, {"role": "user"}, {"active": False}, {"email": fresh_email()}]
    replies = await asyncio.gather(
        *(
            super_admin.request("DELETE" if body is None else "PATCH", f"/v1/users/{user_id}", body)
            for user_id in ids
            for body in bodies * 2
        )
    )
    assert Counter(reply.json["code"] for reply in replies) == {"super_admin_protected": len(replies)}
    listed = ok(await super_admin.get("/v1/users?role=super_admin&limit=100"))["items"]
    assert {each["id"]: each["version"] for each in listed if each["id"] in ids} == dict.fromkeys(ids, 1)
