"""PATCH /v1/products/{id}."""

import asyncio

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.api.client import (
    PASSWORD,
    Client,
    JsonObject,
    Person,
    fresh_email,
    ok,
    problem,
    product_body,
    refused,
    unique,
)
from tests.service import Service


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product at version 1."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(description="Warm.")), 201)
    return made


def path_of(product: JsonObject) -> str:
    """The path of a product."""
    return f"/v1/products/{product['id']}"


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_a_patch_changes_only_the_fields_that_it_has(
    admin: Person, super_admin: Person, product: JsonObject, media_type: str
) -> None:
    """JSON Merge Patch under either media type; the new version has its time and author."""
    reply = await super_admin.patch(path_of(product), {"name": "Ash Lamp"}, headers={"Content-Type": media_type})
    changed = ok(reply)
    assert changed["updated_at"] >= product["updated_at"]
    assert changed == product | {
        "name": "Ash Lamp",
        "version": 2,
        "updated_by": super_admin.id,
        "updated_at": changed["updated_at"],
    }
    assert reply.headers["ETag"] == '"2"'
    assert ok(await admin.get(path_of(product))) == changed


async def test_every_field_can_be_changed_at_once(admin: Person, product: JsonObject) -> None:
    fields = product_body(name="New", brand="Birch", price="1500", currency="JPY", description="Line\nbreak")
    changed = ok(await admin.patch(path_of(product), fields))
    assert {name: changed[name] for name in fields} == fields
    assert changed["version"] == 2


@pytest.mark.parametrize(
    "same",
    [
        {}, {"name": "Oak Lamp"}, {"name": " Oak Lamp\u00a0"}, {"price": "19.99"}, {"price": 19.99},
        {"price": "19.990"}, {"currency": "USD"}, {"description": "Warm."}, {"brand": "Alder", "name": "Oak Lamp"},
    ],
)  # fmt: skip
async def test_the_same_values_change_nothing(admin: Person, product: JsonObject, same: JsonObject) -> None:
    """R8: there is no new version and no history entry."""
    reply = await admin.patch(path_of(product), same)
    assert ok(reply) == product
    assert reply.headers["ETag"] == '"1"'
    assert len(ok(await admin.get(f"{path_of(product)}/history"))["items"]) == 1


@pytest.mark.parametrize("same", [10, "10", "10.00", "10.0", "0010", 10.0])
async def test_equal_prices_in_different_notations_change_nothing(admin: Person, same: object) -> None:
    """`10`, `"10"` and `"10.00"` are the same price."""
    product = ok(await admin.post("/v1/products", product_body(price="10")), 201)
    assert ok(await admin.patch(path_of(product), {"price": same})) == product
    assert len(ok(await admin.get(f"{path_of(product)}/prices"))["items"]) == 1


async def test_null_removes_a_description(admin: Person, product: JsonObject) -> None:
    """RFC 7396. Removing it again changes nothing."""
    assert ok(await admin.patch(path_of(product), {"description": None}))["description"] is None
    assert ok(await admin.patch(path_of(product), {"description": None}))["version"] == 2


@pytest.mark.parametrize("field", ["sku", "name", "brand", "price", "currency"])
async def test_null_cannot_remove_a_required_field(admin: Person, product: JsonObject, field: str) -> None:
    """The response is 422, and the product is unchanged."""
    refused(await admin.patch(path_of(product), {field: None}), f"/{field}")
    assert ok(await admin.get(path_of(product))) == product


@pytest.mark.parametrize("field", ["id", "version", "created_by", "updated_by", "created_at", "deleted_at", "x"])
async def test_a_read_only_field_is_rejected(admin: Person, product: JsonObject, field: str) -> None:
    """A field with its current value is rejected, too."""
    refused(await admin.patch(path_of(product), {field: product.get(field)}), f"/{field}")


async def test_a_change_of_currency_alone_needs_a_price_with_valid_decimals(admin: Person) -> None:
    """A price with cents cannot become yen; a price without cents can, and is formatted without decimals."""
    odd = ok(await admin.post("/v1/products", product_body(price="10.50")), 201)
    refused(await admin.patch(path_of(odd), {"currency": "JPY"}), "/price")
    assert ok(await admin.get(path_of(odd)))["version"] == 1
    even = ok(await admin.post("/v1/products", product_body(price="10.00")), 201)
    changed = ok(await admin.patch(path_of(even), {"currency": "JPY"}))
    assert (changed["price"], changed["currency"], changed["version"]) == ("10", "JPY", 2)
    back = ok(await admin.patch(path_of(even), {"currency": "BHD"}))
    assert (back["price"], back["version"]) == ("10.000", 3)


async def test_a_price_is_validated_with_the_currency_of_the_product(admin: Person) -> None:
    """When a patch has both, the new currency is used."""
    yen = ok(await admin.post("/v1/products", product_body(price="10", currency="JPY")), 201)
    refused(await admin.patch(path_of(yen), {"price": "10.5"}), "/price")
    assert ok(await admin.patch(path_of(yen), {"price": "10.5", "currency": "USD"}))["price"] == "10.50"


async def test_a_change_of_sku_claims_the_new_one_and_frees_the_old_one(admin: Person, anonymous: Client) -> None:
    """Both happen in one transaction (R6)."""
    product = ok(await admin.post("/v1/products", product_body()), 201)
    new = unique("MOVED")
    ok(await admin.patch(path_of(product), {"sku": new}))
    assert ok(await anonymous.get(f"/v1/products/by-sku/{new.lower()}"))["id"] == product["id"]
    problem(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"), 404, "not_found")
    other = ok(await admin.post("/v1/products", product_body(sku=product["sku"])), 201)
    members = problem(await admin.patch(path_of(other), {"sku": new}), 409, "sku_taken")
    assert members["holder"] == {"id": product["id"], "href": path_of(product)}
    assert ok(await admin.get(path_of(other))) == other


async def test_the_case_of_a_sku_can_be_changed(admin: Person, anonymous: Client) -> None:
    """The product itself holds the SKU, so there is no conflict, but it is a change."""
    product = ok(await admin.post("/v1/products", product_body(sku=unique("case"))), 201)
    changed = ok(await admin.patch(path_of(product), {"sku": product["sku"].upper()}))
    assert (changed["sku"], changed["version"]) == (product["sku"].upper(), 2)
    assert ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))["sku"] == changed["sku"]


async def test_a_deleted_product_cannot_be_changed(admin: Person, product: JsonObject) -> None:
    """The response is 404 whatever `If-Match` says."""
    ok(await admin.delete(path_of(product)), 204)
    for headers in ({}, {"If-Match": "*"}, {"If-Match": '"2"'}, {"If-Match": '"1"'}):
        problem(await admin.patch(path_of(product), {"name": "x"}, headers=headers), 404, "not_found")


async def test_a_list_of_versions_can_span_several_header_lines(
    service: Service, http: aiohttp.ClientSession, admin: Person, product: JsonObject
) -> None:
    """The lines are one list (RFC 9110 section 5.3) in any order; this holds for `If-None-Match`, too."""
    lines = CIMultiDict([("Authorization", f"Bearer {admin.token}"), ("If-Match", '"9"'), ("If-Match", '"1"')])
    async with http.patch(service.url + path_of(product), json={"name": "x"}, headers=lines) as reply:
        assert (reply.status, (await reply.json())["version"]) == (200, 2)
    read = CIMultiDict([("If-None-Match", '"1"'), ("If-None-Match", '"2"')])
    async with http.get(service.url + path_of(product), headers=read) as reply:
        assert reply.status == 304


@pytest.mark.parametrize("condition", ["*", '"1"', '"7", "1"', '"{id}.1"', '"x.1", "{id}.1"', None])
async def test_a_patch_with_the_current_version_succeeds(
    admin: Person, product: JsonObject, condition: str | None
) -> None:
    """`If-Match` is optional, `*` matches any version, a list is accepted, and a tag may name the product."""
    headers = {} if condition is None else {"If-Match": condition.format(id=product["id"])}
    assert ok(await admin.patch(path_of(product), {"name": "x"}, headers=headers))["version"] == 2


@pytest.mark.parametrize(
    "condition",
    [
        '"2"',
        '"0"',
        'W/"1"',
        '"one"',
        '"01"',
        '"9", "8"',
        "",
        '"{id}.2"',
        '"{id}"',
        'W/"{id}.1"',
        '"019ab5f0-3c1e-7e64-9c3a-5f1d2b7a9e10.1"',
    ],
)
@pytest.mark.parametrize("body", [{"name": "x"}, {"name": "Oak Lamp"}, {"price": "1.999"}, {"currency": "JPY"}])
async def test_a_stale_version_is_rejected_before_other_rules(
    admin: Person, product: JsonObject, condition: str, body: JsonObject
) -> None:
    """The response is 412 even for a patch without effect or with a conflict.

    The comparison is strong (RFC 9110 section 13.1.1).
    """
    headers = {"If-Match": condition.format(id=product["id"])}
    reply = await admin.patch(path_of(product), body, headers=headers)
    assert problem(reply, 412, "version_mismatch")["current_version"] == 1
    assert ok(await admin.get(path_of(product))) == product


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_malformed_if_match_is_reported_before_existence(
    admin: Person, anonymous: Client, product: JsonObject, method: str
) -> None:
    """The response is 400 `invalid_header`; authorisation and the shape of the body are checked before."""
    body, bad = {"name": "x"} if method == "PATCH" else None, {"If-Match": "1"}
    for path in (path_of(product), "/v1/products/nothing"):
        problem(await admin.request(method, path, body, headers=bad), 400, "invalid_header")
        problem(await anonymous.request(method, path, body, headers=bad), 401, "authentication_required")
    if body:
        refused(await admin.patch(path_of(product), {"name": ""}, headers=bad), "/name")
    assert ok(await admin.get(path_of(product))) == product


async def test_a_stale_version_is_checked_before_a_taken_sku(admin: Person, product: JsonObject) -> None:
    """The shape of the body is checked before the version."""
    taken = ok(await admin.post("/v1/products", product_body()), 201)["sku"]
    stale = {"If-Match": '"5"'}
    problem(await admin.patch(path_of(product), {"sku": taken}, headers=stale), 412, "version_mismatch")
    refused(await admin.patch(path_of(product), {"sku": "a b"}, headers=stale), "/sku")
    problem(await admin.patch("/v1/products/nothing", {"sku": taken}, headers=stale), 404, "not_found")


@pytest.mark.parametrize("media_type", ["text/plain", "application/json-patch+json", "application/xml"])
async def test_another_media_type_of_a_patch_is_rejected(admin: Person, product: JsonObject, media_type: str) -> None:
    """The response is 415, also for an unknown product."""
    for path in (path_of(product), "/v1/products/nothing"):
        reply = await admin.patch(path, {"name": "x"}, headers={"Content-Type": media_type})
        problem(reply, 415, "unsupported_media_type")


async def test_a_change_is_seen_by_the_next_reader(admin: Person, anonymous: Client, product: JsonObject) -> None:
    """A write removes the product from the cache of its process."""
    for version in range(2, 6):
        ok(await anonymous.get(path_of(product)))
        ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))
        ok(await admin.patch(path_of(product), {"name": f"Name {version}"}))
        for path, tag in (
            (path_of(product), f'"{version}"'),
            (f"/v1/products/by-sku/{product['sku']}", f'"{product["id"]}.{version}"'),
        ):
            reply = await anonymous.get(path)
            assert (ok(reply)["version"], reply.headers["ETag"]) == (version, tag)


async def test_versions_and_times_never_decrease(admin: Person, product: JsonObject) -> None:
    """The changes follow each other without a pause."""
    await asyncio.gather(*(admin.patch(path_of(product), {"name": f"Name {n}"}) for n in range(3)))
    entries = ok(await admin.get(f"{path_of(product)}/history"))["items"]
    assert [entry["version"] for entry in entries] == list(range(len(entries), 0, -1))
    times = [entry["at"] for entry in entries]
    assert times == sorted(times, reverse=True)


async def test_a_write_is_refused_if_it_meets_a_version_that_it_must_not_meet(
    admin: Person, super_admin: Person, product: JsonObject
) -> None:
    """`If-None-Match` on a method that is no read (RFC 9110 section 13.1.2), in any form of a tag."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Cleo", "role": "user"}
    user = f"/v1/users/{ok(await super_admin.post('/v1/users', account), 201)['id']}"
    paths = (path_of(product), f"/v1/products/by-sku/{product['sku']}")
    for condition in ("*", '"1"', '"7", W/"1"', f'"{product["id"]}.1"'):
        headers = {"If-None-Match": condition}
        for path in (*paths, *([user] if "." not in condition else [])):
            for reply in (
                await super_admin.patch(path, {"name": "x"}, headers=headers),
                await super_admin.delete(path, headers=headers),
            ):
                assert problem(reply, 412, "version_mismatch")["current_version"] == 1
    other = {"If-None-Match": '"2"'}
    for path in (paths[0], user):
        assert ok(await super_admin.patch(path, {"name": "x"}, headers={"If-None-Match": '"2"'}))["version"] == 2
        ok(await super_admin.delete(path, headers={"If-Match": '"2"', "If-None-Match": '"1"'}), 204)
    restore = f"{paths[0]}/restore"
    problem(await admin.post(restore, headers={"If-None-Match": '"3"'}), 412, "version_mismatch")
    ok(await admin.post(restore, headers=other))
