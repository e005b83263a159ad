"""Storms of requests about one key, by two processes, where transactions that overlap conflict as on AWS."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import cycle, islice

import aiohttp
import pytest

from tests.api.client import PASSWORD, Client, Person, fresh_email, problem, product_body, sign_in, unique
from tests.api.routes.test_races_products import made, path_of, statuses, written_at_once
from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.proxy import Clock, simulate
from tests.service import Service, drop_table, make_table, serving, settings_for


@pytest.fixture(scope="module")
async def service(engine: str) -> AsyncIterator[Service]:
    """The service over a table on which calls take milliseconds and conflict while they overlap."""
    direct = settings_for(engine)
    await make_table(direct)
    async with (
        simulate(engine, [Concurrency(), Latency(Clock(), random.Random(1))]) as urls,
        serving(direct.model_copy(update={"writer_endpoint": urls.dynamodb})) as service,
    ):
        yield service
    await drop_table(direct)


@pytest.fixture
async def both(service: Service, http: aiohttp.ClientSession, admin: Person) -> AsyncIterator[list[Client]]:
    """Clients of the admin, of two processes over the same table."""
    async with serving(service.settings) as second:
        yield [Client(http, url, token=admin.token) for url in (service.url, second.url)]


async def test_a_rival_for_a_sku_is_told_who_has_it(both: list[Client]) -> None:
    """Never that others keep changing the same data: the claim is decided by the first transaction."""
    sku = unique("Storm")
    replies = await asyncio.gather(
        *(each.post("/v1/products", product_body(sku=sku)) for each in islice(cycle(both), 200))
    )
    assert statuses(replies) == {201: 1, 409: 199}
    winner = next(reply.json for reply in replies if reply.status == 201)
    for reply in replies:
        if reply.status == 409:
            assert problem(reply, 409, "sku_taken")["holder"] == {"id": winner["id"], "href": path_of(winner)}


async def test_a_rival_for_an_email_is_told_that_it_is_taken(both: list[Client]) -> None:
    body = {"email": fresh_email(), "password": PASSWORD, "name": "Racer"}
    replies = await asyncio.gather(
        *(each.bearing(None).post("/v1/auth/register", body) for each in islice(cycle(both), 60))
    )
    assert statuses(replies) == {201: 1, 409: 59}
    for reply in replies:
        if reply.status == 409:
            problem(reply, 409, "email_taken")
    await sign_in(both[0].bearing(None), body)


async def test_writers_of_one_product_succeed_or_are_told_of_the_conflict(admin: Person, both: list[Client]) -> None:
    replies = await written_at_once(admin, await made(admin), list(islice(cycle(both), 50)))
    assert replies.keys() <= {200, 409}
    assert replies[200] >= 25
