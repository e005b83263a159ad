"""PATCH /v1/products/{id}."""

import asyncio

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused, unique
from tests.service import Service


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product at version 1."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(description="Warm.")), 201)
    return made


def path_of(product: JsonObject) -> str:
    """A product's path."""
    return f"/v1/products/{product['id']}"


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_fields_that_are_given_change_and_the_others_stay(
    admin: Person, super_admin: Person, product: JsonObject, media_type: str
) -> None:
    """JSON Merge Patch under either media type; the next version says who and when."""
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
    """All that a person says of a product."""
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
    """R8: no new version, no history entry."""
    reply = await admin.patch(path_of(product), same)
    assert ok(reply) == product
    assert reply.headers["ETag"] == '"1"'
    assert len(ok(await admin.get(f"{path_of(product)}/history"))["items"]) == 1


@pytest.mark.parametrize("same", [10, "10", "10.00", "10.0", "0010", 10.0])
async def test_ten_is_ten_however_it_is_written(admin: Person, same: object) -> None:
    """`10`, `"10"` and `"10.00"` are one price."""
    product = ok(await admin.post("/v1/products", product_body(price="10")), 201)
    assert ok(await admin.patch(path_of(product), {"price": same})) == product
    assert len(ok(await admin.get(f"{path_of(product)}/prices"))["items"]) == 1


async def test_null_takes_a_description_away(admin: Person, product: JsonObject) -> None:
    """RFC 7396; taking it away again changes nothing."""
    assert ok(await admin.patch(path_of(product), {"description": None}))["description"] is None
    assert ok(await admin.patch(path_of(product), {"description": None}))["version"] == 2


@pytest.mark.parametrize("field", ["sku", "name", "brand", "price", "currency"])
async def test_null_takes_no_required_field_away(admin: Person, product: JsonObject, field: str) -> None:
    """422, and the product stays."""
    refused(await admin.patch(path_of(product), {field: None}), f"/{field}")
    assert ok(await admin.get(path_of(product))) == product


@pytest.mark.parametrize("field", ["id", "version", "created_by", "updated_by", "created_at", "deleted_at", "x"])
async def test_what_people_may_not_set_is_refused(admin: Person, product: JsonObject, field: str) -> None:
    """Even with the value that it has."""
    refused(await admin.patch(path_of(product), {field: product.get(field)}), f"/{field}")


async def test_a_change_of_currency_alone_must_leave_a_price_of_that_currency(admin: Person) -> None:
    """What has cents cannot become yen; what has none can, and is shown without them."""
    odd = ok(await admin.post("/v1/products", product_body(price="10.50")), 201)
    refused(await admin.patch(path_of(odd), {"currency": "JPY"}), "/price")
    assert ok(await admin.get(path_of(odd)))["version"] == 1
    even = ok(await admin.post("/v1/products", product_body(price="10.00")), 201)
    changed = ok(await admin.patch(path_of(even), {"currency": "JPY"}))
    assert (changed["price"], changed["currency"], changed["version"]) == ("10", "JPY", 2)
    back = ok(await admin.patch(path_of(even), {"currency": "BHD"}))
    assert (back["price"], back["version"]) == ("10.000", 3)


async def test_a_price_is_judged_by_the_currency_that_the_product_has(admin: Person) -> None:
    """And by the new one where both change."""
    yen = ok(await admin.post("/v1/products", product_body(price="10", currency="JPY")), 201)
    refused(await admin.patch(path_of(yen), {"price": "10.5"}), "/price")
    assert ok(await admin.patch(path_of(yen), {"price": "10.5", "currency": "USD"}))["price"] == "10.50"


async def test_a_new_sku_is_claimed_and_the_old_one_freed(admin: Person, anonymous: Client) -> None:
    """In one transaction (R6)."""
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
    """It is a product's own, so it is no clash; and it is a change."""
    product = ok(await admin.post("/v1/products", product_body(sku=unique("case"))), 201)
    changed = ok(await admin.patch(path_of(product), {"sku": product["sku"].upper()}))
    assert (changed["sku"], changed["version"]) == (product["sku"].upper(), 2)
    assert ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))["sku"] == changed["sku"]


async def test_a_deleted_product_cannot_be_changed(admin: Person, product: JsonObject) -> None:
    """404, whatever version is named."""
    ok(await admin.delete(path_of(product)), 204)
    for headers in ({}, {"If-Match": "*"}, {"If-Match": '"2"'}, {"If-Match": '"1"'}):
        problem(await admin.patch(path_of(product), {"name": "x"}, headers=headers), 404, "not_found")


async def test_a_list_of_versions_may_come_in_several_lines(
    service: Service, http: aiohttp.ClientSession, admin: Person, product: JsonObject
) -> None:
    """As one (RFC 9110 section 5.3), in whatever order; so may that of `If-None-Match`."""
    lines = CIMultiDict([("Authorization", f"Bearer {admin.token}"), ("If-Match", '"9"'), ("If-Match", '"1"')])
    async with http.patch(service.url + path_of(product), json={"name": "x"}, headers=lines) as reply:
        assert (reply.status, (await reply.json())["version"]) == (200, 2)
    read = CIMultiDict([("If-None-Match", '"1"'), ("If-None-Match", '"2"')])
    async with http.get(service.url + path_of(product), headers=read) as reply:
        assert reply.status == 304


@pytest.mark.parametrize("condition", ["*", '"1"', '"7", "1"', None])
async def test_who_names_the_version_may_change_it(admin: Person, product: JsonObject, condition: str | None) -> None:
    """`If-Match` is optional, `*` matches any, and a list will do."""
    headers = {} if condition is None else {"If-Match": condition}
    assert ok(await admin.patch(path_of(product), {"name": "x"}, headers=headers))["version"] == 2


@pytest.mark.parametrize("condition", ['"2"', '"0"', 'W/"1"', "1", "nonsense", '"one"', '"01"', '"9", "8"', ""])
@pytest.mark.parametrize("body", [{"name": "x"}, {"name": "Oak Lamp"}, {"price": "1.999"}, {"currency": "JPY"}])
async def test_a_stale_version_is_refused_before_any_rule(
    admin: Person, product: JsonObject, condition: str, body: JsonObject
) -> None:
    """412 even when nothing would change, or could; the comparison is strong (RFC 9110 section 13.1.1)."""
    reply = await admin.patch(path_of(product), body, headers={"If-Match": condition})
    assert problem(reply, 412, "version_mismatch")["current_version"] == 1
    assert ok(await admin.get(path_of(product))) == product


async def test_a_stale_version_comes_before_a_taken_sku(admin: Person, product: JsonObject) -> None:
    """And a body's shape before the version."""
    taken = ok(await admin.post("/v1/products", product_body()), 201)["sku"]
    stale = {"If-Match": '"5"'}
    problem(await admin.patch(path_of(product), {"sku": taken}, headers=stale), 412, "version_mismatch")
    refused(await admin.patch(path_of(product), {"sku": "a b"}, headers=stale), "/sku")
    problem(await admin.patch("/v1/products/nothing", {"sku": taken}, headers=stale), 404, "not_found")


@pytest.mark.parametrize("media_type", ["text/plain", "application/json-patch+json", "application/xml"])
async def test_another_media_type_is_refused(admin: Person, product: JsonObject, media_type: str) -> None:
    """415 before existence."""
    for path in (path_of(product), "/v1/products/nothing"):
        reply = await admin.patch(path, {"name": "x"}, headers={"Content-Type": media_type})
        problem(reply, 415, "unsupported_media_type")


async def test_a_change_is_seen_by_the_next_reader(admin: Person, anonymous: Client, product: JsonObject) -> None:
    """A write in the process drops what the process kept, at once."""
    for version in range(2, 6):
        ok(await anonymous.get(path_of(product)))
        ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))
        ok(await admin.patch(path_of(product), {"name": f"Name {version}"}))
        for path in (path_of(product), f"/v1/products/by-sku/{product['sku']}"):
            reply = await anonymous.get(path)
            assert (ok(reply)["version"], reply.headers["ETag"]) == (version, f'"{version}"')


async def test_versions_and_times_only_grow(admin: Person, product: JsonObject) -> None:
    """However quickly changes follow."""
    await asyncio.gather(*(admin.patch(path_of(product), {"name": f"Name {n}"}) for n in range(3)))
    entries = ok(await admin.get(f"{path_of(product)}/history"))["items"]
    assert [entry["version"] for entry in entries] == list(range(len(entries), 0, -1))
    times = [entry["at"] for entry in entries]
    assert times == sorted(times, reverse=True)
