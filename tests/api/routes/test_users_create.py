"""POST and GET /v1/users: a super_admin creates and lists accounts (R1)."""

import re

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, pages, problem, refused, sign_in
from vitrina.ids import new_id

UNKNOWN = "01a21bc9-c8b2-7121-9141-5e26d7aefbd1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def account(**fields: object) -> JsonObject:
    """The body that creates an account."""
    return {"email": fresh_email(), "password": PASSWORD, "name": "Somebody", "role": "user"} | fields


@pytest.mark.parametrize("role", ["admin", "user"])
async def test_a_super_admin_creates_accounts_of_both_roles(anonymous: Client, super_admin: Person, role: str) -> None:
    """The response is 201 with the fields of the contract and no others, `Location` and `ETag`.

    The account can sign in at once.
    """
    body = account(role=role, name=" Àlex ")
    reply = await super_admin.post("/v1/users", body)
    made = ok(reply, 201)
    assert TIME.fullmatch(made["created_at"])
    assert made == {
        "id": made["id"],
        "email": body["email"],
        "name": "Àlex",
        "role": role,
        "active": True,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "version": 1,
    }
    assert (reply.headers["Location"], reply.headers["ETag"]) == (f"/v1/users/{made['id']}", '"1"')
    assert ok(await super_admin.get(reply.headers["Location"])) == made
    assert ok(await (await sign_in(anonymous, made)).get("/v1/me")) == made


@pytest.mark.parametrize("role", ["super_admin", "Admin", "", "root", None, 1, ["admin"]])
async def test_no_super_admin_can_be_created_over_http(super_admin: Person, role: object) -> None:
    """Unknown roles are rejected, too (R1)."""
    refused(await super_admin.post("/v1/users", account(role=role)), "/role")


@pytest.mark.parametrize("field", ["email", "password", "name", "role"])
async def test_each_field_is_required(super_admin: Person, field: str) -> None:
    body = account()
    del body[field]
    refused(await super_admin.post("/v1/users", body), f"/{field}")


@pytest.mark.parametrize("field", ["id", "active", "version", "created_at", "password_hash", "session_epoch"])
async def test_a_read_only_field_of_a_new_account_is_rejected(super_admin: Person, field: str) -> None:
    refused(await super_admin.post("/v1/users", account(**{field: "1"})), f"/{field}")


async def test_a_taken_email_is_rejected(super_admin: Person, user: Person, admin: Person) -> None:
    """The comparison ignores case."""
    for person in (user, admin, super_admin):
        problem(await super_admin.post("/v1/users", account(email=person.email.upper())), 409, "email_taken")


async def test_other_roles_get_403(anonymous: Client, user: Person, admin: Person) -> None:
    """The role is checked before the body and before existence. The response does not reveal which accounts exist."""
    for path in (f"/v1/users/{user.id}", f"/v1/users/{new_id()}", "/v1/users/nonsense"):
        for person in (user, admin):
            for method in ("GET", "HEAD", "PATCH", "DELETE"):
                reply = await person.request(method, path, data=b"{" if method == "PATCH" else b"")
                assert reply.status == 403
                assert method == "HEAD" or problem(reply, 403, "forbidden")
            problem(await person.post("/v1/users", data=b"{"), 403, "forbidden")
            problem(await person.get("/v1/users?limit=0"), 403, "forbidden")
        problem(await anonymous.get(path), 401, "authentication_required")
    problem(await anonymous.post("/v1/users", account()), 401, "authentication_required")


async def test_every_account_can_read_itself(user: Person, admin: Person, super_admin: Person) -> None:
    """The path is `/v1/me`; the response has the version."""
    for person in (user, admin, super_admin):
        reply = await person.get("/v1/me")
        assert ok(reply)["id"] == person.id
        assert "password" not in reply.body.decode()
        assert reply.headers["ETag"] == f'"{reply.json["version"]}"'
        same = await person.get("/v1/me", headers={"If-None-Match": reply.headers["ETag"]})
        assert (same.status, same.body) == (304, b"")


@pytest.mark.parametrize("user_id", [UNKNOWN, "nonsense", "%00", "ä", "x" * 2_000])
async def test_an_unknown_account_is_not_found(super_admin: Person, user_id: str) -> None:
    """This holds for every method; the body is validated first."""
    path = f"/v1/users/{user_id}"
    problem(await super_admin.get(path), 404, "not_found")
    problem(await super_admin.delete(path), 404, "not_found")
    problem(await super_admin.patch(path, {"name": "N"}, headers={"If-Match": '"7"'}), 404, "not_found")
    refused(await super_admin.patch(path, {"name": ""}), "/name")


async def test_an_account_supports_if_none_match_and_head(super_admin: Person, user: Person) -> None:
    """A matching version gets 304; HEAD gets only the headers."""
    path = f"/v1/users/{user.id}"
    reply = await super_admin.get(path)
    assert reply.headers["ETag"] == f'"{ok(reply)["version"]}"'
    assert (await super_admin.get(path, headers={"If-None-Match": reply.headers["ETag"]})).status == 304
    ok(await super_admin.get(path, headers={"If-None-Match": '"99"'}))
    head = await super_admin.request("HEAD", path)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", reply.headers["ETag"])


async def test_accounts_are_listed_newest_first(super_admin: Person, user: Person, admin: Person) -> None:
    """All accounts or those of one role; every page but the last is full."""
    made = [ok(await super_admin.post("/v1/users", account(role="admin")), 201) for _ in range(4)]
    everyone = await pages(super_admin, "/v1/users", limit=3)
    assert [len(page) for page in everyone[:-1]] == [3] * (len(everyone) - 1)
    listed = [item for page in everyone for item in page]
    assert listed[:4] == made[::-1]
    assert len({item["id"] for item in listed}) == len(listed)
    assert {user.id, admin.id, super_admin.id} <= {item["id"] for item in listed}
    for role in ("user", "admin", "super_admin"):
        of_role = await pages(super_admin, f"/v1/users?role={role}", limit=3)
        assert [item for page in of_role for item in page] == [item for item in listed if item["role"] == role]


async def test_a_cursor_is_valid_only_for_its_own_query(super_admin: Person) -> None:
    """A cursor of another role or listing gets 400. It stays valid when the account at its position is deleted."""
    made = [ok(await super_admin.post("/v1/users", account(role="admin")), 201) for _ in range(3)]
    first = await super_admin.get("/v1/users?role=admin&limit=2")
    cursor = ok(first)["next_cursor"]
    assert f"cursor={cursor}" in first.headers["Link"]
    for path in ("/v1/users", "/v1/users?role=user", "/v1/products"):
        joined = f"{path}{'&' if '?' in path else '?'}cursor={cursor}"
        problem(await super_admin.get(joined), 400, "invalid_cursor")
    ok(await super_admin.delete(f"/v1/users/{made[1]['id']}"), 204)
    following = ok(await super_admin.get(f"/v1/users?role=admin&limit=1&cursor={cursor}"))["items"]
    assert [item["id"] for item in following] == [made[0]["id"]]


@pytest.mark.parametrize("query", ["role=root", "role=", "role=ADMIN", "limit=0", "limit=101", "limit=ten"])
async def test_an_invalid_parameter_of_the_user_list_is_rejected_by_name(super_admin: Person, query: str) -> None:
    """The value is never clamped, and an unknown parameter is never ignored."""
    refused(await super_admin.get(f"/v1/users?{query}"), f"/{query.partition('=')[0]}")
    refused(await super_admin.get("/v1/users?limit=1&colour=red"), "/colour")
