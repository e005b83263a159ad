"""PATCH and DELETE /v1/users/{id}: changes by a super_admin (R1), and how they end sessions (R14)."""

import asyncio

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, problem, refused, sign_in, sign_up
from tests.service import Service
from vitrina.errors import TableUnavailable

NEW = "green-harbour-1987"


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """An account that no other test uses."""
    return await sign_up(anonymous)


def path_of(person: Person) -> str:
    """The path of an account."""
    return f"/v1/users/{person.id}"


async def is_out(anonymous: Client, person: Person) -> bool:
    """Whether both tokens of a session are rejected."""
    reply = await person.get("/v1/me")
    renewal = await anonymous.post("/v1/auth/refresh", {"refresh_token": person.tokens["refresh_token"]})
    assert (reply.status == 401) == (renewal.status == 401)
    return reply.status == 401


async def test_a_change_returns_the_whole_account(super_admin: Person, somebody: Person) -> None:
    """Only the fields of the request, the version and the time differ."""
    change = {"name": " New\u00a0", "email": fresh_email(), "role": "admin"}
    reply = await super_admin.patch(path_of(somebody), change)
    changed = ok(reply)
    assert changed == somebody.account | change | {"name": "New", "version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > somebody.account["updated_at"]
    assert reply.headers["ETag"] == '"2"'
    assert ok(await super_admin.get(path_of(somebody))) == changed


@pytest.mark.parametrize("body", [{}, {"name": "Somebody"}, {"role": "user", "active": True}, {"name": " Somebody "}])
async def test_the_same_values_change_nothing(super_admin: Person, somebody: Person, body: JsonObject) -> None:
    """The version is the same, and the sessions continue."""
    assert ok(await super_admin.patch(path_of(somebody), body)) == somebody.account
    assert ok(await somebody.get("/v1/me")) == somebody.account


async def test_a_merge_patch_can_have_its_own_media_type(super_admin: Person, somebody: Person) -> None:
    """RFC 7396. Another media type gets 415."""
    headers = {"Content-Type": "application/merge-patch+json"}
    assert ok(await super_admin.patch(path_of(somebody), data=b'{"name":"N"}', headers=headers))["name"] == "N"
    reply = await super_admin.patch(path_of(somebody), data=b"name=N", headers={"Content-Type": "text/plain"})
    problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("field", ["email", "name", "role", "password", "active"])
async def test_no_field_of_an_account_can_be_removed(super_admin: Person, somebody: Person, field: str) -> None:
    """Null is rejected, and so is a value of another type."""
    values: tuple[object, ...] = (None, {}, 7)
    for value in values:
        refused(await super_admin.patch(path_of(somebody), {field: value}), f"/{field}")


@pytest.mark.parametrize("field", ["id", "version", "created_at", "session_epoch", "password_hash", "is_admin"])
async def test_a_read_only_field_of_an_account_is_rejected(super_admin: Person, somebody: Person, field: str) -> None:
    refused(await super_admin.patch(path_of(somebody), {field: 1}), f"/{field}")


@pytest.mark.parametrize("active", ["true", 1, 0, "no"])
async def test_active_is_a_boolean(super_admin: Person, somebody: Person, active: object) -> None:
    refused(await super_admin.patch(path_of(somebody), {"active": active}), "/active")


async def test_no_account_can_be_promoted_to_super_admin(super_admin: Person, somebody: Person) -> None:
    """R1: never over HTTP."""
    refused(await super_admin.patch(path_of(somebody), {"role": "super_admin"}), "/role")


async def test_a_new_role_applies_at_once_and_ends_sessions(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """An earlier token has neither the rights of the new role nor those of the old one."""
    ok(await super_admin.patch(path_of(somebody), {"role": "admin"}))
    assert await is_out(anonymous, somebody)
    promoted = await sign_in(anonymous, somebody.account)
    ok(await promoted.get("/v1/products/deleted"))
    ok(await super_admin.patch(path_of(somebody), {"role": "user"}))
    assert await is_out(anonymous, promoted)
    demoted = await sign_in(anonymous, somebody.account)
    problem(await demoted.get("/v1/products/deleted"), 403, "forbidden")


async def test_a_new_password_ends_sessions(anonymous: Client, super_admin: Person, somebody: Person) -> None:
    ok(await super_admin.patch(path_of(somebody), {"password": NEW}))
    assert await is_out(anonymous, somebody)
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    await sign_in(anonymous, somebody.account, NEW)


@pytest.mark.parametrize("password", ["short-12345", "password1234", "x7#Kq9" * 21 + "abc"])
async def test_a_new_password_obeys_the_rules_of_registration(
    super_admin: Person, somebody: Person, password: str
) -> None:
    refused(await super_admin.patch(path_of(somebody), {"password": password}), "/password")


async def test_a_new_password_must_not_be_the_accounts_name_or_address(super_admin: Person, somebody: Person) -> None:
    """This covers the current name and address and those of the same request."""
    name = "Wilhelmina Murray"
    for body in ({"password": somebody.email}, {"password": "wilhelmina murray", "name": name}):
        refused(await super_admin.patch(path_of(somebody), body), "/password")
    email = fresh_email()
    refused(await super_admin.patch(path_of(somebody), {"password": email, "email": email}), "/password")


async def test_an_inactive_account_loses_its_sessions_and_cannot_sign_in(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """A sign-in gets 401 `invalid_credentials`, as for an unknown account. Activation does not revive old sessions."""
    changed = ok(await super_admin.patch(path_of(somebody), {"active": False}))
    assert (changed["active"], changed["version"]) == (False, 2)
    assert await is_out(anonymous, somebody)
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    ok(await super_admin.patch(path_of(somebody), {"active": True}))
    assert await is_out(anonymous, somebody)
    await sign_in(anonymous, somebody.account)


async def test_a_new_name_ends_no_session(super_admin: Person, somebody: Person) -> None:
    ok(await super_admin.patch(path_of(somebody), {"name": "N", "email": fresh_email()}))
    assert ok(await somebody.get("/v1/me"))["name"] == "N"


async def test_a_change_of_address_claims_the_new_one_and_frees_the_old_one(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """Both happen in one transaction; sign-in requires the new address."""
    new = fresh_email()
    changed = ok(await super_admin.patch(path_of(somebody), {"email": new}))
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    await sign_in(anonymous, changed)
    successor = await sign_up(anonymous, email=somebody.email)
    assert successor.id != somebody.id
    problem(await super_admin.patch(path_of(successor), {"email": new.upper()}), 409, "email_taken")
    assert ok(await super_admin.get(path_of(successor))) == successor.account


async def test_the_case_of_an_address_can_be_changed(anonymous: Client, super_admin: Person, somebody: Person) -> None:
    """The account itself holds the address, so there is no conflict."""
    changed = ok(await super_admin.patch(path_of(somebody), {"email": somebody.email.upper()}))
    assert (changed["email"], changed["version"]) == (somebody.email.upper(), 2)
    await sign_in(anonymous, somebody.account)


async def test_a_deleted_account_disappears_at_once(anonymous: Client, super_admin: Person, somebody: Person) -> None:
    """Its sessions end, it cannot sign in, no listing has it, and its address is free."""
    reply = await super_admin.delete(path_of(somebody))
    assert (reply.status, reply.body) == (204, b"")
    assert await is_out(anonymous, somebody)
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    problem(await super_admin.get(path_of(somebody)), 404, "not_found")
    problem(await super_admin.delete(path_of(somebody)), 404, "not_found")
    assert somebody.id not in {item["id"] for item in ok(await super_admin.get("/v1/users?limit=100"))["items"]}
    successor = await sign_up(anonymous, email=somebody.email)
    assert successor.id != somebody.id
    assert await is_out(anonymous, somebody)


async def test_an_outage_after_the_deletion_of_an_account_does_not_deny_it(
    service: Service, anonymous: Client, super_admin: Person, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sessions and inbox cannot be read without it, and TTL deletes them."""

    async def fail(_: str) -> None:
        raise TableUnavailable

    monkeypatch.setattr(service.services.user_store, "clear", fail)
    assert (await super_admin.delete(path_of(somebody))).status == 204
    assert await is_out(anonymous, somebody)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_stale_version_of_an_account_is_rejected(super_admin: Person, somebody: Person, method: str) -> None:
    """The response is 412 with the current version, even when nothing would change.

    The current version and `*` pass.
    """
    body = {"name": "Somebody"} if method == "PATCH" else None
    for condition in ('"2"', '"0", "7"', 'W/"1"', '"nonsense"', '""', f'"{somebody.id}.1"'):
        reply = await super_admin.request(method, path_of(somebody), body, headers={"If-Match": condition})
        assert problem(reply, 412, "version_mismatch")["current_version"] == 1
    reply = await super_admin.request(method, path_of(somebody), body, headers={"If-Match": "1"})
    problem(reply, 400, "invalid_header")
    ok(await super_admin.patch(path_of(somebody), {"name": "N"}, headers={"If-Match": '"1"'}))
    reply = await super_admin.request(method, path_of(somebody), body, headers={"If-Match": '"1"'})
    assert problem(reply, 412, "version_mismatch")["current_version"] == 2
    assert (await super_admin.request(method, path_of(somebody), body, headers={"If-Match": "*"})).status in {200, 204}


async def test_no_super_admin_can_be_changed_or_deleted(anonymous: Client, super_admin: Person) -> None:
    """The response is 409 `super_admin_protected` for any change and any caller, the account itself included (R1)."""
    before = ok(await super_admin.get("/v1/me"))
    for body in ({"name": "N"}, {"role": "user"}, {"active": False}, {"password": NEW}, {}):
        problem(await super_admin.patch(path_of(super_admin), body), 409, "super_admin_protected")
    problem(await super_admin.delete(path_of(super_admin)), 409, "super_admin_protected")
    assert ok(await super_admin.get("/v1/me")) == before
    await sign_in(anonymous, before)


async def test_a_stale_version_is_checked_before_super_admin_protection(super_admin: Person) -> None:
    """The order is existence, version, rules."""
    version = ok(await super_admin.get("/v1/me"))["version"]
    stale = {"If-Match": f'"{version + 1}"'}
    for reply in (
        await super_admin.patch(path_of(super_admin), {"name": "N"}, headers=stale),
        await super_admin.delete(path_of(super_admin), headers=stale),
    ):
        assert problem(reply, 412, "version_mismatch")["current_version"] == version


async def test_an_admin_cannot_change_or_delete_any_account(
    super_admin: Person, admin: Person, somebody: Person
) -> None:
    """An admin cannot change its own account either (R2)."""
    for person in (admin, somebody, super_admin):
        problem(await admin.patch(path_of(person), {"name": "N"}), 403, "forbidden")
        problem(await admin.delete(path_of(person)), 403, "forbidden")
        problem(await admin.get(path_of(person)), 403, "forbidden")
    assert ok(await admin.get("/v1/me"))["version"] == 1


async def test_concurrent_changes_are_all_applied(anonymous: Client, super_admin: Person) -> None:
    """Without `If-Match` they run one after another, and each adds a version."""
    somebody = await sign_up(anonymous)
    replies = await asyncio.gather(
        *(super_admin.patch(path_of(somebody), {"name": f"Name {number}"}) for number in range(20))
    )
    assert sorted(ok(reply)["version"] for reply in replies) == list(range(2, 22))
    assert ok(await super_admin.get(path_of(somebody)))["version"] == 21


async def test_of_concurrent_claims_of_an_address_one_succeeds(anonymous: Client, super_admin: Person) -> None:
    """New and changed accounts compete for it; the others get 409 `email_taken`."""
    people = [await sign_up(anonymous) for _ in range(5)]
    email = fresh_email()
    account = {"email": email, "password": PASSWORD, "name": "Somebody"}
    replies = await asyncio.gather(
        *(super_admin.patch(path_of(person), {"email": email}) for person in people),
        *(anonymous.post("/v1/auth/register", account) for _ in range(5)),
        *(super_admin.post("/v1/users", account | {"role": "admin"}) for _ in range(5)),
    )
    won = [reply for reply in replies if reply.status in {200, 201}]
    assert len(won) == 1
    assert all(reply in won or problem(reply, 409, "email_taken") for reply in replies)
    holders = [
        item["id"] for item in ok(await super_admin.get("/v1/users?limit=100"))["items"] if item["email"] == email
    ]
    assert holders == [won[0].json["id"]]
