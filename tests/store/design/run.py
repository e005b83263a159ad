"""Runs all rows once and returns the measurements."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.api.client import Client, Reply
from tests.service import make_table, serving, settings_for
from tests.store.design import accounts, exports, notices, operations, products, reports
from tests.store.design.harness import ROWS, fill
from tests.store.design.page import pattern_of
from tests.store.design.recorder import Call, Recorder
from vitrina import aws
from vitrina.config import Settings
from vitrina.store.items import RawItem
from vitrina.store.operations import Step
from vitrina.store.table import Table

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

SCENARIO = (accounts, exports, notices, operations, products, reports)
"""Their rows are taken as they are imported."""
Items = dict[str, list[RawItem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Requests by row and by pattern, committed transactions, the earlier items by type, and the stream records."""

    calls: dict[str, list[Call]]
    patterns: dict[str, list[Call]]
    committed: list[Sequence[Step]]
    sample: Items
    records: list[dict[str, Any]]

    def images(self, kind: str) -> list[RawItem]:
        """Return all images that items of a type ever had."""
        new = [record["dynamodb"]["NewImage"] for record in self.records if "NewImage" in record["dynamodb"]]
        return [image for image in new if image["type"]["S"] == kind]


async def measure(url: str) -> Measured:
    """Run the scenario on an engine, in a table of its own."""
    # Reader and writer are one engine under two names, and nothing is late on a slow machine.
    settings = settings_for(url, reader_endpoint=f"{url}/", product_cache_ttl=600, view_commit_timeout=60)
    await make_table(settings, stream=True)
    committed: list[Sequence[Step]] = []
    with capture_logs(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "commit", _remembering(committed))
        async with aws.connect(settings) as clients, serving(settings) as service, aiohttp.ClientSession() as http:
            harness = await fill(service, Client(http, service.url))
            sample = await _items(clients.writer, settings.table_name)
            recorder = Recorder(clients.writer, settings.table_name)
            recorder.attach(harness.table._writer, "writer")
            recorder.attach(harness.table._reader, "reader")
            calls: dict[str, list[Call]] = {}
            patterns: dict[str, list[Call]] = {}
            for name, (status, prepare) in ROWS.items():
                work = await prepare(harness)
                with recorder.during() as calls[name]:
                    result = await work
                assert not isinstance(result, Reply) or result.status == status, f"{name}: {result}"
                for call in calls[name]:
                    patterns.setdefault(pattern_of(call), []).append(call)
            records = await _records(clients.writer, settings)
    return Measured(calls=calls, patterns=patterns, committed=committed, sample=sample, records=records)


def _remembering(committed: list[Sequence[Step]]) -> Callable[..., Awaitable[None]]:
    commit = Table.commit

    async def remember(table: Table, steps: Sequence[Step], **options: float) -> None:
        await commit(table, steps, **options)
        committed.append(steps)

    return remember


async def _items(client: "DynamoDBClient", table_name: str) -> Items:
    """Read the whole table; returns items by type."""
    found: Items = {}
    async for page in client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True):
        for item in page["Items"]:
            found.setdefault(item["type"]["S"], []).append(item)
    return found


async def _records(client: "DynamoDBClient", settings: Settings) -> list[dict[str, Any]]:
    """Read the whole stream of a table that nothing writes to any more."""
    described = await client.describe_table(TableName=settings.table_name)
    arn = described["Table"]["LatestStreamArn"]
    session = aioboto3.Session(region_name=settings.region)
    records: list[dict[str, Any]] = []
    async with session.client("dynamodbstreams", endpoint_url=settings.writer_endpoint) as streams:
        for shard in (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"]:
            place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = (await streams.get_shard_iterator(**place))["ShardIterator"]
            while iterator is not None:
                answer = await streams.get_records(ShardIterator=iterator)
                records += answer["Records"]
                iterator = answer.get("NextShardIterator") if answer["Records"] else None
    return records
