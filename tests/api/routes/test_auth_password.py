"""POST /v1/auth/password: every signed-in role can change its own password (R2)."""

import asyncio
import threading
from typing import Any

import pytest

from tests.api.client import PASSWORD, Client, Person, ok, problem, refused, sign_in, sign_up
from tests.service import Service
from vitrina.domain.users import Session

NEW = "green-harbour-1987"
CHANGE = {"current_password": PASSWORD, "new_password": NEW}


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """An account that no other test uses."""
    return await sign_up(anonymous)


async def test_the_new_password_replaces_the_old_one(anonymous: Client, somebody: Person) -> None:
    """The response is 204, and the account has a new version."""
    reply = await somebody.post("/v1/auth/password", CHANGE)
    assert (reply.status, reply.body) == (204, b"")
    problem(await anonymous.post("/v1/auth/login", somebody.credentials), 401, "invalid_credentials")
    again = await sign_in(anonymous, somebody.account, NEW)
    assert ok(await again.get("/v1/me"))["version"] == 2


async def test_other_sessions_end_and_the_current_one_continues(anonymous: Client, somebody: Person) -> None:
    """Both tokens of the current session stay valid, before and after a refresh."""
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
    """The response is 422 `wrong_password`, not 401, because the access token is valid."""
    other = await sign_in(anonymous, somebody.account)
    for wrong in ("wrong-lantern-2026", PASSWORD + "x", NEW):
        reply = await somebody.post("/v1/auth/password", CHANGE | {"current_password": wrong})
        problem(reply, 422, "wrong_password")
    assert ok(await other.get("/v1/me")) == somebody.account
    await sign_in(anonymous, somebody.account)


@pytest.mark.parametrize("password", ["short-12345", "x7#Kq9" * 21 + "abc", "password1234", "", None, 123456789012])
async def test_the_new_password_obeys_the_rules_of_registration(somebody: Person, password: object) -> None:
    """It has a minimum length and must not be a common password."""
    refused(await somebody.post("/v1/auth/password", CHANGE | {"new_password": password}), "/new_password")


async def test_the_new_password_must_not_be_the_own_address(somebody: Person) -> None:
    refused(await somebody.post("/v1/auth/password", CHANGE | {"new_password": somebody.email}), "/new_password")


async def test_each_field_is_required_and_unknown_fields_are_rejected(somebody: Person) -> None:
    refused(await somebody.post("/v1/auth/password", {}), "/current_password", "/new_password")
    refused(await somebody.post("/v1/auth/password", CHANGE | {"email": "a@example.com"}), "/email")
    refused(await somebody.post("/v1/auth/password", CHANGE | {"user_id": somebody.id}), "/user_id")


async def test_an_anonymous_request_gets_401(anonymous: Client) -> None:
    """The body is not validated first."""
    problem(await anonymous.post("/v1/auth/password", CHANGE), 401, "authentication_required")
    problem(await anonymous.post("/v1/auth/password", data=b"{"), 401, "authentication_required")


async def test_every_role_can_change_its_password(anonymous: Client, super_admin: Person) -> None:
    """An admin can change nothing else of its account."""
    for role in ("admin", "user"):
        account = {"email": f"rotates.{role}@example.com", "password": PASSWORD, "name": "Somebody", "role": role}
        person = await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))
        ok(await person.post("/v1/auth/password", CHANGE), 204)
    ok(await super_admin.post("/v1/auth/password", CHANGE), 204)
    ok(await super_admin.post("/v1/auth/password", {"current_password": NEW, "new_password": PASSWORD}), 204)


async def test_wrong_guesses_are_limited_per_session(anonymous: Client, somebody: Person) -> None:
    """The thief of a token cannot guess the password with it; the owner can sign in again and still change it."""
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


async def test_a_concurrent_sign_in_with_the_old_password_has_no_session(
    service: Service, anonymous: Client, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is rejected although it is written after the other sessions were deleted."""
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


async def test_a_concurrent_refresh_is_not_taken_for_token_reuse(
    service: Service, anonymous: Client, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change rewrites the session between the refresh's read and its write."""
    sessions = service.services.authentication._sessions
    rotate = sessions.rotate

    async def after_the_change(session: Session, **options: Any) -> bool:  # noqa: ANN401
        monkeypatch.setattr(sessions, "rotate", rotate)
        ok(await somebody.post("/v1/auth/password", CHANGE), 204)
        return await rotate(session, **options)

    monkeypatch.setattr(sessions, "rotate", after_the_change)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]})
    ok(await anonymous.bearing(ok(reply)["access_token"]).get("/v1/me"))


async def test_of_two_concurrent_changes_one_succeeds(anonymous: Client) -> None:
    """They come from two sessions; the session of the change that fails has ended."""
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


async def test_a_crowd_of_sign_ins_does_not_delay_a_change_of_the_password(
    service: Service, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks of the account's password wait in one queue; the change of a session has another one."""
    passwords = service.services.passwords
    matches, let_go = passwords.matches, threading.Event()
    owners: list[str] = []

    async def watched(password: str, password_hash: str | None, *, owner: str = "") -> bool:
        owners.append(owner)
        return await matches(password, password_hash, owner=owner)

    monkeypatch.setattr(passwords, "matches", watched)
    email = somebody.account["email"]
    crowd = [asyncio.create_task(passwords._checks.run(let_go.wait, owner=email)) for _ in range(4)]
    try:
        ok(await somebody.post("/v1/auth/password", CHANGE), 204)
    finally:
        let_go.set()
        await asyncio.gather(*crowd)
    assert email not in owners
