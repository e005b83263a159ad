"""POST and GET /v1/users: accounts that a super_admin makes and lists (R1)."""

import re

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, pages, problem, refused, sign_in
from vitrina.ids import new_id

UNKNOWN = "01a21bc9-c8b2-7121-9141-5e26d7aefbd1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def account(**fields: object) -> JsonObject:
    """Return an account to make."""
    return {"email": fresh_email(), "password": PASSWORD, "name": "Somebody", "role": "user"} | fields


@pytest.mark.parametrize("role", ["admin", "user"])
async def test_a_super_admin_makes_accounts_of_both_roles(anonymous: Client, super_admin: Person, role: str) -> None:
    """201 with every field of the contract and none besides, `Location` and `ETag`; it can sign in at once."""
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
async def test_no_super_admin_is_made_over_http(super_admin: Person, role: object) -> None:
    """Nor any role that there is not (R1)."""
    refused(await super_admin.post("/v1/users", account(role=role)), "/role")


@pytest.mark.parametrize("field", ["email", "password", "name", "role"])
async def test_each_field_is_required(super_admin: Person, field: str) -> None:
    body = account()
    del body[field]
    refused(await super_admin.post("/v1/users", body), f"/{field}")


@pytest.mark.parametrize("field", ["id", "active", "version", "created_at", "password_hash", "session_epoch"])
async def test_what_nobody_may_set_is_refused(super_admin: Person, field: str) -> None:
    refused(await super_admin.post("/v1/users", account(**{field: "1"})), f"/{field}")


async def test_an_email_that_is_taken_is_refused(super_admin: Person, user: Person, admin: Person) -> None:
    """Whosever it is and in whatever case."""
    for person in (user, admin, super_admin):
        problem(await super_admin.post("/v1/users", account(email=person.email.upper())), 409, "email_taken")


async def test_only_a_super_admin_may(anonymous: Client, user: Person, admin: Person) -> None:
    """403 before the body is looked at, and before the account: it tells nothing of who exists."""
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


async def test_one_reads_ones_own_account(user: Person, admin: Person, super_admin: Person) -> None:
    """At `/v1/me`, with its version."""
    for person in (user, admin, super_admin):
        reply = await person.get("/v1/me")
        assert ok(reply)["id"] == person.id
        assert "password" not in reply.body.decode()
        assert reply.headers["ETag"] == f'"{reply.json["version"]}"'
        same = await person.get("/v1/me", headers={"If-None-Match": reply.headers["ETag"]})
        assert (same.status, same.body) == (304, b"")


@pytest.mark.parametrize("user_id", [UNKNOWN, "nonsense", "%00", "ä", "x" * 2_000])
async def test_an_account_that_is_not_there_is_not_found(super_admin: Person, user_id: str) -> None:
    """For every method; a body is judged first."""
    path = f"/v1/users/{user_id}"
    problem(await super_admin.get(path), 404, "not_found")
    problem(await super_admin.delete(path), 404, "not_found")
    problem(await super_admin.patch(path, {"name": "N"}, headers={"If-Match": '"7"'}), 404, "not_found")
    refused(await super_admin.patch(path, {"name": ""}), "/name")


async def test_an_account_answers_to_conditions_and_head(super_admin: Person, user: Person) -> None:
    """304 where the reader has the version, and the headers alone for HEAD."""
    path = f"/v1/users/{user.id}"
    reply = await super_admin.get(path)
    assert reply.headers["ETag"] == f'"{ok(reply)["version"]}"'
    assert (await super_admin.get(path, headers={"If-None-Match": reply.headers["ETag"]})).status == 304
    ok(await super_admin.get(path, headers={"If-None-Match": '"99"'}))
    head = await super_admin.request("HEAD", path)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", reply.headers["ETag"])


async def test_accounts_are_listed_newest_first(super_admin: Person, user: Person, admin: Person) -> None:
    """All of them, or those of a role, in full pages."""
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


async def test_a_page_follows_its_own_query_alone(super_admin: Person) -> None:
    """A cursor of another role or listing is 400; it survives the deletion of the account it points at."""
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
async def test_a_bad_parameter_is_refused_by_name(super_admin: Person, query: str) -> None:
    """Never clamped; one that is unknown is ignored."""
    refused(await super_admin.get(f"/v1/users?{query}"), f"/{query.partition('=')[0]}")
    ok(await super_admin.get("/v1/users?limit=1&colour=red"))
