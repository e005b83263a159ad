"""Idempotency-Key on every POST that creates an object (draft-ietf-httpapi-idempotency-key-header)."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from tests.api.client import (
    PASSWORD,
    Client,
    JsonObject,
    Person,
    Reply,
    fresh_email,
    ok,
    problem,
    product_body,
    refused,
    sign_in,
    unique,
)
from tests.service import Service
from vitrina.errors import TableUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A route that creates an object: its client, a body, the unique field, and the error code of a conflict."""

    client: Client
    path: str
    body: JsonObject
    unique_field: str
    taken: str

    async def post(self, key: str | None, **fields: object) -> Reply:
        """Send the request with an idempotency key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.client.post(self.path, self.body | fields, headers=headers)


@pytest.fixture(params=["products", "users", "register"])
def creation(request: pytest.FixtureRequest, anonymous: Client, admin: Person, super_admin: Person) -> Creation:
    """Each route that creates an object, with a unique body."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Somebody"}
    match request.param:
        case "products":
            return Creation(
                client=admin, path="/v1/products", body=product_body(), unique_field="sku", taken="sku_taken"
            )
        case "users":
            account["role"] = "user"
            return Creation(
                client=super_admin, path="/v1/users", body=account, unique_field="email", taken="email_taken"
            )
        case _:
            return Creation(
                client=anonymous, path="/v1/auth/register", body=account, unique_field="email", taken="email_taken"
            )


def other(creation: Creation) -> JsonObject:
    """Return the unique field with an unused value."""
    return {creation.unique_field: unique("X") if creation.unique_field == "sku" else fresh_email()}


def is_replay(reply: Reply) -> bool:
    """Whether a response is marked as a replay."""
    return reply.headers.get("Idempotency-Replayed") == "true"


async def test_a_repeated_request_gets_its_first_response(creation: Creation) -> None:
    """The bytes and headers are the same, and no second object is created."""
    key = unique("key")
    first = await creation.post(key)
    ok(first, 201)
    assert not is_replay(first)
    for _ in range(2):
        again = await creation.post(key)
        assert (again.status, again.body) == (201, first.body)
        assert is_replay(again)
        for name in ("Location", "ETag", "Content-Type", "Cache-Control"):
            assert again.headers.get(name) == first.headers.get(name)
        assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]


async def test_without_a_key_no_response_is_replayed(creation: Creation) -> None:
    """The second request is a conflict."""
    ok(await creation.post(None), 201)
    reply = await creation.post(None)
    problem(reply, 409, creation.taken)
    assert "Idempotency-Replayed" not in reply.headers


async def test_equivalent_bodies_are_the_same_request(creation: Creation) -> None:
    """Order, white space and an explicit default make no difference."""
    key = unique("key")
    first = await creation.post(key)
    fields = ", ".join(f'"{name}" : "{value}"' for name, value in reversed(creation.body.items()))
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    again = await creation.client.post(creation.path, data=f"{{\n{fields} }}".encode(), headers=headers)
    assert (again.status, again.body, is_replay(again)) == (201, first.body, True)


async def test_the_same_key_with_another_body_is_rejected(creation: Creation) -> None:
    """The response is 422 `idempotency_key_reused`; no object is created, and the first response is kept."""
    key = unique("key")
    first = await creation.post(key)
    problem(await creation.post(key, name="Another name"), 422, "idempotency_key_reused")
    changed = other(creation)
    if not creation.path.endswith("register"):
        problem(await creation.post(key, **changed), 422, "idempotency_key_reused")
    ok(await creation.post(unique("key"), **changed), 201)
    assert (await creation.post(key)).body == first.body


async def test_a_key_of_a_stranger_belongs_to_the_e_mail_as_well(anonymous: Client) -> None:
    """Strangers who choose the same key do not get in each other's way; the case of the e-mail makes no difference."""
    path, headers = "/v1/auth/register", {"Idempotency-Key": unique("key")}
    accounts = [{"email": fresh_email(), "password": PASSWORD, "name": "Somebody"} for _ in range(2)]
    made = [ok(await anonymous.post(path, account, headers=headers), 201) for account in accounts]
    assert made[0]["id"] != made[1]["id"]
    assert is_replay(await anonymous.post(path, accounts[0], headers=headers))
    changed = accounts[0] | {"email": accounts[0]["email"].upper()}
    problem(await anonymous.post(path, changed, headers=headers), 422, "idempotency_key_reused")


async def test_a_conflict_is_replayed(creation: Creation, super_admin: Person) -> None:
    """It depends on stored data, so it is replayed for a day even if the other object is deleted meanwhile."""
    made = ok(await creation.post(None), 201)
    key = unique("key")
    first = await creation.post(key)
    problem(first, 409, creation.taken)
    assert not is_replay(first)
    where = "/v1/products" if creation.taken == "sku_taken" else "/v1/users"
    ok(await super_admin.delete(f"{where}/{made['id']}"), 204)
    again = await creation.post(key)
    assert (again.status, again.body, is_replay(again)) == (409, first.body, True)
    assert problem(again, 409, creation.taken) == problem(first, 409, creation.taken)
    ok(await creation.post(unique("key")), 201)


async def test_a_body_of_the_wrong_shape_is_not_replayed(creation: Creation) -> None:
    """After a 422 the client corrects the body and uses the same key."""
    key = unique("key")
    refused(await creation.post(key, name=""), "/name")
    refused(await creation.post(key, colour="red"), "/colour")
    reply = await creation.post(key)
    ok(reply, 201)
    assert not is_replay(reply)


async def test_the_rejection_of_a_password_is_not_replayed(anonymous: Client) -> None:
    """The client corrects the body and uses the same key."""
    headers = {"Idempotency-Key": unique("key")}
    account = {"email": fresh_email(), "password": "password1234", "name": "Somebody"}
    refused(await anonymous.post("/v1/auth/register", account, headers=headers), "/password")
    ok(await anonymous.post("/v1/auth/register", account | {"password": PASSWORD}, headers=headers), 201)


async def test_an_outage_is_not_replayed(creation: Creation, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 503 the client retries with the same key."""
    key = unique("key")

    async def fail(*_: object, **__: object) -> None:
        raise TableUnavailable

    with monkeypatch.context() as outage:
        outage.setattr(type(service.services.table), "commit", fail)
        reply = await creation.post(key)
        problem(reply, 503, "table_unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
    ok(await creation.post(key), 201)


async def test_a_key_belongs_to_one_user(admin: Person, super_admin: Person) -> None:
    """The same key of another user is another key; the same body then conflicts."""
    headers, body = {"Idempotency-Key": unique("key")}, product_body()
    ok(await admin.post("/v1/products", body, headers=headers), 201)
    problem(await super_admin.post("/v1/products", body, headers=headers), 409, "sku_taken")
    assert is_replay(await admin.post("/v1/products", body, headers=headers))


async def test_a_key_belongs_to_one_route(super_admin: Person) -> None:
    headers = {"Idempotency-Key": unique("key")}
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Somebody"}
    for path, body in [
        ("/v1/products", product_body()),
        ("/v1/users", account | {"role": "user"}),
        ("/v1/auth/register", account | {"email": fresh_email()}),
    ]:
        reply = await super_admin.post(path, body, headers=headers)
        ok(reply, 201)
        assert not is_replay(reply)


async def test_a_key_is_kept_for_a_day(creation: Creation, service: Service, anonymous: Client) -> None:
    """It expires after exactly 24 hours, though DynamoDB may delete the item later."""

    async def signed_in_again() -> Creation:
        """Sign in: the access token has expired."""
        if not isinstance(creation.client, Person):
            return creation
        return replace(creation, client=await sign_in(anonymous, creation.client.account))

    key = unique("key")
    with service.clock.hold() as clock:
        ok(await creation.post(key), 201)
        clock.go_on(days=1, seconds=-1)
        creation = await signed_in_again()
        assert is_replay(await creation.post(key))
        clock.go_on(seconds=1)
        reply = await creation.post(key)
        problem(reply, 409, creation.taken)
        assert not is_replay(reply)
        assert is_replay(await creation.post(key))
        clock.go_on(days=1)
        creation = await signed_in_again()
        ok(await creation.post(key, **other(creation)), 201)


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256])
async def test_an_invalid_key_is_rejected(creation: Creation, key: str) -> None:
    """A key has 1 to 255 visible ASCII characters."""
    refused(await creation.post(key), "/Idempotency-Key")
    ok(await creation.post("x" * 200 + unique("!~#")), 201)


async def test_a_response_is_not_replayed_to_another_caller(
    creation: Creation, anonymous: Client, user: Person
) -> None:
    """A caller without permission gets 403 with any key."""
    if creation.client is anonymous:
        return
    key = unique("key")
    ok(await creation.post(key), 201)
    headers = {"Idempotency-Key": key}
    problem(await anonymous.post(creation.path, creation.body, headers=headers), 401, "authentication_required")
    problem(await user.post(creation.path, creation.body, headers=headers), 403, "forbidden")


async def test_concurrent_requests_with_one_key_create_one_object(creation: Creation) -> None:
    """Each of fifty requests gets the same response, or 409 while the first is still running."""
    key = unique("key")
    replies = await asyncio.gather(*(creation.post(key) for _ in range(50)))
    made = [reply for reply in replies if reply.status == 201]
    assert made
    assert len({reply.body for reply in made}) == 1
    assert sum(not is_replay(reply) for reply in made) == 1
    for reply in replies:
        if reply not in made:
            problem(reply, 409, "idempotency_in_progress")
            assert int(reply.headers["Retry-After"]) >= 1
    again = await creation.post(key)
    assert (again.body, is_replay(again)) == (made[0].body, True)
    problem(await creation.post(None), 409, creation.taken)


async def test_concurrent_bodies_with_one_key_create_one_object(creation: Creation) -> None:
    """The others get 422 `idempotency_key_reused`."""
    key = unique("key")
    bodies = [{"name": unique("Name")} for _ in range(10)]
    replies = await asyncio.gather(*(creation.post(key, **fields) for fields in bodies))
    assert [reply.status for reply in replies].count(201) == 1
    for reply in replies:
        assert reply.status == 201 or reply.json["code"] in {"idempotency_key_reused", "idempotency_in_progress"}


async def test_other_routes_ignore_the_key(anonymous: Client, admin: Person) -> None:
    """Routes that create no object replay no response and do not validate the header."""
    headers = {"Idempotency-Key": "a b"}
    ok(await anonymous.post("/v1/auth/login", admin.credentials, headers=headers))
    ok(await anonymous.get("/v1/products", headers=headers))
