"""The AWS clients: one long-lived client for each endpoint. No other module creates clients."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from vitrina.config import Settings
from vitrina.dynamodb import extend_clients

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_sesv2 import SESV2Client
    from types_aiobotocore_sqs import SQSClient

_POOL_SIZE: Final = 64
"""Connections kept to each endpoint."""
_LONGEST_POLL: Final = 20.0
"""The longest wait of a receive in SQS, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`writer` is for writes and consistent reads, `reader` for reads that may be stale (R17)."""

    reader: "DynamoDBClient"
    writer: "DynamoDBClient"


def client_config(settings: Settings, *, read_timeout: float | None = None) -> AioConfig:
    """Return the configuration of a client.

    With its defaults botocore would wait 60 s and retry for half a minute. Parameters are not validated, which saves a
    quarter of the time of a call: `store` builds all requests, and its tests run against engines that validate them.
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
    """Open the DynamoDB clients. With a single endpoint, one client is both reader and writer."""
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
    """Return a client of the table's stream, at the writer's endpoint. A page of records may be 1 MB."""
    config = client_config(settings, read_timeout=max(settings.read_timeout, 10.0))
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "dynamodbstreams", endpoint_url=settings.writer_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]


def connect_queue(settings: Settings) -> AbstractAsyncContextManager["SQSClient"]:
    """Return a client of SQS. Its read timeout exceeds the longest wait of a receive."""
    config = client_config(settings, read_timeout=_LONGEST_POLL + 5)
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "sqs", endpoint_url=settings.queue_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]


def connect_mail(settings: Settings) -> AbstractAsyncContextManager["SESV2Client"]:
    """Return a client of SES without retries, since each retry could send a mail again; the mailer decides on them."""
    config = client_config(settings, read_timeout=settings.mail_timeout)
    config = config.merge(AioConfig(retries={"mode": "standard", "total_max_attempts": 1}))
    client: Any = aioboto3.Session(region_name=settings.region).client(
        "sesv2", endpoint_url=settings.ses_endpoint, config=config
    )
    return client  # type: ignore[no-any-return]
