"""The AWS clients: one long-lived client for each endpoint. No other module creates clients."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from pydantic import SecretStr, ValidationError

from vitrina.config import Settings
from vitrina.dynamodb import extend_clients
from vitrina.secrets_manager import Secret, SecretError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_sesv2 import SESV2Client
    from types_aiobotocore_sqs import SQSClient

_POOL_SIZE: Final = 64
"""Connections kept to each endpoint."""
_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu")


RequestRefused = ClientError
"""AWS takes a request for invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`writer` is for writes and consistent reads, `reader` for reads that may be stale (R17)."""

    reader: "DynamoDBClient"
    writer: "DynamoDBClient"


def client_config(settings: Settings, *, read_timeout: float | None = None, attempts: int = 2) -> AioConfig:
    """Return the configuration of a client.

    With its defaults botocore would wait 60 s and retry for half a minute. Even once it waits up to a second before a
    retry, so `store/calls.py` retries calls for items and of streams. Parameters are not validated, which saves a
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


def check_profile() -> None:
    """Raise ValueError unless the SDK's own files can be read, and have the profile that AWS_PROFILE names, if any."""
    try:
        Session().get_scoped_config()
    except BotoCoreError as error:
        raise ValueError(f"AWS_PROFILE, AWS_CONFIG_FILE: {error}") from error


def code_of(error: BaseException | None) -> str:
    """Return AWS's code of an error, or the name of an exception of the SDK's own."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Clients]:
    """Open the DynamoDB clients. With a single endpoint and region, one client is both reader and writer.

    A request is signed for one region, and a replica of the table has a region of its own.
    """
    client = partial(_session().client, "dynamodb", config=client_config(settings))
    async with AsyncExitStack() as stack:
        writer = reader = await stack.enter_async_context(
            client(endpoint_url=settings.writer_endpoint, region_name=settings.region)
        )
        region = settings.reader_region or settings.region
        endpoint = settings.reader_endpoint or (settings.writer_endpoint if region == settings.region else None)
        if (endpoint, region) != (settings.writer_endpoint, settings.region):
            reader = await stack.enter_async_context(client(endpoint_url=endpoint, region_name=region))
        yield Clients(reader=reader, writer=writer)


def connect_streams(settings: Settings) -> AbstractAsyncContextManager["DynamoDBStreamsClient"]:
    """Return a client of the table's stream. A page of records may be 1 MB.

    AWS has another host for streams than for tables; an emulator serves both at the writer's endpoint.
    """
    endpoint = settings.streams_endpoint
    if endpoint is None and settings.writer_endpoint and not _is_aws(settings.writer_endpoint):
        endpoint = settings.writer_endpoint
    config = client_config(settings, read_timeout=max(settings.read_timeout, 10.0), attempts=1)
    return _client("dynamodbstreams", settings, endpoint, config)  # type: ignore[no-any-return]


def _is_aws(endpoint: str) -> bool:
    """Return whether an endpoint is in a domain of AWS, as those of PrivateLink are."""
    return (urlsplit(endpoint).hostname or "").endswith(_AWS_DOMAINS)


def connect_queue(settings: Settings) -> AbstractAsyncContextManager["SQSClient"]:
    """Return a client of SQS. Its read timeout exceeds the longest wait of a receive, 20 s."""
    config = client_config(settings, read_timeout=25.0)
    return _client("sqs", settings, settings.queue_endpoint, config)  # type: ignore[no-any-return]


def connect_mail(settings: Settings) -> AbstractAsyncContextManager["SESV2Client"]:
    """Return a client of SES without retries, since each retry could send a mail again; the mailer decides on them."""
    config = client_config(settings, read_timeout=settings.mail_timeout, attempts=1)
    return _client("sesv2", settings, settings.ses_endpoint, config)  # type: ignore[no-any-return]


async def read_keys(settings: Settings) -> Settings:
    """Return the settings with the keys that they name in AWS Secrets Manager: 1 call for each.

    Raises SecretError, which says which secret is to be changed, and how.
    """
    names = {"signing_keys": settings.signing_keys_secret, "secret_key": settings.secret_key_secret}
    named = {name: secret for name, secret in names.items() if secret}
    if not named:
        return settings
    async with connect_secrets(settings) as client:
        found: dict[str, Any] = {
            name: SecretStr((await Secret(client, secret).read()).value) for name, secret in named.items()
        }
    try:
        return Settings(**found)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise SecretError(f"the keys in {' and '.join(named.values())} cannot be used: {problem}") from None


def connect_secrets(settings: Settings) -> AbstractAsyncContextManager[Any]:
    """Return a client of Secrets Manager."""
    config = client_config(settings, read_timeout=5.0, attempts=3)
    return _client("secretsmanager", settings, None, config)  # type: ignore[no-any-return]


def connect_s3(settings: Settings) -> AbstractAsyncContextManager[Any]:
    """Return a client of S3 for files of many MB, for which no HTTP client waits."""
    config = client_config(settings, read_timeout=60.0, attempts=5).merge(AioConfig(connect_timeout=10.0))
    return _client("s3", settings, settings.s3_endpoint, config)  # type: ignore[no-any-return]


def _client(service: str, settings: Settings, endpoint: str | None, config: AioConfig) -> Any:  # noqa: ANN401
    return _session().client(service, endpoint_url=endpoint, region_name=settings.region, config=config)


@cache
def _session() -> aioboto3.Session:
    """Return the session of all clients: it parses AWS's models once, and finds and refreshes the credentials."""
    core = get_session()
    extend_clients(core)
    return aioboto3.Session(botocore_session=core)
