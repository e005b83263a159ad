"""The API as a Lambda function, on events of an HTTP API (payload format 2.0)."""

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.conftest import unchanged_logging
from vitrina.aws import connect
from vitrina.aws_lambda.api import CONTAINER, handler
from vitrina.bootstrap import Services
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.services.views.recorder import ViewRecorder
from vitrina.store.definition import create_table_arguments
from vitrina.store.views import ViewStore

PASSWORD = "blue-lantern-2026"
SOURCE = "203.0.113.9"


@pytest.fixture(scope="module")
def function(dynamodb_local: str) -> Iterator[Settings]:
    """The environment of the function, with a table that has a super_admin."""
    chosen = {"TABLE_NAME": "lambda-api", "WRITER_ENDPOINT": dynamodb_local, "ENVIRONMENT": "development"}
    chosen |= {"SIGNING_KEYS": DEMO_SIGNING_KEYS, "SECRET_KEY": DEMO_SECRET_KEY, "BCRYPT_COST": "4"}
    chosen |= {"READ_TIMEOUT": "20", "REQUEST_TIMEOUT": "20", "PASSWORD_WAIT": "20", "LOG_LEVEL": "error"}
    with unchanged_logging(), pytest.MonkeyPatch.context() as environment:
        for name, value in chosen.items():
            environment.setenv(f"VITRINA_{name}", value)
        settings = Settings()
        asyncio.run(prepare(settings))
        yield settings
        CONTAINER.close()
    asyncio.run(drop(settings))


async def prepare(settings: Settings) -> None:
    """Create the table and the account."""
    async with Services(settings) as services:
        await services.clients.writer.create_table(**create_table_arguments(settings))
        await services.accounts.create_super_admin(email="sol@example.com", password=PASSWORD, name="Sol")


async def drop(settings: Settings) -> None:
    """Delete the table."""
    async with connect(settings) as clients:
        await clients.writer.delete_table(TableName=settings.table_name)


def call(method: str, path: str, body: object = None, *, query: str = "", **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """Call the handler with an event as the developer guide of API Gateway shows it; `fields` replace others.

    `text` is the body as it stands in the event.
    """
    headers = fields.pop("headers", {})
    if body is not None:
        headers = {"content-type": "application/json"} | headers
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "spoofed.example", "content-length": "1", "x-forwarded-for": SOURCE} | headers,
        "requestContext": {
            "domainName": "id.execute-api.eu-west-1.amazonaws.com",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": SOURCE},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        event["body"] = json.dumps(body)
    if "text" in fields:
        event["body"] = fields.pop("text")

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 30_000

    return handler(event | fields, cast("Any", Context()))


def bearer() -> dict[str, str]:
    """Sign in, and return the header of a signed-in caller."""
    signed_in = call("POST", "/v1/auth/login", {"email": "sol@example.com", "password": PASSWORD})
    assert signed_in["statusCode"] == 200, signed_in
    return {"authorization": f"Bearer {json.loads(signed_in['body'])['access_token']}"}


@pytest.fixture(scope="module")
def admin(function: Settings) -> dict[str, str]:
    """The headers of the super_admin."""
    assert function.table_name == "lambda-api"
    return bearer()


@pytest.fixture(scope="module")
def product(admin: dict[str, str]) -> str:
    """The path of a product."""
    sent = {"sku": "KETTLE-1", "name": "Ñandú kettle", "brand": "Brightwell", "price": "24.50"}
    made = call("POST", "/v1/products", sent, headers=admin | {"idempotency-key": "first"})
    assert made["statusCode"] == 201, made
    location: str = made["headers"]["location"]
    return location.removeprefix("https://id.execute-api.eu-west-1.amazonaws.com")


def test_a_response_has_its_status_headers_and_text(product: str) -> None:
    """A HEAD, a 304 and a 204 have no body."""
    read = call("GET", product)
    assert (read["statusCode"], read["isBase64Encoded"]) == (200, False)
    assert json.loads(read["body"])["name"] == "Ñandú kettle"
    etag = read["headers"]["etag"]
    assert call("GET", product, headers={"if-none-match": etag})["statusCode"] == 304
    head = call("HEAD", product)
    assert (head["statusCode"], head["body"], head["headers"]["etag"]) == (200, "", etag)
    assert call("POST", "/v1/auth/logout", headers=bearer())["body"] == ""


def test_a_query_keeps_its_repeated_and_escaped_parts(product: str) -> None:
    assert product
    listed = call("GET", "/v1/products", query="sort=name&name_prefix=%C3%91and%C3%BA&limit=1")
    assert [item["sku"] for item in json.loads(listed["body"])["items"]] == ["KETTLE-1"]
    assert call("GET", "/v1/products", query="limit=1&limit=2")["statusCode"] == 422
    problem = call("GET", "/v1/products/by-sku/a b\u00f1", query="a=ñ")
    assert json.loads(problem["body"])["instance"] == "/v1/products/by-sku/a%20b%C3%B1"


def test_a_binary_body_is_base64(function: Settings) -> None:
    page = call("GET", "/docs", headers={"accept-encoding": "gzip"})
    assert function.docs
    assert (page["statusCode"], page["isBase64Encoded"], page["headers"]["content-encoding"]) == (200, True, "gzip")
    assert b"swagger" in gzip.decompress(base64.b64decode(page["body"]))


def test_failures_are_the_api_s_own(admin: dict[str, str]) -> None:
    """A body that is too large, one that is no JSON, and what is not there."""
    long = base64.b64encode(b" " * 5_000_000).decode()
    kind = admin | {"content-type": "application/json"}
    assert call("POST", "/v1/products", headers=kind)["statusCode"] == 400
    assert call("POST", "/v1/products", headers=kind, isBase64Encoded=True, text=long)["statusCode"] == 413
    assert call("GET", "/v1/nothing")["statusCode"] == 404
    assert call("TRACE", "/v1/products")["statusCode"] == 405


def test_an_export_is_refused_and_names_the_alternative(admin: dict[str, str]) -> None:
    """Only to those who might have it."""
    assert call("GET", "/v1/analytics/views/export")["statusCode"] == 401
    refused = call("GET", "/v1/analytics/views/export", headers=admin)
    assert refused["statusCode"] == 501
    assert "vitrina views export" in json.loads(refused["body"])["detail"]


def test_the_client_is_who_the_gateway_saw(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not who its headers say."""
    seen: list[str] = []
    submit = ViewRecorder.submit

    def watch(self: ViewRecorder, product_id: str, address: str, *rest: Any, **options: Any) -> asyncio.Future[None]:  # noqa: ANN401
        seen.append(address)
        return submit(self, product_id, address, *rest, **options)

    monkeypatch.setattr(ViewRecorder, "submit", watch)
    for headers in ({"x-forwarded-for": "198.51.100.1"}, {"forwarded": "for=198.51.100.2"}, {"X-Forwarded-For": ""}):
        assert call("GET", product, headers=headers)["statusCode"] == 200
    assert seen == [SOURCE] * 3


def test_a_view_is_stored_before_the_answer_leaves(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the table takes: then Lambda freezes the process."""
    put, stored = ViewStore.put, 0

    async def slow(self: ViewStore, segments: Any) -> None:  # noqa: ANN401
        nonlocal stored
        await asyncio.sleep(0.4)  # More than `view_commit_timeout`, after which other deployments answer.
        await put(self, segments)
        stored += 1

    monkeypatch.setattr(ViewStore, "put", slow)
    assert call("GET", product)["statusCode"] == 200
    assert stored == 1
