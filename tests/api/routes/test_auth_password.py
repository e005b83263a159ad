"""POST /v1/auth/password: a change of one's own password, open to every signed-in role (R2)."""

import asyncio
from typing import Any

import pytest

from tests.api.client import PASSWORD, Client, Person, ok, problem, refused, sign_in, sign_up
from tests.service import Service
from vitrina.domain.users import Session

NEW = "green-harbour-1987"
CHANGE = {"current_password": PASSWORD, "new_password": NEW}


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """Somebody whom no other test knows."""
    return await sign_up(anonymous)


async def test_the_new_password_counts_and_the_old_one_does_not(anonymous: Client, somebody: Person) -> None:
    """204, and the account has a new version."""
    reply = await somebody.post("/v1/auth/password", CHANGE)
    assert (reply.status, reply.body) == (204, b"")
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    again = await sign_in(anonymous, somebody.account, NEW)
    assert ok(await again.get("/v1/me"))["version"] == 2


async def test_other_sessions_end_and_this_one_goes_on(anonymous: Client, somebody: Person) -> None:
    """With both of its tokens, refreshed or not."""
    others = [await sign_in(anonymous, somebody.account) for _ in range(2)]
    ok(await somebody.post("/v1/auth/password", CHANGE), 204)
    for other in others:
        problem(await other.get("/v1/me"), 401, "invalid_token")
        reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": other.tokens["refresh_token"]})
        problem(reply, 401, "invalid_token")
    (left,) = ok(await somebody.get("/v1/auth/sessions"))["items"]
    assert (left["id"], left["current"]) == (somebody.tokens["session_id"], True)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]})
    ok(await anonymous.bearing(ok(reply)["access_token"]).get("/v1/me"))


async def test_a_wrong_current_password_changes_nothing(anonymous: Client, somebody: Person) -> None:
    """422 `wrong_password`: the token was good, so it is no 401."""
    other = await sign_in(anonymous, somebody.account)
    for wrong in ("wrong-lantern-2026", PASSWORD + "x", NEW):
        reply = await somebody.post("/v1/auth/password", CHANGE | {"current_password": wrong})
        problem(reply, 422, "wrong_password")
    assert ok(await other.get("/v1/me")) == somebody.account
    await sign_in(anonymous, somebody.account)


@pytest.mark.parametrize("password", ["short-12345", "x7#Kq9" * 21 + "abc", "password1234", "", None, 123456789012])
async def test_the_new_password_has_the_rules_of_any(somebody: Person, password: object) -> None:
    """Its length, and not among the commonest."""
    refused(await somebody.post("/v1/auth/password", CHANGE | {"new_password": password}), "/new_password")


async def test_ones_own_address_is_no_password(somebody: Person) -> None:
    """Here as at registration."""
    refused(await somebody.post("/v1/auth/password", CHANGE | {"new_password": somebody.email}), "/new_password")


async def test_each_field_is_required_and_nothing_else_is_taken(somebody: Person) -> None:
    refused(await somebody.post("/v1/auth/password", {}), "/current_password", "/new_password")
    refused(await somebody.post("/v1/auth/password", CHANGE | {"email": "a@example.com"}), "/email")
    refused(await somebody.post("/v1/auth/password", CHANGE | {"user_id": somebody.id}), "/user_id")


async def test_nobody_has_no_password(anonymous: Client) -> None:
    """401, before the body is looked at."""
    problem(await anonymous.post("/v1/auth/password", CHANGE), 401, "authentication_required")
    problem(await anonymous.post("/v1/auth/password", data=b"{"), 401, "authentication_required")


async def test_every_role_may(anonymous: Client, super_admin: Person) -> None:
    """Though an admin may not change its account in any other way."""
    for role in ("admin", "user"):
        account = {"email": f"rotates.{role}@example.com", "password": PASSWORD, "name": "Somebody", "role": role}
        person = await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))
        ok(await person.post("/v1/auth/password", CHANGE), 204)
    ok(await super_admin.post("/v1/auth/password", CHANGE), 204)
    ok(await super_admin.post("/v1/auth/password", {"current_password": NEW, "new_password": PASSWORD}), 204)


async def test_guesses_run_out_for_this_session_alone(anonymous: Client, somebody: Person) -> None:
    """Who has stolen a token can't find the password by it; the owner, who signs in anew, can still change it."""
    guess = CHANGE | {"current_password": "wrong-lantern-2026"}
    for left in range(9, -1, -1):
        reply = await somebody.post("/v1/auth/password", guess)
        problem(reply, 422, "wrong_password")
        assert (reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]) == ("10", str(left))
    for body in (guess, CHANGE):
        reply = await somebody.post("/v1/auth/password", body)
        problem(reply, 429, "rate_limited")
        assert 1 <= int(reply.headers["Retry-After"]) <= 900
    owner = await sign_in(anonymous, somebody.account)
    reply = await owner.post("/v1/auth/password", CHANGE)
    assert (reply.status, reply.headers["RateLimit-Remaining"]) == (204, "10")


async def test_who_signs_in_by_the_old_password_meanwhile_is_out(
    service: Service, anonymous: Client, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the session is written after the others were cleared away."""
    sessions = service.services.authentication._sessions
    create, checked, changed = sessions.create, asyncio.Event(), asyncio.Event()

    async def late(session: Session) -> None:
        checked.set()
        await changed.wait()
        await create(session)

    monkeypatch.setattr(sessions, "create", late)
    signing_in = asyncio.create_task(sign_in(anonymous, somebody.account))
    await checked.wait()
    ok(await somebody.post("/v1/auth/password", CHANGE), 204)
    changed.set()
    problem(await (await signing_in).get("/v1/me"), 401, "invalid_token")


async def test_a_refresh_beside_it_is_no_reuse(
    service: Service, anonymous: Client, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session was carried over between the refresh's read and its write."""
    sessions = service.services.authentication._sessions
    rotate = sessions.rotate

    async def after_the_change(session: Session, **options: Any) -> bool:  # noqa: ANN401
        monkeypatch.setattr(sessions, "rotate", rotate)
        ok(await somebody.post("/v1/auth/password", CHANGE), 204)
        return await rotate(session, **options)

    monkeypatch.setattr(sessions, "rotate", after_the_change)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]})
    ok(await anonymous.bearing(ok(reply)["access_token"]).get("/v1/me"))


async def test_of_two_changes_at_once_one_counts(anonymous: Client) -> None:
    """From two sessions: one goes on and the other has ended, or was told of the conflict."""
    somebody = await sign_up(anonymous)
    other = await sign_in(anonymous, somebody.account)
    passwords = {somebody: "green-harbour-1987", other: "amber-meadow-1988"}
    replies = await asyncio.gather(
        *(person.post("/v1/auth/password", CHANGE | {"new_password": new}) for person, new in passwords.items())
    )
    statuses = sorted(reply.status for reply in replies)
    assert statuses[0] == 204
    assert statuses[1] in {401, 409, 422}
    won = [new for reply, new in zip(replies, passwords.values(), strict=True) if reply.status == 204]
    await sign_in(anonymous, somebody.account, won[0])
    alive = [(await person.get("/v1/me")).status for person in passwords]
    assert sorted(alive) == [200, 401]
