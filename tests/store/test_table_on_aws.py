"""The table under what AWS does and no local engine (tests/aws_simulator)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.credentials import RefreshableCredentials

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.identity import Identity
from tests.aws_simulator.proxy import Behaviour, Clock, Forward, ManualClock, Request, Response, simulate
from tests.aws_simulator.throughput import Bucket, Throughput
from vitrina.aws import Clients, connect, connect_streams
from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.store import keys
from vitrina.store.items import SkuItem
from vitrina.store.operations import Put, Step
from vitrina.store.stream import find_stream
from vitrina.store.table import Table

KEY = keys.sku("hot")
ITEM = SkuItem.keyed(KEY, product_id="1")
OTHER = SkuItem.keyed(keys.sku("cold"), product_id="2")


@asynccontextmanager
async def clients_on_aws(settings: Settings, *behaviours: Behaviour) -> AsyncIterator[Clients]:
    """Yield clients of a simulated region before the engine of the settings."""
    async with (
        simulate(settings.writer_endpoint or "", behaviours) as urls,
        connect(settings.model_copy(update={"writer_endpoint": urls.dynamodb})) as clients,
    ):
        yield clients


@pytest.mark.usefixtures("table")
async def test_a_reader_may_be_a_replica_in_another_region(settings: Settings) -> None:
    """Whose requests must be signed for that region."""
    identity = Identity(ManualClock())
    engine = settings.writer_endpoint or ""
    async with simulate(engine, [identity]) as home, simulate(engine, [identity], region="eu-west-1") as away:
        addresses = {"writer_endpoint": home.dynamodb, "reader_endpoint": away.dynamodb, "reader_region": "eu-west-1"}
        async with connect(settings.model_copy(update=addresses)) as clients:
            table = Table(clients, name=settings.table_name, deadline=30)
            await table.put(Put(ITEM))
            found = [await table.get(KEY, consistent=consistent) for consistent in (True, False)]
    assert [item and item.pk for item in found] == [KEY.pk] * 2


@pytest.mark.usefixtures("table_with_stream")
async def test_the_stream_may_have_a_host_of_its_own(settings: Settings) -> None:
    """As on AWS, where DynamoDB's host does not know the operations of streams."""
    async with simulate(settings.writer_endpoint or "", [Identity(ManualClock())]) as urls:
        both = settings.model_copy(update={"writer_endpoint": urls.dynamodb, "streams_endpoint": urls.streams})
        async with connect(both) as clients, connect_streams(both) as streams:
            stream = await find_stream(clients, streams, settings.table_name)
            assert stream is not None
            assert await stream.shards()


@pytest.mark.usefixtures("table")
async def test_throttled_parts_of_batches_and_transactions_are_waited_for(settings: Settings) -> None:
    """Within the deadline, though a hot partition refuses them for longer than four tries take."""
    throughput = Throughput(Clock())
    async with clients_on_aws(settings, throughput) as clients:
        table = Table(clients, name=settings.table_name, deadline=30)
        await table.put_many([ITEM, OTHER])
        throughput.exhaust(Bucket(table.name, None, "Write", KEY.pk), seconds=0.5)
        await table.put_many([OTHER, ITEM])
        throughput.exhaust(Bucket(table.name, None, "Write", KEY.pk), seconds=0.5)
        await table.commit([Step(Put(OTHER)), Step(Put(ITEM))])
        throughput.exhaust(Bucket(table.name, None, "Read", KEY.pk), seconds=0.5)
        assert len(await table.get_many([KEY, OTHER.key], consistent=True)) == 2


@pytest.mark.usefixtures("table")
async def test_only_bulk_work_waits_for_a_throttled_call(settings: Settings) -> None:
    """A request of a client ends after four tries."""
    throughput = Throughput(Clock())
    async with clients_on_aws(settings, throughput) as clients:
        bucket = Bucket(settings.table_name, None, "Write", KEY.pk)
        throughput.exhaust(bucket, seconds=1)
        with pytest.raises(TableUnavailable):
            await Table(clients, name=settings.table_name, deadline=30).put(Put(ITEM))
        throughput.exhaust(bucket, seconds=1)
        await Table(clients, name=settings.table_name, deadline=30, patience=60).put(Put(ITEM))


@pytest.mark.usefixtures("table")
async def test_a_transaction_whose_first_try_has_not_ended_is_waited_for(settings: Settings) -> None:
    """The client gave that try up after its read timeout; its token makes the transaction one."""
    tries: list[str] = []

    async def slow(request: Request, forward: Forward) -> Response:
        if request.operation == "TransactWriteItems":
            tries.append(request.body["ClientRequestToken"])
            await asyncio.sleep(1.4 if len(tries) == 1 else 0)
        return await forward(request)

    settings = settings.model_copy(update={"read_timeout": 0.3})
    async with clients_on_aws(settings, Concurrency(), slow) as clients:
        table = Table(clients, name=settings.table_name, deadline=30)
        await table.commit([Step(Put(ITEM))])
        assert await table.get(KEY, consistent=True)
    assert len(set(tries)) == 1


@pytest.mark.usefixtures("table")
async def test_credentials_that_expire_under_way_are_refreshed(
    settings: Settings, new_credentials: pytest.MonkeyPatch
) -> None:
    """Those of a task in ECS: its agent issues new ones before the old ones expire.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """
    clock, begin = ManualClock(), datetime.now(UTC)
    identity, issued = Identity(clock), []

    async def issue(_: web.Request) -> web.Response:
        issued.append(identity.issue(seconds=3600))
        expires = begin + timedelta(seconds=clock.now() + 3600)
        secret = {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": issued[-1], "Expiration": expires.isoformat()}
        return web.json_response(secret)

    agent = web.Application()
    agent.router.add_get("/", issue)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        new_credentials.delenv(name)

    def remaining(held: Any) -> float:  # noqa: ANN401 - protected members
        expiry: datetime = held._expiry_time
        return (expiry - begin).total_seconds() - clock.now()

    new_credentials.setattr(RefreshableCredentials, "_seconds_remaining", remaining)
    async with TestServer(agent) as server:
        new_credentials.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/")))
        async with clients_on_aws(settings, identity) as clients:
            table = Table(clients, name=settings.table_name, deadline=30)
            for _ in range(4):
                await table.put(Put(ITEM))
                clock.advance(3000)
    assert len(issued) > 2
