"""PATCH and DELETE /v1/users/{id}: what a super_admin does with accounts (R1), and how that ends sessions (R14)."""

import asyncio

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, problem, refused, sign_in, sign_up

NEW = "green-harbour-1987"


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """Somebody whom no other test knows."""
    return await sign_up(anonymous)


def path_of(person: Person) -> str:
    """Return where an account is."""
    return f"/v1/users/{person.id}"


async def is_out(anonymous: Client, person: Person) -> bool:
    """Say whether both tokens of a session are good for nothing."""
    reply = await person.get("/v1/me")
    renewal = await anonymous.post("/v1/auth/refresh", {"refresh_token": person.tokens["refresh_token"]})
    assert (reply.status == 401) == (renewal.status == 401)
    return reply.status == 401


async def test_a_change_answers_the_whole_account(super_admin: Person, somebody: Person) -> None:
    """The fields that were sent, a new version and time, and nothing else."""
    change = {"name": " New\u00a0", "email": fresh_email(), "role": "admin"}
    reply = await super_admin.patch(path_of(somebody), change)
    changed = ok(reply)
    assert changed == somebody.account | change | {"name": "New", "version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > somebody.account["updated_at"]
    assert reply.headers["ETag"] == '"2"'
    assert ok(await super_admin.get(path_of(somebody))) == changed


@pytest.mark.parametrize("body", [{}, {"name": "Somebody"}, {"role": "user", "active": True}, {"name": " Somebody "}])
async def test_the_same_values_change_nothing(super_admin: Person, somebody: Person, body: JsonObject) -> None:
    """The same version, and its sessions go on."""
    assert ok(await super_admin.patch(path_of(somebody), body)) == somebody.account
    assert ok(await somebody.get("/v1/me")) == somebody.account


async def test_a_merge_patch_may_say_that_it_is_one(super_admin: Person, somebody: Person) -> None:
    """RFC 7396; another media type is 415."""
    headers = {"Content-Type": "application/merge-patch+json"}
    assert ok(await super_admin.patch(path_of(somebody), data=b'{"name":"N"}', headers=headers))["name"] == "N"
    reply = await super_admin.patch(path_of(somebody), data=b"name=N", headers={"Content-Type": "text/plain"})
    problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("field", ["email", "name", "role", "password", "active"])
async def test_nothing_of_an_account_can_be_removed(super_admin: Person, somebody: Person, field: str) -> None:
    """Null is refused, and so is another type."""
    values: tuple[object, ...] = (None, {}, 7)
    for value in values:
        refused(await super_admin.patch(path_of(somebody), {field: value}), f"/{field}")


@pytest.mark.parametrize("field", ["id", "version", "created_at", "session_epoch", "password_hash", "is_admin"])
async def test_what_nobody_may_set_is_refused(super_admin: Person, somebody: Person, field: str) -> None:
    refused(await super_admin.patch(path_of(somebody), {field: 1}), f"/{field}")


@pytest.mark.parametrize("active", ["true", 1, 0, "no"])
async def test_active_is_a_boolean(super_admin: Person, somebody: Person, active: object) -> None:
    refused(await super_admin.patch(path_of(somebody), {"active": active}), "/active")


async def test_nobody_is_promoted_to_super_admin(super_admin: Person, somebody: Person) -> None:
    """R1: never over HTTP."""
    refused(await super_admin.patch(path_of(somebody), {"role": "super_admin"}), "/role")


async def test_a_new_role_counts_at_once_and_ends_sessions(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """A token of before does not have the new role's rights, nor keep the old one's."""
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
async def test_a_new_password_has_the_rules_of_any(super_admin: Person, somebody: Person, password: str) -> None:
    refused(await super_admin.patch(path_of(somebody), {"password": password}), "/password")


async def test_a_new_password_is_not_the_accounts_own_words(super_admin: Person, somebody: Person) -> None:
    """Those that it had, or those that come with it."""
    name = "Wilhelmina Murray"
    for body in ({"password": somebody.email}, {"password": "wilhelmina murray", "name": name}):
        refused(await super_admin.patch(path_of(somebody), body), "/password")
    email = fresh_email()
    refused(await super_admin.patch(path_of(somebody), {"password": email, "email": email}), "/password")


async def test_who_is_not_active_is_out_at_once_and_cannot_sign_in(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """401 `invalid_credentials`, as if there were no such account; made active, it starts anew."""
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


async def test_a_changed_address_is_taken_and_the_old_one_free_at_once(
    anonymous: Client, super_admin: Person, somebody: Person
) -> None:
    """In one transaction; sign-in follows."""
    new = fresh_email()
    changed = ok(await super_admin.patch(path_of(somebody), {"email": new}))
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    await sign_in(anonymous, changed)
    successor = await sign_up(anonymous, email=somebody.email)
    assert successor.id != somebody.id
    problem(await super_admin.patch(path_of(successor), {"email": new.upper()}), 409, "email_taken")
    assert ok(await super_admin.get(path_of(successor))) == successor.account


async def test_the_case_of_an_address_can_be_changed(anonymous: Client, super_admin: Person, somebody: Person) -> None:
    """It is the account's own, so it is no clash."""
    changed = ok(await super_admin.patch(path_of(somebody), {"email": somebody.email.upper()}))
    assert (changed["email"], changed["version"]) == (somebody.email.upper(), 2)
    await sign_in(anonymous, somebody.account)


async def test_a_deleted_account_is_gone_at_once(anonymous: Client, super_admin: Person, somebody: Person) -> None:
    """Its sessions, its sign-in and its place in the list; its address is free."""
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


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_stale_version_is_refused(super_admin: Person, somebody: Person, method: str) -> None:
    """412 with the current one, even when nothing would change; the current one or `*` passes."""
    body = {"name": "Somebody"} if method == "PATCH" else None
    for condition in ('"2"', '"0", "7"', 'W/"1"', "nonsense"):
        reply = await super_admin.request(method, path_of(somebody), body, headers={"If-Match": condition})
        assert problem(reply, 412, "version_mismatch")["current_version"] == 1
    ok(await super_admin.patch(path_of(somebody), {"name": "N"}, headers={"If-Match": '"1"'}))
    reply = await super_admin.request(method, path_of(somebody), body, headers={"If-Match": '"1"'})
    assert problem(reply, 412, "version_mismatch")["current_version"] == 2
    assert (await super_admin.request(method, path_of(somebody), body, headers={"If-Match": "*"})).status in {200, 204}


async def test_no_super_admin_can_be_changed_or_deleted(anonymous: Client, super_admin: Person) -> None:
    """409 `super_admin_protected`, even by itself, and whatever the change would be (R1)."""
    before = ok(await super_admin.get("/v1/me"))
    for body in ({"name": "N"}, {"role": "user"}, {"active": False}, {"password": NEW}, {}):
        problem(await super_admin.patch(path_of(super_admin), body), 409, "super_admin_protected")
    problem(await super_admin.delete(path_of(super_admin)), 409, "super_admin_protected")
    assert ok(await super_admin.get("/v1/me")) == before
    await sign_in(anonymous, before)


async def test_a_stale_version_comes_before_that_rule(super_admin: Person) -> None:
    """Existence, version, rules: in that order."""
    version = ok(await super_admin.get("/v1/me"))["version"]
    stale = {"If-Match": f'"{version + 1}"'}
    for reply in (
        await super_admin.patch(path_of(super_admin), {"name": "N"}, headers=stale),
        await super_admin.delete(path_of(super_admin), headers=stale),
    ):
        assert problem(reply, 412, "version_mismatch")["current_version"] == version


async def test_an_admin_cannot_touch_any_account(super_admin: Person, admin: Person, somebody: Person) -> None:
    """Not even its own (R2)."""
    for person in (admin, somebody, super_admin):
        problem(await admin.patch(path_of(person), {"name": "N"}), 403, "forbidden")
        problem(await admin.delete(path_of(person)), 403, "forbidden")
        problem(await admin.get(path_of(person)), 403, "forbidden")
    assert ok(await admin.get("/v1/me"))["version"] == 1


async def test_changes_at_once_are_all_counted(anonymous: Client, super_admin: Person) -> None:
    """Without `If-Match` they are made one after the other; the version counts them."""
    somebody = await sign_up(anonymous)
    replies = await asyncio.gather(
        *(super_admin.patch(path_of(somebody), {"name": f"Name {number}"}) for number in range(20))
    )
    assert sorted(ok(reply)["version"] for reply in replies) == list(range(2, 22))
    assert ok(await super_admin.get(path_of(somebody)))["version"] == 21


async def test_one_address_goes_to_one_account(anonymous: Client, super_admin: Person) -> None:
    """Claimed by new accounts and changed ones at once: one gets it, the others 409 `email_taken`."""
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
