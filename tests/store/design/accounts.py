"""What is measured of accounts and sessions."""

from dataclasses import replace
from typing import Final

from tests.api.client import PASSWORD, ok, sign_in
from tests.store.design.world import Work, World, account, keyed, plain, row
from vitrina.domain.users import Role, User
from vitrina.errors import LastSuperAdmin
from vitrina.store.users import UserStore

_SECOND: Final = "second@example.com"
_THIRD: Final = "third@example.com"


def _registration(**fields: object) -> dict[str, object]:
    body = account(**fields)
    del body["role"]
    return body


plain("POST /v1/auth/register", lambda w: w.anonymous.post("/v1/auth/register", _registration()), 201)
plain(
    "POST /v1/auth/register, with an idempotency key",
    lambda w: w.anonymous.post("/v1/auth/register", _registration(), headers=keyed("register")),
    201,
)
plain(
    "POST /v1/auth/register, e-mail taken",
    lambda w: w.anonymous.post("/v1/auth/register", _registration(email=w.user.email)),
    409,
)
plain(
    "POST /v1/auth/register, e-mail taken, with an idempotency key",
    lambda w: w.anonymous.post("/v1/auth/register", _registration(email=w.user.email), headers=keyed("taken")),
    409,
)
plain("POST /v1/auth/login", lambda w: w.anonymous.post("/v1/auth/login", w.user.credentials))
plain(
    "POST /v1/auth/login, wrong password",
    lambda w: w.anonymous.post("/v1/auth/login", w.admin.credentials | {"password": "wrong"}),
    401,
)


@row("POST /v1/auth/login, too many attempts", 429)
async def _(w: World) -> Work:
    guess = w.super_admin.credentials | {"password": "wrong"}
    for _ in range(w.service.settings.login_limit):
        await w.anonymous.post("/v1/auth/login", guess)
    return w.anonymous.post("/v1/auth/login", guess)


@row("POST /v1/auth/refresh", 200)
async def _(w: World) -> Work:
    token = (await w.account()).tokens["refresh_token"]
    return w.anonymous.post("/v1/auth/refresh", {"refresh_token": token})


@row("POST /v1/auth/refresh, a used token", 401)
async def _(w: World) -> Work:
    body = {"refresh_token": (await w.account()).tokens["refresh_token"]}
    ok(await w.anonymous.post("/v1/auth/refresh", body))
    return w.anonymous.post("/v1/auth/refresh", body)


@row("POST /v1/auth/logout", 204)
async def _(w: World) -> Work:
    return (await w.account()).post("/v1/auth/logout")


@row("GET /v1/auth/sessions", 200)
async def _(w: World) -> Work:
    return (await w.account()).get("/v1/auth/sessions")


@row("DELETE /v1/auth/sessions/{session_id}", 204)
async def _(w: World) -> Work:
    person = await w.account()
    return person.delete(f"/v1/auth/sessions/{person.tokens['session_id']}")


@row("POST /v1/auth/password, one other session ends", 204)
async def _(w: World) -> Work:
    body = {"current_password": PASSWORD, "new_password": "green-teapot-2027"}
    return (await w.account()).post("/v1/auth/password", body)


plain("GET /v1/me", lambda w: w.user.get("/v1/me"))
plain("POST /v1/users", lambda w: w.super_admin.post("/v1/users", account()), 201)
plain(
    "POST /v1/users, with an idempotency key",
    lambda w: w.super_admin.post("/v1/users", account(), headers=keyed("user")),
    201,
)
plain("GET /v1/users", lambda w: w.super_admin.get("/v1/users"))
plain("GET /v1/users?role=admin", lambda w: w.super_admin.get("/v1/users?role=admin"))
plain("GET /v1/users/{user_id}", lambda w: w.super_admin.get(f"/v1/users/{w.user.id}"))


def _change(what: str, **fields: object) -> None:
    @row(f"PATCH /v1/users/{{user_id}}, {what}", 200)
    async def _(w: World) -> Work:
        return w.super_admin.patch(f"/v1/users/{(await w.account()).id}", fields)


_change("the name", name="Uma Other")
_change("the e-mail", email="another-0000@example.com")
_change("the role, two sessions end", role="admin")
_change("without new values", name="Uma User")


@row("DELETE /v1/users/{user_id}, two sessions end", 204)
async def _(w: World) -> Work:
    return w.super_admin.delete(f"/v1/users/{(await w.account()).id}")


plain(
    "vitrina users create-super-admin",
    lambda w: w.services.accounts.create_super_admin(email=_SECOND, password=PASSWORD, name="Sol Second"),
)


@row("vitrina users remove-super-admin, one session ends")
async def _(w: World) -> Work:
    await sign_in(w.anonymous, {"email": _SECOND})
    return w.services.accounts.remove_super_admin(_SECOND)


@row("vitrina users remove-super-admin, the last one")
async def _(w: World) -> Work:
    async def refused() -> None:
        try:
            await w.services.accounts.remove_super_admin(w.super_admin.email)
        except LastSuperAdmin:
            return
        raise AssertionError("the last super_admin is gone")

    return refused()


@row("a super_admin is demoted, which no route does")
async def _(w: World) -> Work:
    user = await w.services.accounts.create_super_admin(email=_THIRD, password=PASSWORD, name="Sol Third")
    return UserStore(w.table).update(user, _with_role(user, Role.ADMIN))


@row("an admin is made a super_admin, which no route does")
async def _(w: World) -> Work:
    store = UserStore(w.table)
    user = await store.by_email(_THIRD)
    assert user is not None
    return store.update(user, _with_role(user, Role.SUPER_ADMIN))


def _with_role(user: User, role: Role) -> User:
    return replace(user, role=role, version=user.version + 1, session_epoch=user.session_epoch + 1)
