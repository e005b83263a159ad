"""Concurrent requests about accounts, over HTTP on DynamoDB Local."""

import asyncio

import bcrypt
import pytest

from tests.api.client import PASSWORD, Client, Person, fresh_email, ok, problem, sign_in, sign_up
from tests.api.routes.test_races_products import RIVALS, ROUNDS


async def test_of_concurrent_registrations_of_one_email_one_succeeds(
    anonymous: Client, super_admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users register and a super_admin creates accounts, in mixed case.

    The others get 409, and no password hash is computed for them.
    """
    hashpw, hashed = bcrypt.hashpw, 0

    def count(password: bytes, salt: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", count)
    for number in range(ROUNDS):
        email = fresh_email()
        body = {"email": email, "password": PASSWORD, "name": "Racer"}
        replies = await asyncio.gather(
            *(
                anonymous.post("/v1/auth/register", body | {"email": (email, email.upper())[n % 2]})
                for n in range(RIVALS // 2)
            ),
            *(super_admin.post("/v1/users", body | {"role": "user"}) for _ in range(RIVALS // 2)),
        )
        for reply in replies:
            if reply.status != 201:
                problem(reply, 409, "email_taken")
        winner = next(reply.json for reply in replies if reply.status == 201)
        assert [reply.status for reply in replies].count(201) == 1
        assert hashed == number + 1
        assert (await sign_in(anonymous, winner)).id == winner["id"]


async def test_of_concurrent_changes_to_one_email_one_succeeds(anonymous: Client, super_admin: Person) -> None:
    """Several accounts are changed to the same address; a sign-in with it leads to the account that got it."""
    people = [await sign_up(anonymous) for _ in range(5)]
    email = fresh_email()
    replies = await asyncio.gather(
        *(super_admin.patch(f"/v1/users/{person.id}", {"email": email}) for person in people)
    )
    winners = [reply.json for reply in replies if reply.status == 200]
    assert len(winners) == 1
    for reply in replies:
        if reply.status != 200:
            problem(reply, 409, "email_taken")
    assert ok(await (await sign_in(anonymous, winners[0])).get("/v1/me"))["id"] == winners[0]["id"]


async def test_an_account_that_is_changed_during_its_deletion_is_deleted(
    anonymous: Client, super_admin: Person
) -> None:
    """In the end its address is free and its sessions have ended, in whichever order the requests run."""
    person = await sign_up(anonymous)
    path = f"/v1/users/{person.id}"
    deletion, *changes = await asyncio.gather(
        super_admin.delete(path), *(super_admin.patch(path, {"name": f"N{n}"}) for n in range(5))
    )
    assert deletion.status in {204, 409}
    assert {reply.status for reply in changes} <= {200, 404, 409}
    if deletion.status == 409:
        ok(await super_admin.delete(path), 204)
    problem(await super_admin.get(path), 404, "not_found")
    problem(await person.get("/v1/me"), 401, "invalid_token")
    await sign_up(anonymous, email=person.email)


async def test_a_sign_in_during_a_deactivation_gives_no_valid_session(anonymous: Client, super_admin: Person) -> None:
    """Either the sign-in is rejected, or its token is, as soon as the deactivation has its response."""
    for _ in range(5):
        person = await sign_up(anonymous)
        signing_in = [asyncio.create_task(anonymous.post("/v1/auth/login", person.credentials)) for _ in range(5)]
        ok(await super_admin.patch(f"/v1/users/{person.id}", {"active": False}))
        for reply in await asyncio.gather(*signing_in):
            if reply.status == 200:
                problem(await anonymous.bearing(reply.json["access_token"]).get("/v1/me"), 401, "invalid_token")
            else:
                problem(reply, 401, "invalid_credentials")
