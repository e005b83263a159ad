"""No route sets a field that it does not name (ASVS 5.0 V15.3.3, API3:2023)."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.client import Client, JsonObject, Person, ok, product_body
from tests.api.test_policy import SIGN_IN
from vitrina.api.application import ROUTES
from vitrina.api.http.routing import Route

pytestmark = pytest.mark.engine("moto")  # sequential requests that need no rule of DynamoDB

FOREIGN: Mapping[str, object] = {
    "id": "x", "version": 9, "role": "super_admin", "active": True, "created_at": "2020-01-01T00:00:00.000Z",
    "created_by": "x", "updated_at": None, "updated_by": "x", "deleted_at": None, "deleted_by": "x", "user_id": "x",
    "original_sku": "x", "session_epoch": 9, "key_epoch": 9, "password_hash": "x", "expires_at": None, "key": "vtk_x",
    "pk": "USER#x", "listing": "PRODUCTS#LIVE", "ttl": 9, "is_admin": True, "__proto__": {"role": "admin"},
    "constructor": {}, "": 1,
}  # fmt: skip
"""Fields of stored items and of responses, and names with a meaning in some language."""

BODIES = [route for route in ROUTES if route.example is not None and not route.oauth]


def variants(route: Route) -> Iterator[tuple[str, JsonObject]]:
    """Yield the example of a route with each field that its model does not have, and the pointer to that field."""
    example: JsonObject = dict(route.example or {})
    known = set(route.body.model_fields) if route.body else set()
    for name, value in FOREIGN.items():
        if name not in known:
            yield f"/{name}", example | {name: value}


@pytest.mark.parametrize("route", BODIES, ids=lambda route: f"{route.method} {route.template}")
async def test_a_foreign_field_is_refused_by_name(anonymous: Client, super_admin: Person, route: Route) -> None:
    """By the name of the field, and before the object is looked up."""
    client = anonymous if (route.method, route.template) in SIGN_IN else super_admin
    path = route.template.replace("{", "").replace("}", "")
    asked = list(variants(route))
    assert len(asked) > 15
    for pointer, body in asked:
        reply = await client.request(route.method, path, body)
        assert reply.status == 422, (reply, body)
        assert pointer in [error["pointer"] for error in reply.json["errors"]]


async def test_a_foreign_field_of_an_operation_is_refused(admin: Person) -> None:
    """Operations of one batch have fields of three kinds; none of them takes another's, and none a foreign one."""
    product = ok(await admin.post("/v1/products", product_body()), 201)
    fields = {name: FOREIGN[name] for name in ("role", "created_by", "updated_at", "deleted_at", "active", "pk", "ttl")}
    named = {"sku": product["sku"]}
    operations: list[dict[str, Any]] = [
        body | {"op": op, name: value}
        for op, body in (("upsert", product_body() | named), ("patch", named), ("delete", named))
        for name, value in [*fields.items(), ("id", product["id"]) if op == "upsert" else ("price_to", "1.00")]
    ]
    results = ok(await admin.post("/v1/products/batch", {"operations": operations}))["results"]
    assert [result["status"] for result in results] == [422] * len(operations)
    assert ok(await admin.get(f"/v1/products/{product['id']}")) == product


async def test_a_parameter_of_the_token_endpoint_has_no_effect(anonymous: Client, user: Person) -> None:
    """RFC 6749 section 3.2 requires that unknown parameters are ignored: the token is the account's all the same."""
    form = {"grant_type": "password", "username": user.email, "password": user.password}
    form |= {"role": "super_admin", "sub": "x", "user_id": "x", "client_id": "x", "expires_in": "999999"}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    tokens = ok(await anonymous.post("/v1/auth/token", data=urlencode(form).encode(), headers=headers))
    assert tokens["expires_in"] == 900
    assert ok(await anonymous.bearing(tokens["access_token"]).get("/v1/me")) == user.account
