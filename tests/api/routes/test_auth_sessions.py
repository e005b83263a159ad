"""GET and DELETE /v1/auth/sessions: the sessions of an account."""

import re

import pytest

from tests.api.client import Client, Person, ok, pages, problem, sign_in, sign_up

UNKNOWN = "01a21bc9-c8b2-7121-9141-5e26d7aefbd1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """An account that no other test uses."""
    return await sign_up(anonymous)


async def test_a_session_has_its_id_start_address_and_agent(anonymous: Client) -> None:
    """Its `id` is the `session_id` of the sign-in; no field holds a secret."""
    somebody = await sign_up(anonymous)
    reply = await anonymous.post("/v1/auth/login", somebody.credentials, headers={"User-Agent": "Firefox/130 ñ"})
    second = ok(reply)
    page = ok(await somebody.get("/v1/auth/sessions"))
    assert page["next_cursor"] is None
    newest, oldest = page["items"]
    assert TIME.fullmatch(newest["created_at"])
    assert newest == {
        "id": second["session_id"],
        "user_agent": newest["user_agent"],
        "created_at": newest["created_at"],
        "refreshed_at": newest["created_at"],
        "expires_at": newest["expires_at"],
        "current": False,
    }
    assert newest["user_agent"].startswith("Firefox/130")
    assert (oldest["id"], oldest["current"]) == (somebody.tokens["session_id"], True)
    assert TIME.fullmatch(newest["expires_at"])


async def test_a_refresh_updates_refreshed_at_of_its_session(anonymous: Client, somebody: Person) -> None:
    """It creates no other session."""
    (before,) = ok(await somebody.get("/v1/auth/sessions"))["items"]
    ok(await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]}))
    (after,) = ok(await somebody.get("/v1/auth/sessions"))["items"]
    assert after["refreshed_at"] >= before["refreshed_at"]
    assert after["created_at"] == before["created_at"]


async def test_ended_sessions_are_not_listed(anonymous: Client, somebody: Person) -> None:
    """A session ends by sign-out, deletion or reuse of a refresh token."""
    others = [await sign_in(anonymous, somebody.account) for _ in range(3)]
    ok(await others[0].post("/v1/auth/logout"), 204)
    ok(await somebody.delete(f"/v1/auth/sessions/{others[1].tokens['session_id']}"), 204)
    await anonymous.post("/v1/auth/refresh", {"refresh_token": others[2].tokens["refresh_token"]})
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": others[2].tokens["refresh_token"]})
    problem(reply, 401, "token_reused")
    (left,) = ok(await somebody.get("/v1/auth/sessions"))["items"]
    assert left["id"] == somebody.tokens["session_id"]


async def test_sessions_are_paged_newest_first(anonymous: Client, somebody: Person) -> None:
    """Every page but the last is full; a cursor is valid only for its own account."""
    people = [somebody, *[await sign_in(anonymous, somebody.account) for _ in range(4)]]
    read = await pages(somebody, "/v1/auth/sessions", limit=2)
    assert [len(page) for page in read] == [2, 2, 1]
    assert [item["id"] for page in read for item in page] == [one.tokens["session_id"] for one in reversed(people)]
    first = await somebody.get("/v1/auth/sessions?limit=2")
    cursor = ok(first)["next_cursor"]
    assert cursor in first.headers["Link"]
    stranger = await sign_up(anonymous)
    problem(await stranger.get(f"/v1/auth/sessions?cursor={cursor}"), 400, "invalid_cursor")
    problem(await somebody.get(f"/v1/auth/sessions?cursor={cursor[:-2]}"), 400, "invalid_cursor")


async def test_a_deleted_session_ends_at_once(anonymous: Client, somebody: Person) -> None:
    """Both of its tokens are rejected; a second deletion gets 404."""
    other = await sign_in(anonymous, somebody.account)
    path = f"/v1/auth/sessions/{other.tokens['session_id']}"
    ok(await somebody.delete(path), 204)
    problem(await other.get("/v1/me"), 401, "invalid_token")
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": other.tokens["refresh_token"]})
    problem(reply, 401, "invalid_token")
    problem(await somebody.delete(path), 404, "not_found")
    assert ok(await somebody.get("/v1/me"))["id"] == somebody.id


async def test_the_current_session_can_be_deleted_by_its_id(somebody: Person) -> None:
    """The effect is that of a sign-out."""
    ok(await somebody.delete(f"/v1/auth/sessions/{somebody.tokens['session_id']}"), 204)
    problem(await somebody.get("/v1/me"), 401, "invalid_token")


async def test_the_session_of_another_account_is_not_found(
    anonymous: Client, somebody: Person, super_admin: Person
) -> None:
    """Every other account gets 404, whatever its role, and the session continues."""
    stranger = await sign_up(anonymous)
    path = f"/v1/auth/sessions/{somebody.tokens['session_id']}"
    for person in (stranger, super_admin):
        problem(await person.delete(path), 404, "not_found")
    assert ok(await somebody.get("/v1/me"))["id"] == somebody.id


@pytest.mark.parametrize("session_id", [UNKNOWN, "nonsense", "%00", "ä", "x" * 2_000, UNKNOWN.upper()])
async def test_a_malformed_session_id_is_not_found(somebody: Person, session_id: str) -> None:
    """The response is 404, never 500."""
    problem(await somebody.delete(f"/v1/auth/sessions/{session_id}"), 404, "not_found")


async def test_an_anonymous_request_for_sessions_gets_401(anonymous: Client) -> None:
    """Authentication is checked first."""
    problem(await anonymous.get("/v1/auth/sessions?limit=0"), 401, "authentication_required")
    problem(await anonymous.delete("/v1/auth/sessions/nonsense"), 401, "authentication_required")
