"""The measured servers, and how the two peers are started."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef

PEERS: Final = Path(__file__).parents[1] / "bench_peers"
_BATCH: Final = 25


class Server:
    """A server with Vitrina's routes."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url

    async def drive(self, load: Load) -> Sample:
        """Run a load against the server."""
        return await drive(self.url, load)


@asynccontextmanager
async def hello() -> AsyncIterator[Server]:
    """Run the peer that responds with fixed bytes."""
    async with Engine("hello", lambda port: [sys.executable, str(PEERS / "hello.py"), str(port)]) as url:
        yield Server("hello", url)


@asynccontextmanager
async def naive(endpoint: str) -> AsyncIterator[Server]:
    """Run the peer that makes one DynamoDB call per step, on its own tables with the first `BASE` products."""
    await _fill(endpoint)
    command = [sys.executable, str(PEERS / "naive.py")]
    async with Engine("naive", lambda port: [*command, str(port), endpoint]) as url:
        yield Server("naive", url)


async def _fill(endpoint: str) -> None:
    async with aioboto3.Session().client("dynamodb", endpoint_url=endpoint) as client:
        await _create(client, "naive_products", "id")
        await _create(client, "naive_views", "product_id", "viewed_at")
        products = [_item(product) for product in catalogue.products(catalogue.BASE)]
        for first in range(0, len(products), _BATCH):
            batch = products[first : first + _BATCH]
            await client.batch_write_item(RequestItems={"naive_products": [{"PutRequest": {"Item": i}} for i in batch]})


def _item(product: Product) -> "dict[str, AttributeValueTypeDef]":
    values = {
        "id": product.id,
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


async def _create(client: "DynamoDBClient", table: str, *names: str) -> None:
    kinds: tuple[KeyTypeType, ...] = ("HASH", "RANGE")
    await client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, kinds, strict=False)],
    )
