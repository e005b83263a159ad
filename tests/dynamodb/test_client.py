"""The contract with botocore: requests for items are prepared, signed and refused as botocore does, and sent once."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import aioboto3
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from tests.dynamodb.test_responses import CALLS
from tests.service import settings_for
from vitrina import usage
from vitrina.aws import client_config, connect
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.dynamodb import ItemClient, ItemSignature, RequestTemplate
from vitrina.errors import TableUnavailable
from vitrina.store import keys, retries
from vitrina.store.table import Table

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]
GET: dict[str, Any] = {"TableName": "shop", "Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}
ITEM = b'{"Item": {"pk": {"S": "a"}}}'


class Endpoint:
    """An endpoint that records requests and responds in the given ways in turn, repeating the last one."""

    def __init__(self, *ways: Respond) -> None:
        self.ways = list(ways)
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Respond to a request."""
        self.requests.append((dict(request.headers), await request.read()))
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        return await way(request)


def says(status: int, body: bytes, **headers: str) -> Respond:
    """Respond with this status and body."""

    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"x-amzn-RequestId": "1", **headers})

    return respond


def refuses(status: int, code: str) -> Respond:
    """Respond with a DynamoDB error."""
    return says(status, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}).encode())


async def hangs_up(request: web.Request) -> web.Response:
    """Close the connection without a response."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def sleeps(_: web.Request) -> web.Response:
    """Respond after the client's timeout."""
    await asyncio.sleep(5)
    return web.Response()


@asynccontextmanager
async def serving(*ways: Respond, **options: float) -> AsyncIterator[tuple[Endpoint, Settings]]:
    """Run an endpoint; yields it with settings that contain its URL."""
    endpoint = Endpoint(*ways)
    application = web.Application()
    application.router.add_post("/", endpoint.handle)
    async with TestServer(application) as server:
        url = str(server.make_url("/")).rstrip("/")
        yield endpoint, settings_for(url, **options)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses before retries."""
    monkeypatch.setattr(retries, "_BACKOFF", Backoff(first=0.001, longest=0.001))


def plain(headers: dict[str, str]) -> dict[str, str]:
    """Return a request's headers without the time of day and without those that are only for statistics.

    botocore adds ids of its own; other installed libraries (Powertools) add to the user agent of whatever botocore
    sends.
    """
    left_out = {"amz-sdk-invocation-id", "amz-sdk-request", "authorization", "x-amz-date", "accept", "accept-encoding"}
    said = {name.lower(): value for name, value in headers.items() if name.lower() not in left_out}
    return said | {"user-agent": said["user-agent"].partition(" PT/")[0]}


@pytest.mark.parametrize("method", CALLS)
async def test_a_request_equals_botocores(method: str) -> None:
    """The bodies differ only in spaces; the headers are the same."""
    async with serving(says(200, b"{}")) as (endpoint, settings), connect(settings) as clients:
        session = aioboto3.Session(region_name=settings.region)
        options: Any = {"endpoint_url": settings.writer_endpoint, "config": client_config(settings)}
        async with session.client("dynamodb", **options) as botocores:
            for client in (clients.writer, clients.writer, botocores):
                token = {"ClientRequestToken": "once"} if method == "transact_write_items" else {}
                await getattr(client, method)(**CALLS[method]("shop"), **token)
    assert isinstance(clients.writer, ItemClient)
    (first, one), (second, two), (theirs, three) = endpoint.requests
    assert json.loads(one) == json.loads(two) == json.loads(three)
    assert one == two
    lengths = {"content-length": theirs["Content-Length"]}
    assert plain(first) | lengths == plain(second) | lengths == plain(theirs)


@given(
    body=st.binary(max_size=40),
    token=st.none() | st.text("abcXYZ019/+=", min_size=1, max_size=30),
    url=st.sampled_from(
        [
            "https://dynamodb.eu-central-1.amazonaws.com/",
            "http://127.0.0.1:8000/",
            "http://[::1]:80/",
            "https://x:443/a b",
        ]
    ),
    moment=st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_signature_equals_botocores(
    monkeypatch: pytest.MonkeyPatch, body: bytes, token: str | None, url: str, moment: datetime
) -> None:
    """With and without a session token, for each form of endpoint; headers without effect are not signed."""
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.Query",
        "Content-Type": "application/x-amz-json-1.0",
        "User-Agent": "v",
    }
    credentials = ReadOnlyCredentials("AKID", "secret", token)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: moment)
    theirs = AWSRequest(method="POST", url=url, headers=headers, data=body)
    auth.SigV4Auth(credentials, "dynamodb", "eu-central-1").add_auth(theirs)
    ours = ItemSignature(credentials, "dynamodb", "eu-central-1").request(
        RequestTemplate.of(url, headers), body, at=moment.timestamp()
    )
    assert dict(ours.headers.items()) == dict(theirs.headers.items())
    assert (ours.method, ours.url, ours.body) == ("POST", url, body)


@pytest.mark.parametrize(
    "trouble",
    [
        refuses(500, "InternalServerError"),
        refuses(400, "ProvisionedThroughputExceededException"),
        refuses(400, "ReplicatedWriteConflictException"),
        says(200, ITEM, **{"x-amz-crc32": "1"}),
        hangs_up,
        says(200, b"<html>"),
        says(502, b"<html>"),
    ],
)
async def test_a_call_is_tried_four_times_at_most(trouble: Respond) -> None:
    """Server errors, throttling, lost connections, damaged responses and codes that nobody knows are transient."""
    async with (
        serving(trouble, trouble, trouble, says(200, ITEM)) as (endpoint, settings),
        connect(settings) as clients,
    ):
        request = usage.start()
        table = Table(clients, name="shop")
        assert await table.get_many_raw([keys.user("1")], consistent=True) == [{"pk": {"S": "a"}}]
        assert (len(endpoint.requests), request.calls) == (4, 4)
        assert len({body for _, body in endpoint.requests}) == 1
        endpoint.ways = [trouble]
        with pytest.raises(TableUnavailable):
            await table.get(keys.user("1"), consistent=True)
        assert len(endpoint.requests) == 8


@pytest.mark.parametrize("code", ["ValidationException", "ConditionalCheckFailedException", "AccessDeniedException"])
async def test_a_refusal_is_not_tried_again(code: str) -> None:
    """Another try would have the same answer."""
    async with serving(refuses(400, code)) as (endpoint, settings), connect(settings) as clients:
        with pytest.raises((ClientError, TableUnavailable)):
            await Table(clients, name="shop").get(keys.user("1"), consistent=True)
    assert len(endpoint.requests) == 1


async def test_the_client_itself_sends_a_request_once() -> None:
    """Retries by botocore would multiply those of the table, and wait for up to a second."""
    async with serving(refuses(500, "InternalServerError")) as (endpoint, settings), connect(settings) as clients:
        with pytest.raises(ClientError, match="InternalServerError"):
            await clients.writer.get_item(**GET)
    assert len(endpoint.requests) == 1


async def test_an_unresponsive_endpoint_is_called_again_until_the_deadline() -> None:
    async with serving(sleeps, read_timeout=0.3) as (endpoint, settings), connect(settings) as clients:
        with pytest.raises(TableUnavailable):
            await Table(clients, name="shop", deadline=0.7).get(keys.user("1"), consistent=True)
    assert 2 <= len(endpoint.requests) <= 3


async def test_in_a_long_outage_a_call_is_tried_once() -> None:
    """Retries have a budget, which successful responses refill, so that they do not multiply the load of an outage."""
    async with serving(refuses(500, "InternalServerError")) as (endpoint, settings), connect(settings) as clients:
        table = Table(clients, name="shop")

        async def requests_of_a_call() -> int:
            endpoint.requests.clear()
            with pytest.raises(TableUnavailable):
                await table.get(keys.user("1"), consistent=True)
            return len(endpoint.requests)

        while await requests_of_a_call() > 1:
            pass
        endpoint.ways = [says(200, b"{}")]
        for _ in range(5):
            await table.get(keys.user("1"), consistent=True)
        endpoint.ways = [refuses(500, "InternalServerError")]
        assert await requests_of_a_call() == 2
        assert await requests_of_a_call() == 1


async def test_a_malformed_response_is_an_outage() -> None:
    """A body that is truncated or not JSON must not be read as a missing item."""
    for body in (b"<html>", ITEM[:-3]):
        async with serving(says(200, body)) as (_, settings), connect(settings) as clients:
            with pytest.raises(TableUnavailable):
                await Table(clients, name="shop").get(keys.user("1"), consistent=True)


async def test_a_valid_checksum_is_accepted() -> None:
    """DynamoDB sends a CRC32 checksum with every response."""
    good = says(200, ITEM, **{"x-amz-crc32": str(zlib.crc32(ITEM))})
    async with serving(good) as (endpoint, settings), connect(settings) as clients:
        assert (await clients.writer.get_item(**GET))["Item"] == {"pk": {"S": "a"}}
    assert len(endpoint.requests) == 1


async def test_credentials_are_refreshed_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's credentials change every few hours. Without valid ones the table is unavailable."""
    async with serving(says(200, ITEM)) as (endpoint, settings), connect(settings) as clients:
        client: Any = clients.writer
        for name in ("first", "second"):

            async def frozen(name: str = name) -> ReadOnlyCredentials:
                return ReadOnlyCredentials(name, "secret", f"token-{name}")

            monkeypatch.setattr(client._request_signer, "_credentials", SimpleNamespace(get_frozen_credentials=frozen))
            await client.get_item(**GET)
            headers, _ = endpoint.requests[-1]
            assert headers["X-Amz-Security-Token"] == f"token-{name}"
            assert f"Credential={name}/" in headers["Authorization"]

        async def expired() -> ReadOnlyCredentials:
            raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

        stale = SimpleNamespace(get_frozen_credentials=expired, method="container-role")
        monkeypatch.setattr(client._request_signer, "_credentials", stale)
        with pytest.raises(TableUnavailable):
            await Table(clients, name="shop").get(keys.user("1"), consistent=True)
        monkeypatch.setattr(client._request_signer, "_credentials", None)
        with pytest.raises(TableUnavailable):
            await Table(clients, name="shop").get(keys.user("1"), consistent=True)
    assert len(endpoint.requests) == 2
