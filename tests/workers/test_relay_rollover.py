"""Shards that close and have children while relays are killed, on DynamoDB Local with a clock 600 times too fast.

A shard lives for four hours, which pass in 24 seconds. An idle connection lives for a twentieth of a second, so many
requests fail.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import pytest

from scripts.devstack import dynamodb_local
from scripts.devstack.engines import Engine
from tests.engines import ON_CI
from tests.store.samples import create, edit
from tests.workers.fakes import until
from vitrina.aws import connect, connect_queue, connect_streams
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.domain.products import Product
from vitrina.errors import Conflict, SkuTaken, TableUnavailable
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure
from vitrina.store.definition import create_table_arguments
from vitrina.store.leases import LeaseStore
from vitrina.store.products import ProductStore
from vitrina.store.stream import find_stream
from vitrina.store.table import Table

pytestmark = pytest.mark.slow

T = TypeVar("T")

HURRY = "+0s x600"
SECONDS = 36.0
PRODUCTS = 12
KILLS = 3


def hurried_engine() -> Engine:
    """DynamoDB Local with a fast clock, or at normal speed without faketime, which CI does not allow.

    The `faketime` command would become the engine's parent process, so only its library is used.
    """
    faketime = shutil.which("faketime")
    assert faketime or not ON_CI, "faketime is not installed (Debian: apt install faketime)"
    hurry: dict[str, str] = {}
    if faketime:
        library = subprocess.check_output([faketime, "-f", HURRY, "printenv", "LD_PRELOAD"], text=True).strip()
        hurry = {"LD_PRELOAD": library, "FAKETIME": HURRY}
    return Engine(
        "DynamoDB Local in a hurry", lambda port: dynamodb_local.command(port=port), environment=lambda _: hurry
    )


def settings_of(engine: str, queue: str, name: str) -> Settings:
    return Settings(
        environment="development",
        table_name=name,
        writer_endpoint=engine,
        queue_name=name,
        queue_endpoint=queue,
        relay_lease_time=2.0,
        signing_keys="test:signing-key-of-the-tests-0123456789",
        secret_key="secret-key-of-the-tests-0123456789",
        connect_timeout=10,
        read_timeout=20,
    )


@asynccontextmanager
async def relay_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a relay as a separate process."""
    chosen = {
        "ENVIRONMENT": "development",
        "TABLE_NAME": settings.table_name,
        "WRITER_ENDPOINT": str(settings.writer_endpoint),
        "QUEUE_NAME": settings.queue_name,
        "QUEUE_ENDPOINT": str(settings.queue_endpoint),
        "RELAY_LEASE_TIME": str(settings.relay_lease_time),
        "CONNECT_TIMEOUT": "10",
        "READ_TIMEOUT": "20",
        "LOG_LEVEL": "warning",
    }
    environment = os.environ | {f"VITRINA_{name}": value for name, value in chosen.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "vitrina", "relay", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def keep_relaying(settings: Settings, kills: asyncio.Queue[float], over: asyncio.Event) -> list[int | None]:
    """Run one relay process after the other, killing each; the last one runs until `over` is set."""
    codes: list[int | None] = []
    while not over.is_set():
        async with relay_process(settings) as process:
            killing = asyncio.create_task(kills.get())
            ending = asyncio.create_task(over.wait())
            await asyncio.wait((killing, ending), return_when=asyncio.FIRST_COMPLETED)
            if not over.is_set():
                process.kill()
                await process.wait()
            killing.cancel()
            ending.cancel()
        codes.append(process.returncode)
    return codes


async def made(store: ProductStore) -> Product:
    """Create a product; one whose response was lost is ignored."""
    while True:
        with suppress(SkuTaken, TableUnavailable):
            return await create(store)


async def write(table: Table) -> dict[str, int]:
    """Change prices for a while; returns each product's number of versions."""
    store = ProductStore(table)
    products = [await made(store) for _ in range(PRODUCTS)]
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    while loop.time() < end:
        number = random.randrange(PRODUCTS)
        before = products[number]
        with suppress(Conflict, TableUnavailable):
            products[number] = await edit(store, before, price=before.price + 1)
            await asyncio.sleep(0.05)
            continue
        products[number] = await now(store, before.id)
    return {product.id: (await now(store, product.id)).version for product in products}


async def eventually(read: Callable[[], Awaitable[T]]) -> T:
    """Retry a read until the table responds."""
    while True:
        with suppress(TableUnavailable):
            return await read()


async def now(store: ProductStore, product_id: str) -> Product:
    """Return the current version of a product."""
    product = await eventually(partial(store.get, product_id, consistent=True))
    assert product is not None
    return product


async def receive(queue: NoticeQueue, seen: dict[str, list[int]]) -> None:
    """Receive messages until cancelled, and record their versions."""
    while True:
        received = await queue.main.receive(wait=1)
        for message in received:
            event = message.event
            assert isinstance(event, PriceChanged)
            seen[event.product_id].append(event.version)
        await queue.main.delete(received)


@pytest.mark.requires_dynamodb_local("shards that split, under relays that are killed")
async def test_every_change_is_queued_once_and_in_order(dynamodb_local: str, ministack: str, table_name: str) -> None:
    """With two relays, three kills and a rollover; the order is that of each product's versions."""
    assert dynamodb_local
    async with hurried_engine() as engine:
        settings = settings_of(engine, ministack, table_name)
        async with connect(settings) as clients, connect_queue(settings) as sqs, connect_streams(settings) as streams:
            await clients.writer.create_table(**create_table_arguments(settings))
            await ensure(sqs, settings)
            table = Table(clients, name=table_name, deadline=30)
            seen: dict[str, list[int]] = defaultdict(list)
            kills: asyncio.Queue[float] = asyncio.Queue()
            over = asyncio.Event()
            relays = [asyncio.create_task(keep_relaying(settings, kills, over)) for _ in range(2)]
            receiving = asyncio.create_task(receive(NoticeQueue(sqs, name=table_name), seen))
            killer = asyncio.create_task(kill_at_times(kills))
            written = await write(table)
            expected = {product: list(range(2, version + 1)) for product, version in written.items() if version > 1}
            try:
                with suppress(TimeoutError):  # the assertions below report what is missing
                    await until(lambda: {product: sorted(each) for product, each in seen.items()} == expected)
            finally:
                over.set()
                killer.cancel()
                codes = await asyncio.gather(*relays)
                receiving.cancel()
            assert seen == expected
            assert sorted(code for each in codes for code in each if code is not None) == [-9] * KILLS + [0, 0]
            stream = await eventually(partial(find_stream, clients, streams, table_name))
            assert stream is not None
            leases = await eventually(LeaseStore(table, stream_label=stream.label).all)
            assert {lease.owner for lease in leases.values()} == {None}, "a graceful stop gives leases back"
            if shutil.which("faketime"):
                assert sum(lease.has_ended for lease in leases.values()) >= 1, "no shard rolled over"


async def kill_at_times(kills: asyncio.Queue[float]) -> None:
    """Kill relays at random times while prices change."""
    for _ in range(KILLS):
        pause = random.uniform(0.6, 1.2) * SECONDS / (KILLS + 1)
        await asyncio.sleep(pause)
        await kills.put(pause)
