"""The examples of bodies in the document work as they stand."""

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from tests.api.client import Client, Person, ok
from vitrina.api.application import ROUTES
from vitrina.api.http.body import parse_json
from vitrina.api.http.routing import Route
from vitrina.api.http.validation import validate_body

BY_ID = {route.operation_id: route for route in ROUTES}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body], ids=lambda route: route.operation_id)
def test_every_body_has_an_example_that_is_valid(route: Route) -> None:
    assert route.body is not None
    assert route.example is not None
    validate_body(route.body, parse_json(orjson.dumps(route.example)))


@pytest.mark.engine("moto")
async def test_they_can_be_sent_one_after_the_other(anonymous: Client, super_admin: Person) -> None:
    """Who registers can sign in, and what is created can be changed, deleted and restored."""

    async def send(client: Client, operation: str, **path: str) -> Any:  # noqa: ANN401 - any JSON
        route = BY_ID[operation]
        reply = await client.request(route.method, route.template.format(**path), route.example)
        return ok(reply, next(iter(route.responses)))

    await send(anonymous, "register")
    tokens = await send(anonymous, "signIn")
    await send(anonymous.bearing(tokens["access_token"]), "changePassword")
    token = BY_ID["issueToken"]
    form = urlencode(dict(token.example or {}, password="amber-orchard-2026")).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    ok(await anonymous.post(token.path, data=form, headers=headers))

    account = await send(super_admin, "createUser")
    assert (await send(super_admin, "changeUser", user_id=account["id"]))["name"] == "Cleo Curator"
    await send(super_admin, "putNotificationPreferences")
    product = await send(super_admin, "createProduct")
    assert (await send(super_admin, "changeProduct", product_id=product["id"]))["price"] == "17.99"
    assert (await send(super_admin, "changeProductBySku", sku=product["sku"]))["version"] == 2
    await send(super_admin, "deleteProduct", product_id=product["id"])
    again = await send(super_admin, "putProductBySku", sku=product["sku"])
    assert again["id"] != product["id"]
    await send(super_admin, "deleteProductBySku", sku=product["sku"])
    batch = await send(super_admin, "runProductBatch")
    assert [result["status"] for result in batch["results"]] == [201, 200, 204]
    await send(super_admin, "restoreProduct", product_id=product["id"])
