"""Ten times the writes that one key admits, over HTTP and by two processes, with AWS's throttling and conflicts."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from scripts.benchmarks import virtual_time
from tests.api.client import PASSWORD, Client, Reply, fresh_email, ok, product_body, sign_in
from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.proxy import Behaviour, Clock, simulate
from tests.aws_simulator.throughput import Throughput
from tests.service import make_table, serving, settings_for

SHARE = 0.05
"""Of AWS's limits: 50 write units a second for each partition key, which are 8 changes of a price."""
RATE = 80
SECONDS = 2


@asynccontextmanager
async def processes(dynamodb_local: str) -> AsyncIterator[list[Client]]:
    """An admin, signed in to two processes with the timeouts of production."""
    clock = Clock()
    behaviours: list[Behaviour] = [Concurrency(), Latency(clock, random.Random(1)), Throughput(clock, share=SHARE)]
    async with (
        simulate(dynamodb_local, behaviours) as urls,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as stack,
    ):
        settings = settings_for(urls.dynamodb, read_timeout=1, request_timeout=2)
        await make_table(settings.model_copy(update={"writer_endpoint": dynamodb_local}))
        first, second = [await stack.enter_async_context(serving(settings, patient=None)) for _ in range(2)]
        email = fresh_email()
        await first.services.accounts.create_super_admin(email=email, password=PASSWORD, name="Sol")
        admin = await sign_in(Client(http, first.url), {"email": email})
        yield [admin, Client(http, second.url, token=admin.token)]


async def answered(requests: list[Awaitable[Reply]]) -> Counter[tuple[int, str]]:
    """Return how often each status and code was the answer, and check that those that ask for patience say how long."""
    replies = await asyncio.gather(*requests)
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies if reply.status == 503)
    return Counter((reply.status, reply.json.get("code", "")) for reply in replies)


async def write_a_hot_product(clients: list[Client]) -> None:
    """Send changes; the versions are as many as those that were stored."""
    product = ok(await clients[0].post("/v1/products", product_body(price="1.00")), 201)
    path = f"/v1/products/{product['id']}"
    acknowledged: dict[int, str] = {}

    async def change(number: int) -> Reply:
        await asyncio.sleep(number / RATE)
        price = f"{number + 2}.00"
        reply = await clients[number % 2].patch(path, {"price": price})
        if reply.status == 200:
            assert acknowledged.setdefault(reply.json["version"], price) == price
        return reply

    found = await answered([change(number) for number in range(RATE * SECONDS)])
    assert found.keys() <= {(200, ""), (409, "conflict"), (503, "table_unavailable"), (503, "unavailable")}
    assert found[200, ""] >= 4
    assert found[503, "table_unavailable"] + found[503, "unavailable"] >= RATE * SECONDS / 2
    history = ok(await clients[0].get(f"{path}/history", params={"limit": "100"}))["items"]
    assert [change["version"] for change in history] == list(range(len(history), 0, -1))
    assert acknowledged.items() <= {change["version"]: change["changes"]["price"]["to"] for change in history}.items()


async def create_one_sku(clients: list[Client]) -> None:
    """Send creations; all but one learn that the SKU is taken, not that they met somebody."""
    body = product_body()
    found = await answered([clients[number % 2].post("/v1/products", body) for number in range(40)])
    assert found[201, ""] == 1
    assert found.keys() <= {(201, ""), (409, "sku_taken"), (503, "table_unavailable"), (503, "unavailable")}
    assert found[409, "sku_taken"] >= 10


def test_no_acknowledged_write_of_a_hot_product_is_lost(dynamodb_local: str) -> None:
    """What cannot be done in time is 503 or a conflict."""
    storm(dynamodb_local, write_a_hot_product)


def test_of_many_creations_of_one_sku_one_is_acknowledged(dynamodb_local: str) -> None:
    storm(dynamodb_local, create_one_sku)


def storm(dynamodb_local: str, work: Callable[[list[Client]], Awaitable[None]]) -> None:
    """Do work in slow motion, so that a busy machine is fast enough for the timeouts of production."""

    async def run() -> None:
        async with processes(dynamodb_local) as clients:
            await work(clients)

    virtual_time.run(run(), loop=virtual_time.SlowLoop)
