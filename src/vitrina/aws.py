"""The AWS clients: one session and one long-lived client for each endpoint, made here and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aioboto3
from aiobotocore.config import AioConfig

from vitrina.config import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`writer` takes writes and the reads that they rest on, `reader` the reads that may be stale (R17)."""

    reader: "DynamoDBClient"
    writer: "DynamoDBClient"


def client_config(settings: Settings) -> AioConfig:
    """Return the clients' configuration.

    botocore's own defaults would wait 60 s and retry for half a minute. Parameters are not validated, since every
    request is built by `store`, whose tests run against an engine that does; that saves a quarter of a call's time.
    """
    return AioConfig(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        max_pool_connections=settings.pool_size,
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent="vitrina",
        tcp_keepalive=True,
    )


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Clients]:
    """Open the clients; one and the same client serves both routes where a single endpoint does."""
    session = aioboto3.Session(region_name=settings.region)
    config = client_config(settings)
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(
            session.client("dynamodb", endpoint_url=settings.writer_endpoint, config=config)
        )
        reader = writer
        if settings.reader_endpoint and settings.reader_endpoint != settings.writer_endpoint:
            reader = await stack.enter_async_context(
                session.client("dynamodb", endpoint_url=settings.reader_endpoint, config=config)
            )
        yield Clients(reader=reader, writer=writer)
