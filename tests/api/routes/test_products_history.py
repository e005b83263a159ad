"""GET /v1/products/{id}/history and /v1/products/{id}/prices."""

import asyncio
from datetime import datetime, timedelta

import pytest

from tests.api.client import (
    PASSWORD,
    Client,
    JsonObject,
    Person,
    fresh_email,
    ok,
    pages,
    problem,
    product_body,
    refused,
    sign_in,
    unique,
)
from tests.api.views import count
from tests.service import Service


async def made(admin: Person, **fields: object) -> JsonObject:
    """A live product."""
    product: JsonObject = ok(await admin.post("/v1/products", product_body(**fields)), 201)
    return product


@pytest.fixture
async def traveller(super_admin: Person, anonymous: Client) -> Person:
    """An admin of one test, who signs in at other times: a sign-in removes the sessions that have ended by then."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Tim Traveller", "role": "admin"}
    return await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))


async def test_history_has_each_change_field_by_field(admin: Person, super_admin: Person) -> None:
    """R10: author, time, version, old and new value, newest first; values have the format of responses."""
    product = await made(admin, price=10, brand="Alder", description=None)
    path = f"/v1/products/{product['id']}"
    changed = ok(await super_admin.patch(path, {"price": "12.5", "description": "Warm.", "name": "Oak Lamp"}))
    cleared = ok(await admin.patch(path, {"description": None, "currency": "EUR"}))
    ok(await admin.delete(path), 204)
    deleted = ok(await admin.get(path))
    restored = ok(await admin.post(f"{path}/restore", {"sku": unique("Back")}))
    page = ok(await admin.get(f"{path}/history"))
    assert page.keys() == {"items", "next_cursor"}
    assert page["items"] == [
        {
            "version": 5,
            "action": "restored",
            "at": restored["updated_at"],
            "by": admin.id,
            "changes": {"sku": {"from": deleted["sku"], "to": restored["sku"]}},
        },
        {
            "version": 4,
            "action": "deleted",
            "at": deleted["deleted_at"],
            "by": admin.id,
            "changes": {"sku": {"from": product["sku"], "to": deleted["sku"]}},
        },
        {
            "version": 3,
            "action": "updated",
            "at": cleared["updated_at"],
            "by": admin.id,
            "changes": {"description": {"from": "Warm.", "to": None}, "currency": {"from": "USD", "to": "EUR"}},
        },
        {
            "version": 2,
            "action": "updated",
            "at": changed["updated_at"],
            "by": super_admin.id,
            "changes": {"description": {"from": None, "to": "Warm."}, "price": {"from": "10.00", "to": "12.50"}},
        },
        {
            "version": 1,
            "action": "created",
            "at": product["created_at"],
            "by": admin.id,
            "changes": {
                "sku": {"from": None, "to": product["sku"]},
                "name": {"from": None, "to": "Oak Lamp"},
                "brand": {"from": None, "to": "Alder"},
                "price": {"from": None, "to": "10.00"},
                "currency": {"from": None, "to": "USD"},
            },
        },
    ]


async def test_history_is_paged_and_outlives_the_product(admin: Person) -> None:
    """Every page but the last is full, for a deleted product as well."""
    product = await made(admin)
    path = f"/v1/products/{product['id']}"
    for number in range(5):
        ok(await admin.patch(path, {"name": f"Name {number}"}))
    ok(await admin.delete(path), 204)
    read = await pages(admin, f"{path}/history", limit=3)
    assert [[entry["version"] for entry in page] for page in read] == [[7, 6, 5], [4, 3, 2], [1]]


async def test_history_is_hidden_from_the_public(anonymous: Client, user: Person, admin: Person) -> None:
    """401 and 403 are the same for existing and unknown products."""
    product = await made(admin)
    for product_id in (product["id"], "nothing"):
        problem(await anonymous.get(f"/v1/products/{product_id}/history"), 401, "authentication_required")
        problem(await user.get(f"/v1/products/{product_id}/history"), 403, "forbidden")


async def test_a_price_ends_when_the_next_begins(anonymous: Client, user: Person, admin: Person) -> None:
    """The newest price is first and its `to` is null; a change of other fields adds no entry."""
    product = await made(admin, price="10", currency="USD")
    path = f"/v1/products/{product['id']}"
    second = ok(await admin.patch(path, {"price": "8"}))
    ok(await admin.patch(path, {"name": "Other"}))
    third = ok(await admin.patch(path, {"currency": "JPY"}))
    for client in (anonymous, user, admin):
        page = ok(await client.get(f"{path}/prices"))
        assert page == {
            "items": [
                {"price": "8", "currency": "JPY", "from": third["updated_at"], "to": None},
                {"price": "8.00", "currency": "USD", "from": second["updated_at"], "to": third["updated_at"]},
                {"price": "10.00", "currency": "USD", "from": product["created_at"], "to": second["updated_at"]},
            ],
            "next_cursor": None,
            "lowest_last_30_days": "8",
            "lowest_30_days_before_reduction": None,
        }


async def test_pages_of_prices_have_no_gap(admin: Person, anonymous: Client) -> None:
    """The first price of a page ends when the last price of the page before began."""
    product = await made(admin, price="100")
    path = f"/v1/products/{product['id']}"
    for price in range(99, 93, -1):
        ok(await admin.patch(path, {"price": price}))
    for limit in (1, 2, 3, 7, 100):
        read = await pages(anonymous, f"{path}/prices", limit=limit)
        assert all(len(page) == limit for page in read[:-1])
        assert read[-1]
        prices = [price for page in read for price in page]
        assert [price["price"] for price in prices] == [f"{price}.00" for price in range(94, 101)]
        assert [price["to"] for price in prices] == [None, *(price["from"] for price in prices[:-1])]


async def test_prices_are_cached_for_anonymous_readers(admin: Person, anonymous: Client, service: Service) -> None:
    """As lists are: a page is read once a second, has a tag, and what the process itself writes is read anew."""
    product = await made(admin, price="5")
    path = f"/v1/products/{product['id']}/prices"
    service.services.product_cache.pages._settled_at = 0.0
    before = await count(anonymous, 'vitrina_dynamodb_calls_total{operation="Query"}')
    replies = await asyncio.gather(*(anonymous.get(path) for _ in range(20)))
    assert len({reply.body for reply in replies}) == 1
    assert await count(anonymous, 'vitrina_dynamodb_calls_total{operation="Query"}') == before + 2
    tag = {"If-None-Match": replies[0].headers["ETag"]}
    assert (await anonymous.get(path, headers=tag)).status == 304
    assert (await admin.get(path, headers=tag)).status == 304
    problem(await anonymous.get(path, headers={"If-None-Match": "1"}), 400, "invalid_header")
    ok(await admin.patch(f"/v1/products/{product['id']}", {"price": "4"}))
    assert [price["price"] for price in ok(await anonymous.get(path, headers=tag))["items"]] == ["4.00", "5.00"]


async def test_every_page_of_prices_has_the_lowest_prices(admin: Person, anonymous: Client) -> None:
    """They are members beside `items`."""
    product = await made(admin, price="5")
    path = f"/v1/products/{product['id']}"
    ok(await admin.patch(path, {"price": "9"}))
    ok(await admin.patch(path, {"price": "6"}))
    first = ok(await anonymous.get(f"{path}/prices?limit=1"))
    second = ok(await anonymous.get(f"{path}/prices?limit=1&cursor={first['next_cursor']}"))
    for page in (first, second):
        assert (page["lowest_last_30_days"], page["lowest_30_days_before_reduction"]) == ("5.00", "5.00")


async def test_the_lowest_price_of_30_days_covers_all_prices_in_force(
    traveller: Person, anonymous: Client, service: Service
) -> None:
    """A price set before the 30 days counts if it was still in force within them, and not if it had ended."""
    product = await made(traveller, price="1")
    path = f"/v1/products/{product['id']}"
    began = datetime.fromisoformat(product["created_at"])
    with service.clock.hold() as clock:
        for day, price, lowest in ((10, "3", "1.00"), (20, "5", "1.00"), (39, "4", "1.00"), (41, "6", "3.00")):
            clock.at = began + timedelta(days=day)
            admin = await sign_in(anonymous, traveller.account)
            ok(await admin.patch(path, {"price": price}))
            assert ok(await anonymous.get(f"{path}/prices"))["lowest_last_30_days"] == lowest
        for days, lowest in ((49.99, "3.00"), (50.01, "4.00"), (70.9, "4.00"), (71.1, "6.00"), (400, "6.00")):
            clock.at = began + timedelta(days=days)
            service.services.product_cache.pages.clear()
            assert ok(await anonymous.get(f"{path}/prices"))["lowest_last_30_days"] == lowest, days


async def test_a_reduction_has_the_lowest_price_of_the_30_days_before_it(
    traveller: Person, anonymous: Client, service: Service
) -> None:
    """As long as the reduced price is in force, also when the product was deleted and restored meanwhile."""
    product = await made(traveller, price="7")
    path = f"/v1/products/{product['id']}"
    began = datetime.fromisoformat(product["created_at"])
    with service.clock.hold() as clock:
        admin = traveller
        for day, price, lowest in ((10, "12", None), (60, "10", "12.00"), (80, "8", "10.00"), (90, "9", None)):
            clock.at = began + timedelta(days=day)
            admin = await sign_in(anonymous, traveller.account)
            ok(await admin.patch(path, {"price": price}))
            assert ok(await anonymous.get(f"{path}/prices"))["lowest_30_days_before_reduction"] == lowest
        ok(await admin.patch(path, {"price": "6"}))
        clock.at = began + timedelta(days=500)
        admin = await sign_in(anonymous, traveller.account)
        ok(await admin.delete(path), 204)
        ok(await admin.post(f"{path}/restore"))
        page = ok(await anonymous.get(f"{path}/prices"))
        assert (page["lowest_last_30_days"], page["lowest_30_days_before_reduction"]) == ("6.00", "8.00")


async def test_only_managers_see_the_prices_of_a_deleted_product(
    anonymous: Client, user: Person, admin: Person
) -> None:
    """The public gets 404."""
    product = await made(admin)
    path = f"/v1/products/{product['id']}"
    ok(await admin.delete(path), 204)
    for client in (anonymous, user):
        problem(await client.get(f"{path}/prices"), 404, "not_found")
    assert len(ok(await admin.get(f"{path}/prices"))["items"]) == 1


async def test_a_restore_adds_no_price(admin: Person) -> None:
    """The price has not changed."""
    product = await made(admin)
    path = f"/v1/products/{product['id']}"
    ok(await admin.delete(path), 204)
    ok(await admin.post(f"{path}/restore"))
    assert len(ok(await admin.get(f"{path}/prices"))["items"]) == 1


@pytest.mark.parametrize("part", ["history", "prices"])
async def test_a_cursor_is_valid_only_for_its_product(admin: Person, part: str) -> None:
    """It is also valid only for its listing."""
    one, other = await made(admin), await made(admin)
    for product in (one, other):
        ok(await admin.patch(f"/v1/products/{product['id']}", {"price": "1"}))
    cursor = ok(await admin.get(f"/v1/products/{one['id']}/{part}?limit=1"))["next_cursor"]
    foreign = "prices" if part == "history" else "history"
    for path in (f"/v1/products/{other['id']}/{part}", f"/v1/products/{one['id']}/{foreign}", "/v1/products"):
        problem(await admin.get(path, params={"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize("part", ["history", "prices"])
async def test_an_invalid_limit_is_checked_before_existence(admin: Person, part: str) -> None:
    """The order is 422, then 404."""
    refused(await admin.get(f"/v1/products/nothing/{part}?limit=0"), "/limit")
