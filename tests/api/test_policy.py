"""Every route is called by every role and with every API key; access is denied unless the table below allows it."""

import re
from typing import Any

import pytest
from aiohttp import web

from tests.api.client import Client, Person, ok, problem, sign_in
from vitrina.api.application import ROUTES
from vitrina.api.http.request import Request
from vitrina.api.http.routing import PUBLIC, Route

pytestmark = pytest.mark.engine("moto")  # sequential requests that need no rule of DynamoDB

ANYONE = frozenset({"anonymous", "user", "admin", "super_admin"})
SIGNED_IN = ANYONE - {"anonymous"}
MANAGERS = frozenset({"admin", "super_admin"})
SUPER_ADMIN = frozenset({"super_admin"})
MANAGE_KEY = frozenset({"manage key"})
KEYS = MANAGE_KEY | {"read key"}
"""API keys of a super_admin, by scope. A row without them denies them."""
CALLERS = ANYONE | KEYS

POLICY = {
    ("POST", "/v1/auth/register"): CALLERS,
    ("POST", "/v1/auth/login"): CALLERS,
    ("POST", "/v1/auth/refresh"): CALLERS,
    ("POST", "/v1/auth/token"): CALLERS,
    ("POST", "/v1/auth/logout"): SIGNED_IN,
    ("GET", "/v1/auth/sessions"): SIGNED_IN,
    ("DELETE", "/v1/auth/sessions/{session_id}"): SIGNED_IN,
    ("POST", "/v1/auth/password"): SIGNED_IN,
    ("POST", "/v1/auth/keys"): MANAGERS,
    ("GET", "/v1/auth/keys"): MANAGERS,
    ("DELETE", "/v1/auth/keys/{key_id}"): MANAGERS,
    ("GET", "/v1/me"): SIGNED_IN,
    ("POST", "/v1/users"): SUPER_ADMIN,
    ("GET", "/v1/users"): SUPER_ADMIN,
    ("GET", "/v1/users/{user_id}"): SUPER_ADMIN,
    ("PATCH", "/v1/users/{user_id}"): SUPER_ADMIN,
    ("DELETE", "/v1/users/{user_id}"): SUPER_ADMIN,
    ("POST", "/v1/products"): MANAGERS | MANAGE_KEY,
    ("GET", "/v1/products"): ANYONE | KEYS,
    ("GET", "/v1/products/deleted"): MANAGERS | KEYS,
    ("GET", "/v1/products/by-sku/{sku}"): ANYONE | KEYS,
    ("PUT", "/v1/products/by-sku/{sku}"): MANAGERS | MANAGE_KEY,
    ("PATCH", "/v1/products/by-sku/{sku}"): MANAGERS | MANAGE_KEY,
    ("DELETE", "/v1/products/by-sku/{sku}"): MANAGERS | MANAGE_KEY,
    ("GET", "/v1/products/{product_id}"): ANYONE | KEYS,
    ("PATCH", "/v1/products/{product_id}"): MANAGERS | MANAGE_KEY,
    ("DELETE", "/v1/products/{product_id}"): MANAGERS | MANAGE_KEY,
    ("POST", "/v1/products/batch"): MANAGERS | MANAGE_KEY,
    ("POST", "/v1/products/{product_id}/restore"): MANAGERS | MANAGE_KEY,
    ("GET", "/v1/products/{product_id}/history"): MANAGERS | KEYS,
    ("GET", "/v1/products/{product_id}/prices"): ANYONE | KEYS,
    ("GET", "/v1/changes"): MANAGERS | KEYS,
    ("GET", "/v1/notifications"): MANAGERS,
    ("POST", "/v1/notifications/read-all"): MANAGERS,
    ("POST", "/v1/notifications/{notification_id}/read"): MANAGERS,
    ("GET", "/v1/me/notification-preferences"): MANAGERS,
    ("PUT", "/v1/me/notification-preferences"): MANAGERS,
    ("GET", "/v1/products/{product_id}/views"): MANAGERS | KEYS,
    ("GET", "/v1/analytics/top-products"): MANAGERS | KEYS,
    ("GET", "/v1/analytics/views/export"): MANAGERS | KEYS,
    ("GET", "/v1/analytics/prices/export"): MANAGERS | KEYS,
}


SIGN_IN = [("POST", f"/v1/auth/{name}") for name in ("register", "login", "refresh", "token")]
"""The routes that ignore an `Authorization` header, whatever is in it."""
CALLS = [*POLICY, *(("HEAD", path) for method, path in POLICY if method == "GET")]
"""HEAD goes with GET."""


def nowhere(path: str) -> str:
    """The path with the id of an object that does not exist."""
    return re.sub(r"\{\w+\}", "nothing", path)


def test_every_route_has_a_policy_and_every_policy_a_route() -> None:
    """A new route fails here until the table above has its policy."""
    assert {(route.method, route.template) for route in ROUTES} == POLICY.keys()


def test_a_route_without_a_policy_cannot_be_declared() -> None:

    async def handler(_: Request[None, None]) -> web.StreamResponse:
        return web.Response()

    declaration: dict[str, Any] = {
        "method": "GET", "path": "/", "handler": handler, "operation_id": "", "responses": {},
    }  # fmt: skip
    with pytest.raises(TypeError, match="allow"):
        Route(**declaration)
    with pytest.raises(ValueError, match="nobody"):
        Route(**declaration, allow=frozenset())
    with pytest.raises(ValueError, match="API key"):
        Route(**declaration, allow=PUBLIC, late_authentication=True)
    assert Route(**declaration, allow=PUBLIC).scope is None


@pytest.fixture(scope="module")
async def keys(anonymous: Client, super_admin: Person) -> dict[str, Client]:
    """A client with a key of each scope."""
    made = {}
    for scope in ("read", "manage"):
        key = ok(await super_admin.post("/v1/auth/keys", {"name": scope, "scope": scope}), 201)["key"]
        made[f"{scope} key"] = anonymous.bearing(key)
    return made


@pytest.mark.parametrize("caller", sorted(CALLERS))
@pytest.mark.parametrize("method_path", CALLS, ids=" ".join)
async def test_a_caller_can_call_only_what_the_table_allows(
    anonymous: Client, people: dict[str, Person], keys: dict[str, Client], caller: str, method_path: tuple[str, str]
) -> None:
    """Permission is checked first: the object is unknown, and the body is empty."""
    method, path = method_path
    client: Client = keys.get(caller) or people.get(caller) or anonymous
    if path.endswith("/logout") and caller in people:
        client = await sign_in(anonymous, people[caller].account)  # It must not end the session that the others share.
    reply = await client.request(method, nowhere(path), {} if method in {"POST", "PUT", "PATCH"} else None)
    if caller in POLICY["GET" if method == "HEAD" else method, path]:
        assert reply.status in {200, 204, 404, 415, 422}, reply
    elif method == "HEAD":
        assert reply.status == (401 if caller == "anonymous" else 403)
    elif caller == "anonymous":
        problem(reply, 401, "authentication_required")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    else:
        problem(reply, 403, "forbidden")


@pytest.mark.parametrize("method_path", [call for call in CALLS if call not in SIGN_IN], ids=" ".join)
async def test_no_route_but_sign_in_accepts_an_invalid_token(anonymous: Client, method_path: tuple[str, str]) -> None:
    """Public routes must not treat its sender as anonymous."""
    method, path = method_path
    reply = await anonymous.bearing("nonsense").request(
        method, nowhere(path), {} if method in {"POST", "PUT", "PATCH"} else None
    )
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    if method != "HEAD":
        problem(reply, 401, "invalid_token")


@pytest.mark.parametrize("path", [path for _, path in SIGN_IN])
@pytest.mark.parametrize("header", ["Bearer nonsense", "", "Basic dTpw", "Bearer a, Bearer b", "\u00e9"])
async def test_sign_in_ignores_a_token(anonymous: Client, path: str, header: str) -> None:
    """Whoever has only an expired token must still be able to sign in; the body is checked as ever."""
    reply = await anonymous.post(path, {}, headers={"Authorization": header})
    assert reply.status == (415 if path.endswith("token") else 422)


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_no_route_ignores_a_parameter_that_it_does_not_know(
    anonymous: Client, super_admin: Person, method: str, path: str
) -> None:
    """An integrator who misspells a filter must not get everything."""
    client = anonymous if (method, path) in SIGN_IN else super_admin
    reply = await client.request(method, f"{nowhere(path)}?unheard=of")
    assert reply.status in ({422, 400} if method in {"POST", "PUT", "PATCH"} else {422}), reply
