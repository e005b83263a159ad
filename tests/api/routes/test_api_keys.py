"""/v1/auth/keys: credentials of programs that run unattended."""

import asyncio
from datetime import date, timedelta

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
)
from tests.service import Service
from vitrina.clock import from_rfc3339
from vitrina.ids import new_id
from vitrina.services.accounts.api_keys import PREFIX
from vitrina.store import keys
from vitrina.store.api_keys import ApiKeyStore
from vitrina.store.items import ApiKeyItem
from vitrina.store.operations import Scan, Update

KEYS = "/v1/auth/keys"
READ, MANAGE = {"name": "Search index", "scope": "read"}, {"name": "Till", "scope": "manage"}


@pytest.fixture
async def owner(anonymous: Client, super_admin: Person) -> Person:
    """An admin that no other test uses."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Olga Owner", "role": "admin"}
    return await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))


async def create(owner: Person, body: JsonObject = READ) -> tuple[JsonObject, Client]:
    """Create a key; return the response, and a client that has the key."""
    made: JsonObject = ok(await owner.post(KEYS, body), 201)
    return made, owner.bearing(made["key"])


async def test_a_key_is_shown_once(owner: Person) -> None:
    """The list says everything else of it."""
    reply = await owner.post(KEYS, READ | {"expires_in_days": 7})
    made = ok(reply, 201)
    assert made.keys() == {"id", "name", "scope", "key", "created_at", "expires_at"}
    assert made["key"].startswith(PREFIX)
    assert reply.headers["Location"] == f"{KEYS}/{made['id']}"
    lifetime = from_rfc3339(made["expires_at"]) - from_rfc3339(made["created_at"])
    assert timedelta(days=7) - timedelta(seconds=1) < lifetime <= timedelta(days=7)
    page = ok(await owner.get(KEYS))
    del made["key"]
    assert page == {"items": [made | {"last_used_on": None}], "next_cursor": None}


async def test_an_account_has_so_many_valid_keys(
    owner: Person, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reads an account's keys stays bounded. Those that have expired or were deleted do not count."""
    monkeypatch.setattr("vitrina.store.api_keys.MOST_KEYS", 2)
    (first, _), (_, second) = await create(owner, READ | {"expires_in_days": 1}), await create(owner)
    again = {"Idempotency-Key": "third"}
    refusal = await owner.post(KEYS, READ, headers=again)
    assert problem(refusal, 409, "too_many_api_keys")["detail"].endswith("Delete one first.")
    assert (await owner.post(KEYS, READ, headers=again)).body == refusal.body
    assert len(ok(await owner.get(KEYS))["items"]) == 2
    ok(await owner.delete(f"{KEYS}/{first['id']}"), 204)
    third, _ = await create(owner, READ | {"expires_in_days": 1})
    problem(await owner.post(KEYS, MANAGE), 409, "too_many_api_keys")
    await service.services.table.update(Update(keys.api_key(owner.id, third["id"]), [ApiKeyItem.expires_at.set(1)]))
    await create(owner)
    ok(await second.get("/v1/products/deleted"))


async def test_a_key_acts_for_its_owner_within_its_scope(owner: Person) -> None:
    """It sees what the owner sees, and the history names the owner."""
    (_, reader), (_, manager) = await create(owner), await create(owner, MANAGE)
    made = ok(await manager.post("/v1/products", product_body()), 201)
    path = f"/v1/products/{made['id']}"
    assert made["created_by"] == owner.id
    assert ok(await manager.patch(path, {"price": "5.00"}))["updated_by"] == owner.id
    problem(await reader.patch(path, {"price": "6.00"}), 403, "forbidden")
    ok(await manager.delete(path), 204)
    assert ok(await reader.get(path)) == ok(await owner.get(path))
    history = ok(await reader.get(f"{path}/history"))["items"]
    assert [(entry["action"], entry["by"]) for entry in history] == [
        ("deleted", owner.id), ("updated", owner.id), ("created", owner.id),
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["deactivation", "demotion", "deletion"])
async def test_a_key_ends_with_its_owner(super_admin: Person, owner: Person, end: str) -> None:
    """At the next request and for good, although a new password and another name leave it alone."""
    _, reader = await create(owner)
    account = f"/v1/users/{owner.id}"
    ok(await super_admin.patch(account, {"password": "green-harbour-1987", "name": "Olga Other"}))
    ok(await reader.get("/v1/products/deleted"))
    if end == "deletion":
        ok(await super_admin.delete(account), 204)
    else:
        field, ended, back = ("active", False, True) if end == "deactivation" else ("role", "user", "admin")
        ok(await super_admin.patch(account, {field: ended}))
        problem(await reader.get("/v1/products/deleted"), 401, "invalid_token")
        ok(await super_admin.patch(account, {field: back}))
        again = await sign_in(owner, owner.account, "green-harbour-1987")
        assert ok(await again.get(KEYS))["items"] == []
        ok(await (await create(again))[1].get("/v1/products/deleted"))
    for path in ("/v1/products/deleted", "/v1/products"):
        problem(await reader.get(path), 401, "invalid_token")


async def test_a_key_expires_to_the_second(service: Service, owner: Person) -> None:
    """Its item is still there: TTL deletes late."""
    made, reader = await create(owner, READ | {"expires_in_days": 1})
    expires_at = from_rfc3339(made["expires_at"])
    with service.clock.hold() as clock:
        clock.at = expires_at - timedelta(seconds=1)
        ok(await reader.get("/v1/products/deleted"))
        again = await sign_in(owner, owner.account)
        clock.at = expires_at
        problem(await reader.get("/v1/products/deleted"), 401, "invalid_token")
        assert ok(await again.get(KEYS))["items"] == []
        problem(await again.delete(f"{KEYS}/{made['id']}"), 404, "not_found")


async def test_the_day_of_the_last_use_is_written_once(service: Service, owner: Person) -> None:
    """However many requests use the key at once."""
    made, reader = await create(owner)
    with service.clock.hold() as clock:
        for day in (clock.at.date(), clock.at.date() + timedelta(days=1)):
            replies = await asyncio.gather(*(reader.get("/v1/products/deleted") for _ in range(20)))
            assert {reply.status for reply in replies} == {200}
            (listed,) = ok(await (await sign_in(owner, owner.account)).get(KEYS))["items"]
            assert (listed["id"], date.fromisoformat(listed["last_used_on"])) == (made["id"], day)
            clock.go_on(days=1)


async def test_a_key_reads_while_its_last_use_cannot_be_written(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read does not wait for writes that hang: the next request tells the day as well."""
    _, reader = await create(owner)

    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    with monkeypatch.context() as outage:
        outage.setattr(ApiKeyStore, "mark_used", hang)
        ok(await reader.get("/v1/products/deleted"))
    ok(await reader.get("/v1/products/deleted"))
    assert ok(await owner.get(KEYS))["items"][0]["last_used_on"] is not None


async def test_a_deleted_key_is_refused(owner: Person, admin: Person, super_admin: Person) -> None:
    """Only its owner can delete it."""
    (made, reader), (_, other) = await create(owner), await create(owner)
    path = f"{KEYS}/{made['id']}"
    for stranger in (admin, super_admin):
        problem(await stranger.delete(path), 404, "not_found")
    ok(await owner.delete(path), 204)
    problem(await reader.get("/v1/products/deleted"), 401, "invalid_token")
    ok(await other.get("/v1/products/deleted"))
    for missing in (path, f"{KEYS}/{new_id()}", f"{KEYS}/nonsense"):
        problem(await owner.delete(missing), 404, "not_found")


async def test_anything_but_the_exact_key_is_refused(owner: Person) -> None:
    made, _ = await create(owner)
    key = made["key"]
    _, stranger = await create(owner)
    assert stranger.token is not None
    changed = ["vtk_", key[:-1], f"{key}A", key[:-1] + ("B" if key[-1] == "A" else "A"), key.swapcase(), f"{key}==",
               key[:50] + stranger.token[50:], PREFIX + "A" * 86, PREFIX + "_" * 86, key[4:]]  # fmt: skip
    for wrong in changed:
        problem(await owner.bearing(wrong).get("/v1/products"), 401, "invalid_token")


async def test_keys_are_paged_newest_first(owner: Person, admin: Person) -> None:
    """A cursor is valid only for its own account."""
    ids = [(await create(owner))[0]["id"] for _ in range(5)]
    read = await pages(owner, KEYS, limit=2)
    assert [key["id"] for page in read for key in page] == ids[::-1]
    cursor = ok(await owner.get(f"{KEYS}?limit=2"))["next_cursor"]
    problem(await admin.get(f"{KEYS}?cursor={cursor}"), 400, "invalid_cursor")


async def test_a_replayed_creation_shows_the_same_key(service: Service, owner: Person) -> None:
    """The table has neither the key nor its secret: the replay computes it anew."""
    headers = {"Idempotency-Key": "my-first"}
    first = await owner.post(KEYS, READ, headers=headers)
    again = await owner.post(KEYS, READ, headers=headers)
    assert ok(again, 201) == ok(first, 201)
    assert again.headers["Location"] == first.headers["Location"]
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    problem(await owner.post(KEYS, MANAGE, headers=headers), 422, "idempotency_key_reused")
    assert len(ok(await owner.get(KEYS))["items"]) == 1
    items, _ = await service.services.table.scan(Scan(consistent=True), limit=1_000)
    secret = first.json["key"][len(PREFIX) + 44 :]
    assert not [item for item in items if secret in str(item.serialize())]
    ok(await owner.bearing(again.json["key"]).get("/v1/products/deleted"))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"name": None}, "/name"),
        ({"scope": "write"}, "/scope"),
        ({"scope": ["read", "manage"]}, "/scope"),
        ({"expires_in_days": 0}, "/expires_in_days"),
        ({"expires_in_days": 366}, "/expires_in_days"),
        ({"expires_in_days": "90"}, "/expires_in_days"),
        ({"expires_at": "2027-01-01"}, "/expires_at"),
        ({"key": "vtk_mine"}, "/key"),
    ],
)
async def test_an_invalid_field_of_a_key_is_refused(admin: Person, fields: JsonObject, pointer: str) -> None:
    refused(await admin.post(KEYS, READ | fields), pointer)


async def test_a_key_lasts_90_days_unless_its_owner_says_otherwise(owner: Person) -> None:
    """365 days at most."""
    for body, days in ((READ, 90), (READ | {"expires_in_days": 365}, 365)):
        made, _ = await create(owner, body)
        assert round((from_rfc3339(made["expires_at"]) - from_rfc3339(made["created_at"])) / timedelta(days=1)) == days
