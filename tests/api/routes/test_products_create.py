"""POST /v1/products."""

import re

import pytest

from tests.api.client import Client, Person, ok, problem, product_body, refused, unique

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_a_creation_returns_the_product_with_location_and_etag(admin: Person) -> None:
    """The response is 201 with every field of the contract and no others."""
    sku = unique("Lamp.New_1")
    reply = await admin.post(
        "/v1/products",
        {"sku": sku, "name": "Oak Lamp", "brand": "Alder", "price": "19.9", "currency": "EUR", "description": "Warm."},
    )
    made = ok(reply, 201)
    assert TIME.fullmatch(made["created_at"])
    assert made == {
        "id": made["id"],
        "sku": sku,
        "name": "Oak Lamp",
        "brand": "Alder",
        "description": "Warm.",
        "price": "19.90",
        "currency": "EUR",
        "created_at": made["created_at"],
        "created_by": admin.id,
        "updated_at": made["created_at"],
        "updated_by": admin.id,
        "version": 1,
    }
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", made["id"])
    assert reply.headers["Location"] == f"/v1/products/{made['id']}"
    assert reply.headers["ETag"] == '"1"'
    assert reply.headers["Content-Type"] == "application/json"
    assert ok(await admin.get(reply.headers["Location"])) == made


async def test_missing_optional_fields_have_defaults(super_admin: Person) -> None:
    """The currency is USD and there is no description. A super_admin can create products, too."""
    made = ok(await super_admin.post("/v1/products", product_body(price=5)), 201)
    assert (made["currency"], made["description"], made["price"]) == ("USD", None, "5.00")
    assert made["created_by"] == super_admin.id


@pytest.mark.parametrize("sent", ["taken-{}", "TAKEN-{}", "Taken-{}"])
async def test_a_sku_of_a_live_product_is_rejected_and_its_holder_named(admin: Person, sent: str) -> None:
    """The comparison ignores case (R6)."""
    sku = unique("n")
    holder = ok(await admin.post("/v1/products", product_body(sku=f"taken-{sku}")), 201)
    members = problem(await admin.post("/v1/products", product_body(sku=sent.format(sku))), 409, "sku_taken")
    assert members["holder"] == {"id": holder["id"], "href": f"/v1/products/{holder['id']}"}
    assert ok(await admin.get(members["holder"]["href"])) == holder


async def test_the_sku_of_a_deleted_product_is_free_at_once(admin: Person) -> None:
    """R7: a deletion frees the SKU."""
    body = product_body()
    first = ok(await admin.post("/v1/products", body), 201)
    ok(await admin.delete(f"/v1/products/{first['id']}"), 204)
    assert ok(await admin.post("/v1/products", body), 201)["id"] != first["id"]


@pytest.mark.parametrize(
    "field",
    ["id", "version", "created_by", "updated_by", "created_at", "updated_at", "deleted_at", "deleted_by",
     "original_sku", "role", "__class__", "Sku", ""],
)  # fmt: skip
async def test_read_only_and_unknown_fields_are_rejected_by_name(admin: Person, field: str) -> None:
    """They are never ignored (mass assignment)."""
    refused(await admin.post("/v1/products", product_body(**{field: "x"})), f"/{field}")


@pytest.mark.parametrize("field", ["sku", "name", "brand", "price"])
async def test_each_required_field_is_named_when_it_is_missing(admin: Person, field: str) -> None:
    body = product_body()
    del body[field]
    refused(await admin.post("/v1/products", body), f"/{field}")


@pytest.mark.parametrize("field", ["sku", "name", "brand", "price", "currency"])
@pytest.mark.parametrize("value", [None, True, [], {}, ["x"]])
async def test_no_field_coerces_a_value_of_another_type(admin: Person, field: str, value: object) -> None:
    """Null is rejected, too."""
    refused(await admin.post("/v1/products", product_body(**{field: value})), f"/{field}")


async def test_all_errors_are_reported_together(admin: Person) -> None:
    """Each error has its pointer."""
    reply = await admin.post("/v1/products", {"sku": "a b", "name": " ", "price": -1, "color": "red"})
    assert {error["pointer"] for error in problem(reply, 422, "validation_failed")["errors"]} == {
        "/sku", "/name", "/brand", "/price", "/color",
    }  # fmt: skip


async def test_a_pointer_is_escaped_as_rfc_6901_requires(admin: Person) -> None:
    """`~` and `/` can be in the name of a field."""
    refused(await admin.post("/v1/products", product_body(**{"a/b~c": 1})), "/a~1b~0c")


@pytest.mark.parametrize("body", [[], "x", 1, True])
async def test_a_body_that_is_not_an_object_is_rejected(admin: Person, body: object) -> None:
    """The pointer of the whole document is the empty string."""
    refused(await admin.post("/v1/products", body), "")


@pytest.mark.parametrize("body", [b"", b"{", b"{'sku': 1}", b'{"sku": "a", "sku": "b"}', b'{"sku": "\xff"}', b"nope"])
async def test_invalid_json_is_malformed(admin: Person, body: bytes) -> None:
    """The response is 400, not 422."""
    reply = await admin.post("/v1/products", data=body, headers={"Content-Type": "application/json"})
    problem(reply, 400, "malformed_json")


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/merge-patch+json", "a/b"])
async def test_another_media_type_of_a_creation_is_rejected(admin: Person, media_type: str) -> None:
    """The response is 415; a merge patch is valid only for PATCH."""
    reply = await admin.post("/v1/products", product_body(), headers={"Content-Type": media_type})
    problem(reply, 415, "unsupported_media_type")


async def test_permission_is_checked_before_the_body(user: Person, anonymous: Client) -> None:
    """Authentication and authorisation precede media type and shape."""
    xml = {"Content-Type": "application/xml"}
    problem(await anonymous.post("/v1/products", data=b"<x/>", headers=xml), 401, "authentication_required")
    problem(await user.post("/v1/products", data=b"<x/>", headers=xml), 403, "forbidden")
