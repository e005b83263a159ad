"""Fixtures: a clock that the test moves, and calls of the engine through behaviours."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.aws_simulator.proxy import SES_API, Behaviour, Endpoint, Json, ManualClock, Request, Response, chain
from tests.store.conftest import clients, settings, table, table_with_stream

__all__ = ["clients", "settings", "table", "table_with_stream"]

SCOPE = "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
STREAMS = {"ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}
APIS = {"streams.dynamodb": "DynamoDBStreams_20120810", "sqs": "AmazonSQS", "email": SES_API}
SIGNED_FOR = {"sqs": "sqs", "email": "ses"}
Call = Callable[..., Awaitable[Response]]


def request(
    operation: str,
    body: Json,
    *,
    host: str = "dynamodb",
    region: str = "us-east-1",
    token: str = "",
    key: str = "local",
) -> Request:
    """Return a request to a host in us-east-1, which is signed for a region by an access key."""
    target = APIS["streams.dynamodb"] if operation in STREAMS else APIS.get(host, "DynamoDB_20120810")
    scope = SCOPE.format(key=key, region=region, service=SIGNED_FOR.get(host, "dynamodb"))
    return Request(
        endpoint=Endpoint(service=host, region="us-east-1"),
        target=target,
        operation=operation,
        body=body,
        headers={"Authorization": scope} | ({"X-Amz-Security-Token": token} if token else {}),
    )


@pytest.fixture
async def through(engine: str) -> AsyncIterator[Callable[..., Call]]:
    """Returns what calls the engine through behaviours: `await call("GetItem", TableName=…)`."""
    async with aiohttp.ClientSession() as http:

        def through(*behaviours: Behaviour) -> Call:
            forward = chain(http, engine, behaviours)

            async def call(operation: str, /, **parameters: object) -> Response:
                return await forward(request(operation, parameters))

            return call

        yield through


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test moves."""
    return ManualClock()


def item(pk: str, **attributes: str) -> Json:
    """Return an item with strings for attributes."""
    return {name: {"S": value} for name, value in {"pk": pk, "sk": "x", **attributes}.items()}


async def succeed(_: Request) -> Response:
    """Respond as an engine does to which nothing matters."""
    return Response(200, {})
