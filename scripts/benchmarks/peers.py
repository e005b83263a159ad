"""The measured servers, and how the two peers are started."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aioboto3

from scripts.benchmarks import catalogue
from scripts.benchmarks.load import Load, Sample, drive
from scripts.devstack.engines import Engine
from vitrina.clock import rfc3339
from vitrina.domain.products import Product

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.literals import KeyTypeType
    from types_aiobotocore_dynamodb.type_defs import (
        AttributeValueTypeDef,
        CreateTableInputTypeDef,
        GlobalSecondaryIndexTypeDef,
        KeySchemaElementTypeDef,
    )

PEERS: Final = Path(__file__).parents[1] / "bench_peers"
_BATCH: Final = 25


class Server:
    """A server with Vitrina's routes, in one process."""

    def __init__(self, name: str, url: str, *, pid: int) -> None:
        self.name = name
        self.url = url
        self._pid = pid

    async def drive(self, load: Load) -> Sample:
        """Run a load against the server."""
        before = self._cpu()
        sample = await drive(self.url, load)
        return replace(sample, cpu=self._cpu() - before)

    def _cpu(self) -> float:
        """Return the seconds of CPU time that the process has used (proc_pid_stat(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def hello() -> AsyncIterator[Server]:
    """Run the peer that responds with fixed bytes."""
    engine = Engine("hello", lambda port: [sys.executable, str(PEERS / "hello.py"), str(port)])
    async with engine as url:
        yield Server("hello", url, pid=engine.process.pid)


@asynccontextmanager
async def naive(endpoint: str, count: int = catalogue.BASE) -> AsyncIterator[Server]:
    """Run the peer that makes one DynamoDB call per step, on its own tables with the first `count` products."""
    await _fill(endpoint, count)
    command = [sys.executable, str(PEERS / "naive.py")]
    engine = Engine("naive", lambda port: [*command, str(port), endpoint])
    async with engine as url:
        yield Server("naive", url, pid=engine.process.pid)


async def _fill(endpoint: str, count: int) -> None:
    async with aioboto3.Session().client("dynamodb", endpoint_url=endpoint) as client:
        await _create(client, "naive_products", "id", index=("listing", "created_at"))
        await _create(client, "naive_views", "product_id", "viewed_at")
        products = [_item(product) for product in catalogue.products(count)]
        for first in range(0, len(products), _BATCH):
            batch = products[first : first + _BATCH]
            await client.batch_write_item(RequestItems={"naive_products": [{"PutRequest": {"Item": i}} for i in batch]})


def _item(product: Product) -> "dict[str, AttributeValueTypeDef]":
    values = {
        "id": product.id,
        "listing": "products",
        "sku": product.sku,
        "name": product.name,
        "brand": product.brand,
        "description": product.description or "",
        "price": str(product.price),
        "currency": product.currency,
        "created_at": rfc3339(product.created_at),
        "updated_at": rfc3339(product.updated_at),
    }
    return {name: {"S": value} for name, value in values.items()}


async def _create(client: "DynamoDBClient", table: str, *names: str, index: tuple[str, ...] = ()) -> None:
    indexes: list[GlobalSecondaryIndexTypeDef] = [
        {"IndexName": "-".join(index), "KeySchema": _keys(index), "Projection": {"ProjectionType": "ALL"}}
    ]
    arguments: CreateTableInputTypeDef = {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in (*names, *index)],
        "KeySchema": _keys(names),
    }
    if index:
        arguments["GlobalSecondaryIndexes"] = indexes
    await client.create_table(**arguments)


def _keys(names: tuple[str, ...]) -> "list[KeySchemaElementTypeDef]":
    kinds: tuple[KeyTypeType, ...] = ("HASH", "RANGE")
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, kinds, strict=False)]
