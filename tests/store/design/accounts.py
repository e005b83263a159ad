"""Rows about accounts and sessions."""

from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from tests.api.client import PASSWORD, ok, sign_in
from tests.store.design.harness import Harness, Work, account, keyed, plain, row
from tests.store.samples import user
from vitrina.clock import now
from vitrina.domain.users import Role, User
from vitrina.errors import LastSuperAdmin
from vitrina.store import keys
from vitrina.store.items import MigrationItem
from vitrina.store.operations import Put
from vitrina.store.users import UserStore

_SECOND: Final = "second@example.com"
_THIRD: Final = "third@example.com"


def _registration(**fields: object) -> dict[str, object]:
    body = account(**fields)
    del body["role"]
    return body


plain("POST /v1/auth/register", lambda h: h.anonymous.post("/v1/auth/register", _registration()), 201)
plain(
    "POST /v1/auth/register, with an idempotency key",
    lambda h: h.anonymous.post("/v1/auth/register", _registration(), headers=keyed("register")),
    201,
)
plain(
    "POST /v1/auth/register, e-mail taken",
    lambda h: h.anonymous.post("/v1/auth/register", _registration(email=h.user.email)),
    409,
)
plain(
    "POST /v1/auth/register, e-mail taken, with an idempotency key",
    lambda h: h.anonymous.post("/v1/auth/register", _registration(email=h.user.email), headers=keyed("taken")),
    409,
)
plain("POST /v1/auth/login", lambda h: h.anonymous.post("/v1/auth/login", h.user.credentials))
plain(
    "POST /v1/auth/login, wrong password",
    lambda h: h.anonymous.post("/v1/auth/login", h.admin.credentials | {"password": "wrong"}),
    401,
)


@row("POST /v1/auth/login, a new password has ended two sessions", 200)
async def _(h: Harness) -> Work:
    person = await h.account()
    password = "green-harbour-1987"
    ok(await h.super_admin.patch(f"/v1/users/{person.id}", {"password": password}))
    return h.anonymous.post("/v1/auth/login", person.credentials | {"password": password})


@row("POST /v1/auth/login, too many attempts", 429)
async def _(h: Harness) -> Work:
    guess = h.super_admin.credentials | {"password": "wrong"}
    for _ in range(h.service.settings.login_limit):
        await h.anonymous.post("/v1/auth/login", guess)
    return h.anonymous.post("/v1/auth/login", guess)


@row("POST /v1/auth/refresh", 200)
async def _(h: Harness) -> Work:
    token = (await h.account()).tokens["refresh_token"]
    return h.anonymous.post("/v1/auth/refresh", {"refresh_token": token})


@row("POST /v1/auth/refresh, a used token", 401)
async def _(h: Harness) -> Work:
    body = {"refresh_token": (await h.account()).tokens["refresh_token"]}
    ok(await h.anonymous.post("/v1/auth/refresh", body))
    return h.anonymous.post("/v1/auth/refresh", body)


def _ask_token(h: Harness, **form: str) -> Work:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return h.anonymous.post("/v1/auth/token", data=urlencode(form).encode(), headers=headers)


plain(
    "POST /v1/auth/token, by a password",
    lambda h: _ask_token(h, grant_type="password", username=h.user.email, password=PASSWORD),
)


@row("POST /v1/auth/token, by a refresh token", 200)
async def _(h: Harness) -> Work:
    return _ask_token(h, grant_type="refresh_token", refresh_token=(await h.account()).tokens["refresh_token"])


@row("POST /v1/auth/logout", 204)
async def _(h: Harness) -> Work:
    return (await h.account()).post("/v1/auth/logout")


@row("GET /v1/auth/sessions", 200)
async def _(h: Harness) -> Work:
    return (await h.account()).get("/v1/auth/sessions")


@row("DELETE /v1/auth/sessions/{session_id}", 204)
async def _(h: Harness) -> Work:
    person = await h.account()
    return person.delete(f"/v1/auth/sessions/{person.tokens['session_id']}")


@row("POST /v1/auth/password, one other session ends", 204)
async def _(h: Harness) -> Work:
    body = {"current_password": PASSWORD, "new_password": "green-teapot-2027"}
    return (await h.account()).post("/v1/auth/password", body)


_KEY: Final = {"name": "Search index", "scope": "read"}


@row("POST /v1/auth/keys", 201)
async def _(h: Harness) -> Work:
    await h.api_key(h.admin)
    return h.admin.post("/v1/auth/keys", _KEY)


plain(
    "POST /v1/auth/keys, with an idempotency key",
    lambda h: h.admin.post("/v1/auth/keys", _KEY, headers=keyed("key")),
    201,
)
plain("GET /v1/auth/keys", lambda h: h.admin.get("/v1/auth/keys"))


@row("DELETE /v1/auth/keys/{key_id}", 204)
async def _(h: Harness) -> Work:
    return h.admin.delete(f"/v1/auth/keys/{(await h.api_key(h.admin))['id']}")


@row("GET /v1/products/deleted, the first request of a day with an API key", 200)
async def _(h: Harness) -> Work:
    return h.anonymous.bearing((await h.api_key(h.admin))["key"]).get("/v1/products/deleted")


@row("GET /v1/products/deleted, a later request of the day with an API key", 200)
async def _(h: Harness) -> Work:
    program = h.anonymous.bearing((await h.api_key(h.admin))["key"])
    ok(await program.get("/v1/me"), 403)
    return program.get("/v1/products/deleted")


plain("GET /v1/me", lambda h: h.user.get("/v1/me"))
plain("POST /v1/users", lambda h: h.super_admin.post("/v1/users", account()), 201)
plain(
    "POST /v1/users, with an idempotency key",
    lambda h: h.super_admin.post("/v1/users", account(), headers=keyed("user")),
    201,
)
plain("GET /v1/users", lambda h: h.super_admin.get("/v1/users"))
plain("GET /v1/users?role=admin", lambda h: h.super_admin.get("/v1/users?role=admin"))
plain("GET /v1/users/{user_id}", lambda h: h.super_admin.get(f"/v1/users/{h.user.id}"))


def _change(what: str, **fields: object) -> None:
    @row(f"PATCH /v1/users/{{user_id}}, {what}", 200)
    async def _(h: Harness) -> Work:
        return h.super_admin.patch(f"/v1/users/{(await h.account()).id}", fields)


_change("the name", name="Uma Other")
_change("the e-mail", email="another-0000@example.com")
_change("the role, two sessions end", role="admin")
_change("without new values", name="Uma User")


@row("DELETE /v1/users/{user_id}, two sessions end", 204)
async def _(h: Harness) -> Work:
    return h.super_admin.delete(f"/v1/users/{(await h.account()).id}")


plain(
    "vitrina users create-super-admin",
    lambda h: h.services.accounts.create_super_admin(email=_SECOND, password=PASSWORD, name="Sol Second"),
)


@row("vitrina users remove-super-admin, one session ends")
async def _(h: Harness) -> Work:
    await sign_in(h.anonymous, {"email": _SECOND})
    return h.services.accounts.remove_super_admin(_SECOND)


@row("vitrina users remove-super-admin, the last one")
async def _(h: Harness) -> Work:
    async def refused() -> None:
        try:
            await h.services.accounts.remove_super_admin(h.super_admin.email)
        except LastSuperAdmin:
            return
        raise AssertionError("the last super_admin is gone")

    return refused()


@row("the first account that a process creates")
async def _(h: Harness) -> Work:
    for number in (1, 4):
        await h.table.put(
            Put(MigrationItem.keyed(keys.migration(number), name="", started_at=now(), seen=0, changed=0))
        )
    return UserStore(h.table).create(user(email="account-first@example.com"), "$" * 60)


@row("a super_admin is demoted, which no route does")
async def _(h: Harness) -> Work:
    third = await h.services.accounts.create_super_admin(email=_THIRD, password=PASSWORD, name="Sol Third")
    return UserStore(h.table).update(third, _with_role(third, Role.ADMIN))


@row("an admin is made a super_admin, which no route does")
async def _(h: Harness) -> Work:
    store = UserStore(h.table)
    third = await store.by_email(_THIRD)
    assert third is not None
    return store.update(third, _with_role(third, Role.SUPER_ADMIN))


def _with_role(of: User, role: Role) -> User:
    return replace(of, role=role, version=of.version + 1, session_epoch=of.session_epoch + 1)
