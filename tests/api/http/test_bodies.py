"""Request bodies: size and time limits, media types, and the problems of invalid ones."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from tests.api.client import Client
from tests.api.small import SECRET, exchange, raw, small_service

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def small(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of the small application with a body timeout of half a second."""
    async with small_service(body_timeout=0.5) as url:
        yield Client(http, url)


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("application/json;charset=UTF-8", 201),
        ('APPLICATION/JSON; Charset="utf-8"', 201),
        ("application/json; charset=latin-1", 415),
        ("application/merge-patch+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
async def test_only_json_in_utf_8_is_accepted_as_a_body(small: Client, media_type: str, status: int) -> None:
    reply = await small.post("/v1/widgets", data=b'{"name":"x"}', headers={"Content-Type": media_type})
    assert reply.status == status


async def test_a_body_without_a_media_type_is_rejected(small: Client) -> None:
    """Guessing the type of a body is a security risk."""
    body = b'{"name":"x"}'
    reply = await exchange(small.url, raw("POST", "/v1/widgets", {"Content-Length": str(len(body))}, body))
    assert reply.startswith(b"HTTP/1.1 415 ")


async def test_a_patch_can_be_a_merge_patch(small: Client) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    assert (await small.patch("/v1/widgets/1", data=b'{"name":"x"}', headers=headers)).status == 201


@pytest.mark.parametrize("headers", [JSON, {}, JSON | {"Transfer-Encoding": "chunked"}])
async def test_a_missing_body_is_malformed_where_one_is_required(small: Client, headers: dict[str, str]) -> None:
    body = b"0\r\n\r\n" if "Transfer-Encoding" in headers else b""
    reply = await exchange(small.url, raw("POST", "/v1/widgets", headers, body))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b'"malformed_json"' in reply
    assert b'{"name":null,' in await exchange(small.url, raw("POST", "/v1/touch", headers, body))


@pytest.mark.parametrize("body", [b"{", b"[1", b'{"name":"\\ud800"}', b'{"name":"\xff"}', b"[" * 200_000])
async def test_invalid_json_is_400(small: Client, body: bytes) -> None:
    reply = await small.post("/v1/widgets", data=body, headers=JSON)
    assert (reply.status, reply.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ("[]", [("", "must be a JSON object")]),
        ("{}", [("/name", "is required")]),
        ('{"name": 1.5}', [("/name", "must be a string")]),
        ('{"name": "x", "size": "0.1"}', [("/size", "must be at least 0.5")]),
        ('{"name": "x", "id": 1}', [("/id", "is not a field here")]),
        (f'{{"name": "x", "{SECRET[:6]}/~": "{SECRET}"}}', [(f"/{SECRET[:6]}~1~0", "is not a field here")]),
        (f'{{"name": "{SECRET}"}}', [("/name", "must have at most 10 characters")]),
    ],
)
async def test_json_of_the_wrong_shape_is_422(small: Client, body: str, errors: list[tuple[str, str]]) -> None:
    """The problem has a pointer to each field, and no value that was sent."""
    reply = await small.post("/v1/widgets", data=body.encode(), headers=JSON)
    assert (reply.status, reply.json["code"]) == (422, "validation_failed")
    assert [(error["pointer"], error["detail"]) for error in reply.json["errors"]] == errors
    assert SECRET.encode() not in reply.body


async def test_a_creation_returns_the_new_object(small: Client) -> None:
    reply = await small.post("/v1/widgets", {"name": "x", "size": "1.50"})
    assert reply.json == {"name": "x", "size": "1.50", "made_at": "2026-11-24T07:01:34.120Z"}
    assert reply.headers["Location"] == "/v1/widgets/1"
    assert reply.headers["ETag"] == '"1"'


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_a_compressed_body_is_rejected_unread(small: Client, encoding: str) -> None:
    """A decompression bomb of 100 MiB does not block the event loop."""
    bomb = gzip.compress(b" " * (100 << 20))
    began = time.process_time()
    reply = await small.post("/v1/widgets", data=bomb, headers=JSON | {"Content-Encoding": encoding})
    assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")
    assert time.process_time() - began < 0.1


async def test_a_content_length_above_the_limit_is_rejected_unread(small: Client) -> None:
    """The limit is 1 MiB; the client need not send any byte of the body."""
    reply = await exchange(small.url, raw("POST", "/v1/widgets", JSON | {"Content-Length": str((1 << 20) + 1)}))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b'"payload_too_large"' in reply
    assert b"Connection: close" in reply


async def test_a_body_of_the_maximum_size_is_accepted(small: Client) -> None:
    body = b'{"name":"' + b"x" * ((1 << 20) - 11) + b'"}'
    assert len(body) == 1 << 20
    assert (await small.post("/v1/widgets", data=body, headers=JSON)).status == 422


async def test_an_endless_body_is_rejected_at_the_limit(small: Client) -> None:
    """A chunked body does not announce its length."""
    host, _, port = small.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw("POST", "/v1/widgets", JSON | {"Transfer-Encoding": "chunked"}))
    for _ in range(17):
        writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head


async def test_a_slow_body_times_out(small: Client) -> None:
    """After `Settings.body_timeout` the connection is closed."""
    began = time.monotonic()
    head = raw("POST", "/v1/widgets", JSON | {"Content-Length": "100", "Connection": "keep-alive"})
    reply = await exchange(small.url, head, b'{"na', b'me":')
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in reply
    assert time.monotonic() - began < 4


async def test_a_truncated_body_does_not_affect_other_requests(small: Client) -> None:
    """The next request is served."""
    host, _, port = small.url.removeprefix("http://").partition(":")
    for _ in range(5):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw("POST", "/v1/widgets", JSON | {"Content-Length": "100"}) + b'{"na')
        await writer.drain()
        writer.transport.abort()
    assert (await small.get("/v1/who")).status == 200


async def test_expect_100_continue_gets_100(small: Client) -> None:
    """RFC 9110 section 10.1.1."""
    expect = JSON | {"Expect": "100-continue", "Content-Length": "12"}
    reply = await exchange(small.url, raw("POST", "/v1/widgets", expect), b'{"name":"x"}', pause=0.05)
    assert reply.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


async def test_expect_100_continue_is_rejected_before_the_body(small: Client) -> None:
    """The client then need not send a body that would be rejected."""
    expect = JSON | {"Expect": "100-continue", "Content-Length": "12"}
    reply = await exchange(small.url, raw("POST", "/v1/accounts", expect))
    assert reply.startswith(b"HTTP/1.1 401 ")


async def test_an_unknown_expectation_is_ignored(small: Client) -> None:
    """RFC 9110 section 10.1.1 allows it."""
    assert (await exchange(small.url, raw("GET", "/v1/who", {"Expect": "miracles"}))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?limit=7&from=a", 200),
        ("?limit=7&utm=x", 422),
        ("?limit=0", 422),
        ("?limit=1e1", 422),
        ("?limit=%D9%A3", 422),
        ("?limit=5&limit=5", 422),
        ("?from=%00", 422),
    ],
)
async def test_query_parameters_are_validated(small: Client, query: str, status: int) -> None:
    assert (await small.get("/v1/widgets" + query)).status == status


async def test_the_next_link_keeps_the_query_without_its_beginning(small: Client) -> None:
    """`from` says where a list begins, and the cursor where it goes on."""
    reply = await small.get("/v1/widgets?limit=7&from=a%20b")
    assert reply.headers["Link"] == f'<{small.url}/v1/widgets?limit=7&cursor=abc%3D>; rel="next"'
    assert orjson.loads(reply.body)["limit"] == 7


@pytest.mark.parametrize(("key", "status"), [("a" * 255, 201), ("a" * 256, 422), ("a b", 422), ("", 422), ("ä", 422)])
async def test_an_idempotency_key_must_be_visible_ascii(small: Client, key: str, status: int) -> None:
    reply = await exchange(
        small.url,
        raw("POST", "/v1/widgets", JSON | {"Idempotency-Key": key, "Content-Length": "12"}, b'{"name":"x"}'),
    )
    assert int(reply.split()[1]) == status
