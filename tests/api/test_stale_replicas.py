"""No decision depends on a replica that lags: it still has deleted sessions, former roles and former SKUs."""

import random
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.api.client import Client, Person, ok, problem, product_body, sign_in, unique
from tests.aws_simulator.proxy import ManualClock, simulate
from tests.aws_simulator.staleness import Staleness
from tests.service import Service, make_table, serving, settings_for


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    """The clock of the replica: while it stands still, no write arrives there."""
    return ManualClock()


@pytest.fixture(scope="module")
def replica(clock: ManualClock) -> Staleness:
    """A replica that answers every read that may be stale."""
    return Staleness(clock, random.Random(1), lagging=1)


@pytest.fixture(scope="module")
async def service(dynamodb_local: str, replica: Staleness) -> AsyncIterator[Service]:
    """The service on the replica, without a cache that would hide it."""
    async with simulate(dynamodb_local, [replica]) as urls:
        settings = settings_for(urls.dynamodb, product_cache_ttl=0)
        await make_table(settings)
        async with serving(settings) as service:
            yield service


async def test_a_deleted_session_is_over_at_once(user: Person, anonymous: Client) -> None:
    """Whether it is ended or deleted; the session that deletes stays."""
    ended, deleted = [await sign_in(anonymous, user.credentials) for _ in range(2)]
    ok(await ended.get("/v1/me"))
    ok(await ended.post("/v1/auth/logout"), 204)
    ok(await user.delete(f"/v1/auth/sessions/{deleted.tokens['session_id']}"), 204)
    for session in (ended, deleted):
        assert (await session.get("/v1/me")).status == 401
        refresh = {"refresh_token": session.tokens["refresh_token"]}
        assert (await anonymous.post("/v1/auth/refresh", refresh)).status == 401
    ok(await user.get("/v1/me"))


async def test_a_demoted_admin_is_one_no_longer(admin: Person, super_admin: Person, anonymous: Client) -> None:
    """Nor are the admin's API keys, of which a deleted one ended before."""
    ok(await admin.post("/v1/products", product_body()), 201)
    deleted, kept = [ok(await admin.post("/v1/auth/keys", {"name": "Till", "scope": "manage"}), 201) for _ in range(2)]
    ok(await admin.delete(f"/v1/auth/keys/{deleted['id']}"), 204)
    assert (await anonymous.bearing(deleted["key"]).get("/v1/products/deleted")).status == 401
    ok(await anonymous.bearing(kept["key"]).get("/v1/products/deleted"))
    ok(await super_admin.patch(f"/v1/users/{admin.id}", {"role": "user"}))
    assert (await admin.post("/v1/products", product_body())).status == 401
    assert (await anonymous.bearing(kept["key"]).get("/v1/products/deleted")).status == 401
    again = await sign_in(anonymous, admin.credentials)
    problem(await again.post("/v1/products", product_body()), 403, "forbidden")


async def test_a_former_holder_keeps_no_sku(super_admin: Person) -> None:
    """It can be taken at once, and neither a restore nor a read by people who signed in finds the former holder."""
    sku = unique("TAKEN")
    renamed, deleted = [ok(await super_admin.post("/v1/products", product_body()), 201) for _ in range(2)]
    for former in (renamed, deleted):
        ok(await super_admin.patch(f"/v1/products/{former['id']}", {"sku": sku}))
        if former is renamed:
            ok(await super_admin.patch(f"/v1/products/{former['id']}", {"sku": unique("OTHER")}))
    ok(await super_admin.delete(f"/v1/products/{deleted['id']}"), 204)
    holder = ok(await super_admin.post("/v1/products", product_body(sku=sku)), 201)
    assert ok(await super_admin.get(f"/v1/products/by-sku/{sku}"))["id"] == holder["id"]
    taken = problem(await super_admin.post(f"/v1/products/{deleted['id']}/restore"), 409, "sku_taken")
    assert holder["id"] in str(taken)


async def test_an_anonymous_reader_never_gets_another_sku_than_the_one_asked_for(
    super_admin: Person, service: Service, replica: Staleness, clock: ManualClock, http: aiohttp.ClientSession
) -> None:
    """From a process that did not write: one of its reads finds the old claim, and the next one the new product."""
    sku = unique("MOVED")
    product = ok(await super_admin.post("/v1/products", product_body(sku=sku)), 201)
    clock.advance(1)
    ok(await super_admin.patch(f"/v1/products/{product['id']}", {"sku": unique("ELSE")}))
    replica.lagging = 0.5
    async with serving(service.settings) as other:
        found = [await Client(http, other.url).get(f"/v1/products/by-sku/{sku}") for _ in range(30)]
    replica.lagging = 1
    assert {reply.status for reply in found} == {200, 404}
    assert {reply.json["sku"] for reply in found if reply.status == 200} == {sku}
