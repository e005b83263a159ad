"""The AWS clients: one session and one long-lived client for each endpoint, made here and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from vitrina.config import Settings
from vitrina.dynamodb.client import extend_clients

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_sesv2 import SESV2Client
    from types_aiobotocore_sqs import SQSClient

_POOL_SIZE: Final = 64
"""Connections kept to each endpoint."""
_LONGEST_POLL: Final = 20.0
"""Seconds that SQS lets a receive wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`writer` takes writes and the reads that they rest on, `reader` the reads that may be stale (R17)."""

    reader: "DynamoDBClient"
    writer: "DynamoDBClient"


def client_config(settings: Settings, *, read_timeout: float | None = None) -> AioConfig:
    """Return the clients' configuration.

    botocore's own defaults would wait 60 s and retry for half a minute. Parameters are not validated, since every
    request is built by `store`, whose tests run against an engine that does; that saves a quarter of a call's time.
    """
    return AioConfig(
        connect_timeout=settings.connect_timeout,
        read_timeout=read_timeout or settings.read_timeout,
        max_pool_connections=_POOL_SIZE,
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent="vitrina",
        tcp_keepalive=True,
    )


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Clients]:
    """Open the clients; one and the same client serves both routes where a single endpoint does."""
    core = get_session()
    extend_clients(core)
    session = aioboto3.Session(region_name=settings.region, botocore_session=core)
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


def connect_streams(settings: Settings) -> AbstractAsyncContextManager["DynamoDBStreamsClient"]:
    """Open a client of the table's stream, which is where writes go. A page of records may be 1 MB."""
    config = client_config(settings, read_timeout=max(settings.read_timeout, 10.0))
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "dynamodbstreams", endpoint_url=settings.writer_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]


def connect_queue(settings: Settings) -> AbstractAsyncContextManager["SQSClient"]:
    """Open a client of SQS, whose receives wait for messages."""
    config = client_config(settings, read_timeout=_LONGEST_POLL + 5)
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "sqs", endpoint_url=settings.queue_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]


def connect_mail(settings: Settings) -> AbstractAsyncContextManager["SESV2Client"]:
    """Open a client of SES, which sends a mail again for each repetition: whoever sends decides on those."""
    config = client_config(settings, read_timeout=settings.mail_timeout)
    config = config.merge(AioConfig(retries={"mode": "standard", "total_max_attempts": 1}))
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "sesv2", endpoint_url=settings.ses_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]
