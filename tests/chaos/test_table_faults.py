"""During each kind of table fault every route succeeds or returns 503 in time, writes all or nothing, and recovers."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from scripts.devstack.engines import Engine
from tests.api.client import PASSWORD, Client, Person, Reply, fresh_email, ok, product_body, sign_in, sign_up
from tests.chaos.faults import Fault, FaultyTable, faulty_table
from tests.service import drop_table, make_table, settings_for
from vitrina import aws
from vitrina.api.application import ROUTES
from vitrina.ids import new_id
from vitrina.services.accounts.accounts import Accounts
from vitrina.services.accounts.passwords import Passwords
from vitrina.store import consistency
from vitrina.store.table import Table
from vitrina.store.users import UserStore

IN_TIME = 3.5
"""Seconds: 3, and half of one for a busy machine."""
STREAMED = {(route.method, route.template) for route in ROUTES if not route.deadline}
VIEW_COMMIT = 0.25
"""Seconds for which a response waits for its view."""
Ask = Callable[[], Coroutine[Any, Any, Reply]]


@dataclass(frozen=True, slots=True)
class Shop:
    """The service with production settings, over a table behind a proxy."""

    table: FaultyTable
    anonymous: Client
    super_admin: Person
    admin: Person
    direct: Table


@pytest.fixture(scope="module")
async def shop(engine: str) -> AsyncIterator[Shop]:
    """The service with the timeouts of production; only password hashing is faster."""
    settings = settings_for(engine)
    await make_table(settings)
    variables = {
        "VITRINA_ENVIRONMENT": "development",
        "VITRINA_SIGNING_KEYS": settings.signing_keys.get_secret_value(),
        "VITRINA_SECRET_KEY": settings.secret_key.get_secret_value(),
        "VITRINA_TABLE_NAME": settings.table_name,
        "VITRINA_BCRYPT_COST": "4",
        "VITRINA_LOG_LEVEL": "error",
    }
    async with faulty_table(engine) as (table, url), aws.connect(settings) as clients, aiohttp.ClientSession() as http:
        direct = Table(clients, name=settings.table_name, deadline=30)
        passwords = Passwords(cost=4, workers=1, queue=9, wait=30)
        accounts = Accounts(UserStore(direct), passwords=passwords)
        email = fresh_email()
        await accounts.create_super_admin(email=email, password=PASSWORD, name="Sol")
        api = Engine(
            "api",
            lambda port: [sys.executable, "-m", "vitrina", "api", "--port", str(port)],
            environment=lambda _: variables | {"VITRINA_WRITER_ENDPOINT": url},
            probe="/healthz",
        )
        async with api as address:
            anonymous = Client(http, address)
            super_admin = await sign_in(anonymous, {"email": email})
            made = {"email": fresh_email(), "password": PASSWORD, "name": "Ana", "role": "admin"}
            admin = await sign_in(anonymous, ok(await super_admin.post("/v1/users", made), 201))
            yield Shop(table, anonymous, super_admin, admin, direct)
        passwords.close()
    await drop_table(settings)


async def calls(shop: Shop) -> dict[tuple[str, str], Ask]:
    """Return a request for each route that needs the table, each for existing resources of its own."""
    anonymous, admin, super_admin = shop.anonymous, shop.admin, shop.super_admin
    products = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(9)]
    paths = [f"/v1/products/{product['id']}" for product in products]
    ok(await admin.delete(paths[0]), 204)
    people = [await sign_up(anonymous) for _ in range(7)]
    product, seen, changed, gone = paths[1:5]
    signing_out, changing, ending, refreshing, signing_in, renamed, leaving = people
    today = datetime.now(UTC).date()
    password = {"current_password": PASSWORD, "new_password": "green-harbour-1987"}
    account = {"password": PASSWORD, "name": "Somebody"}
    session = f"/v1/auth/sessions/{ending.tokens['session_id']}"
    token = {"refresh_token": refreshing.tokens["refresh_token"]}
    form = urlencode({"grant_type": "password", "username": signing_in.email, "password": PASSWORD}).encode()
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    preferences = {"email": "each"}
    put, patched, by_sku, removed = (f"/v1/products/by-sku/{product['sku']}" for product in products[5:])
    key = ok(await admin.post("/v1/auth/keys", {"name": "shop", "scope": "read"}), 201)
    upsert = {"op": "upsert", "sku": "BATCH", "name": "Lamp", "brand": "Alder", "price": "9.99"}
    replacement = {"name": "Lamp", "brand": "Alder", "price": "9.99"}
    return {
        ("POST", "/v1/auth/register"): lambda: anonymous.post("/v1/auth/register", account | {"email": fresh_email()}),
        ("POST", "/v1/auth/login"): lambda: anonymous.post("/v1/auth/login", signing_in.credentials),
        ("POST", "/v1/auth/refresh"): lambda: anonymous.post("/v1/auth/refresh", token),
        ("POST", "/v1/auth/token"): lambda: anonymous.post("/v1/auth/token", data=form, headers=form_type),
        ("POST", "/v1/auth/logout"): lambda: signing_out.post("/v1/auth/logout"),
        ("GET", "/v1/auth/sessions"): lambda: admin.get("/v1/auth/sessions"),
        ("DELETE", "/v1/auth/sessions/{session_id}"): lambda: ending.delete(session),
        ("POST", "/v1/auth/password"): lambda: changing.post("/v1/auth/password", password),
        ("POST", "/v1/auth/keys"): lambda: admin.post("/v1/auth/keys", {"name": "other shop", "scope": "manage"}),
        ("GET", "/v1/auth/keys"): lambda: admin.get("/v1/auth/keys"),
        ("DELETE", "/v1/auth/keys/{key_id}"): lambda: admin.delete(f"/v1/auth/keys/{key['id']}"),
        ("GET", "/v1/me"): lambda: admin.get("/v1/me"),
        ("POST", "/v1/users"): lambda: super_admin.post(
            "/v1/users", account | {"email": fresh_email(), "role": "user"}
        ),
        ("GET", "/v1/users"): lambda: super_admin.get("/v1/users"),
        ("GET", "/v1/users/{user_id}"): lambda: super_admin.get(f"/v1/users/{renamed.id}"),
        ("PATCH", "/v1/users/{user_id}"): lambda: super_admin.patch(f"/v1/users/{renamed.id}", {"name": "Other"}),
        ("DELETE", "/v1/users/{user_id}"): lambda: super_admin.delete(f"/v1/users/{leaving.id}"),
        ("POST", "/v1/products"): lambda: admin.post("/v1/products", product_body()),
        ("GET", "/v1/products"): lambda: anonymous.get("/v1/products"),
        ("GET", "/v1/products/deleted"): lambda: admin.get("/v1/products/deleted"),
        ("POST", "/v1/products/batch"): lambda: admin.post("/v1/products/batch", {"operations": [upsert]}),
        ("GET", "/v1/products/by-sku/{sku}"): lambda: anonymous.get(by_sku),
        ("PUT", "/v1/products/by-sku/{sku}"): lambda: admin.request("PUT", put, replacement),
        ("PATCH", "/v1/products/by-sku/{sku}"): lambda: admin.patch(patched, {"price": "9.99"}),
        ("DELETE", "/v1/products/by-sku/{sku}"): lambda: admin.delete(removed),
        ("GET", "/v1/products/{product_id}"): lambda: anonymous.get(seen),
        ("PATCH", "/v1/products/{product_id}"): lambda: admin.patch(changed, {"sku": f"{products[3]['sku']}-new"}),
        ("DELETE", "/v1/products/{product_id}"): lambda: admin.delete(gone),
        ("POST", "/v1/products/{product_id}/restore"): lambda: admin.post(f"{paths[0]}/restore"),
        ("GET", "/v1/products/{product_id}/history"): lambda: admin.get(f"{product}/history"),
        ("GET", "/v1/products/{product_id}/prices"): lambda: anonymous.get(f"{product}/prices"),
        ("GET", "/v1/changes"): lambda: admin.get("/v1/changes"),
        ("GET", "/v1/notifications"): lambda: admin.get("/v1/notifications"),
        ("POST", "/v1/notifications/{notification_id}/read"): lambda: admin.post(f"/v1/notifications/{new_id()}/read"),
        ("POST", "/v1/notifications/read-all"): lambda: admin.post("/v1/notifications/read-all"),
        ("GET", "/v1/me/notification-preferences"): lambda: admin.get("/v1/me/notification-preferences"),
        ("PUT", "/v1/me/notification-preferences"): lambda: admin.request(
            "PUT", "/v1/me/notification-preferences", preferences
        ),
        ("GET", "/v1/products/{product_id}/views"): lambda: admin.get(f"{product}/views"),
        ("GET", "/v1/analytics/top-products"): lambda: admin.get("/v1/analytics/top-products"),
        ("GET", "/v1/analytics/views/export"): lambda: admin.get(f"/v1/analytics/views/export?from={today}"),
        ("GET", "/v1/analytics/prices/export"): lambda: admin.get("/v1/analytics/prices/export"),
    }


async def timed(ask: Ask) -> tuple[Reply, float]:
    """Send a request, and measure how long the response takes."""
    began = time.monotonic()
    return await ask(), time.monotonic() - began


async def ask_all(shop: Shop, fault: Fault) -> dict[tuple[str, str], Reply]:
    """Request every route at once while the table fails; no response may be late or a 500."""
    asked = await calls(shop)
    assert asked.keys() == {(route.method, route.template) for route in ROUTES}
    shop.table.fault = fault
    try:
        answers = await asyncio.gather(*map(timed, asked.values()))
        ready = await timed(lambda: shop.anonymous.get("/readyz"))
    finally:
        shop.table.fault = None
    for route, (reply, seconds) in zip([*asked, "readyz"], [*answers, ready], strict=True):
        # An export that has started takes as long as the table does.
        assert seconds < IN_TIME or (reply.status == 200 and route in STREAMED), (route, reply, seconds)
        assert reply.status != 500, (route, reply)
        if reply.status == 503:
            assert int(reply.headers["Retry-After"]) >= 1 or route == "readyz", (route, reply)
    return {route: reply for route, (reply, _) in zip(asked, answers, strict=True)}


async def assert_well(shop: Shop) -> None:
    """Assert that the service recovers within five seconds, and that no write was partial."""
    async with asyncio.timeout(5):
        while (await shop.anonymous.get("/readyz")).status != 200:  # noqa: ASYNC110 - the service sends no event
            await asyncio.sleep(0.05)
        ok(await shop.admin.post("/v1/products", product_body()), 201)
    assert [finding async for finding in consistency.check(shop.direct, repair=False)] == []


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BROKEN, Fault.RESET, Fault.HANGING, Fault.LOST])
async def test_a_failing_table_is_503_in_time(shop: Shop, fault: Fault) -> None:
    """On every route, whether or not the table has carried out the request."""
    replies = await ask_all(shop, fault)
    assert {route: reply.status for route, reply in replies.items() if reply.status != 503} == {}
    await assert_well(shop)


async def test_a_slow_table_is_waited_for_as_long_as_there_is_time(shop: Shop) -> None:
    """A route that makes one table request succeeds; one that makes too many returns 503 before its deadline."""
    replies = await ask_all(shop, Fault.SLOW)
    assert {reply.status for reply in replies.values()} <= {200, 201, 204, 404, 503}
    assert replies["GET", "/v1/products/{product_id}"].status == 200
    assert replies["GET", "/v1/me"].status == 200
    await assert_well(shop)


async def test_a_retried_table_request_is_applied_once(shop: Shop) -> None:
    """When a response is lost, the retry applies nothing twice and the route responds as usual."""
    replies = await ask_all(shop, Fault.LOST_ONCE)
    assert replies.pop(("POST", "/v1/notifications/{notification_id}/read")).status in {
        404,
        503,
    }  # No notification exists.
    # Each retry waits, so a route with many table requests may exceed its deadline.
    assert {route: reply for route, reply in replies.items() if reply.status not in {200, 201, 204, 503}} == {}
    assert replies["POST", "/v1/products"].status == 201
    assert replies["GET", "/v1/products"].status == 200
    await assert_well(shop)


async def test_retries_add_little_load_during_a_long_outage(shop: Shop) -> None:
    """The table gets at most 1.2 requests for each one that the service would make without retries."""
    before = shop.table.calls
    shop.table.fault = Fault.THROTTLED
    try:
        for _ in range(25):
            replies = await asyncio.gather(*(shop.admin.get("/v1/me") for _ in range(40)))
            assert {reply.status for reply in replies} == {503}
    finally:
        shop.table.fault = None
    assert 1000 <= shop.table.calls - before <= 1200
    await assert_well(shop)


async def test_cached_responses_are_served_at_once_while_the_table_hangs(shop: Shop) -> None:
    """A product and a page: the first reader waits 0.3 s at most, and for its view as always; nobody gets 503."""
    product = ok(await shop.admin.post("/v1/products", product_body()), 201)
    paths = [f"/v1/products/{product['id']}", "/v1/products?limit=1"]
    for path in paths:
        ok(await shop.anonymous.get(path))
    stale: set[str] = set()
    slow = 0
    shop.table.fault = Fault.HANGING
    try:
        ends = time.monotonic() + 2.0
        while time.monotonic() < ends:
            for path in paths:
                reply, seconds = await timed(partial(shop.anonymous.get, path))
                ok(reply)
                slow += seconds > VIEW_COMMIT + 0.2
                if "Age" in reply.headers:
                    stale.add(path)
    finally:
        shop.table.fault = None
    assert stale == set(paths)
    assert slow <= len(paths)
    async with asyncio.timeout(2.5):
        for path in paths:
            while "Age" in (await shop.anonymous.get(path)).headers:  # noqa: ASYNC110 - the service sends no event
                await asyncio.sleep(0.05)
    await assert_well(shop)
