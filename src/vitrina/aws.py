"""The AWS clients: one long-lived client for each endpoint. No other module creates clients."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`writer` is for writes and consistent reads, `reader` for reads that may be stale (R17)."""

    reader: "DynamoDBClient"
    writer: "DynamoDBClient"


def client_config(settings: Settings, *, read_timeout: float | None = None, attempts: int = 2) -> AioConfig:
    """Return the configuration of a client.

    With its defaults botocore would wait 60 s and retry for half a minute. Parameters are not validated, which saves a
    quarter of the time of a call: `store` builds all requests, and its tests run against engines that validate them.
    """
    return AioConfig(
        connect_timeout=settings.connect_timeout,
        read_timeout=read_timeout or settings.read_timeout,
        max_pool_connections=_POOL_SIZE,
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent="vitrina",
        tcp_keepalive=True,
    )


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Clients]:
    """Open the DynamoDB clients. With a single endpoint, one client is both reader and writer."""
    core = get_session()
    extend_clients(core)
    session = aioboto3.Session(region_name=settings.region, botocore_session=core)
    client = partial(session.client, "dynamodb", config=client_config(settings))
    async with AsyncExitStack() as stack:
        writer = reader = await stack.enter_async_context(client(endpoint_url=settings.writer_endpoint))
        if settings.reader_endpoint and settings.reader_endpoint != settings.writer_endpoint:
            reader = await stack.enter_async_context(client(endpoint_url=settings.reader_endpoint))
        yield Clients(reader=reader, writer=writer)


def connect_streams(settings: Settings) -> AbstractAsyncContextManager["DynamoDBStreamsClient"]:
    """Return a client of the table's stream, at the writer's endpoint. A page of records may be 1 MB."""
    config = client_config(settings, read_timeout=max(settings.read_timeout, 10.0))
    return _client("dynamodbstreams", settings, settings.writer_endpoint, config)  # type: ignore[no-any-return]


def connect_queue(settings: Settings) -> AbstractAsyncContextManager["SQSClient"]:
    """Return a client of SQS. Its read timeout exceeds the longest wait of a receive, 20 s."""
    config = client_config(settings, read_timeout=25.0)
    return _client("sqs", settings, settings.queue_endpoint, config)  # type: ignore[no-any-return]


def connect_mail(settings: Settings) -> AbstractAsyncContextManager["SESV2Client"]:
    """Return a client of SES without retries, since each retry could send a mail again; the mailer decides on them."""
    config = client_config(settings, read_timeout=settings.mail_timeout, attempts=1)
    return _client("sesv2", settings, settings.ses_endpoint, config)  # type: ignore[no-any-return]


def connect_s3(settings: Settings) -> AbstractAsyncContextManager[Any]:
    """Return a client of S3 for files of many MB, for which no HTTP client waits."""
    config = client_config(settings, read_timeout=60.0, attempts=5).merge(AioConfig(connect_timeout=10.0))
    return _client("s3", settings, settings.s3_endpoint, config)  # type: ignore[no-any-return]


def _client(service: str, settings: Settings, endpoint: str | None, config: AioConfig) -> Any:  # noqa: ANN401
    return aioboto3.Session(region_name=settings.region).client(service, endpoint_url=endpoint, config=config)
