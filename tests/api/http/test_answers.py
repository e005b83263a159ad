"""What every response has in common, and which response each failure gets."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.api.client import Client
from tests.api.small import SECRET, exchange, raw, small_service

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "vitrina",
}


@pytest.fixture(scope="module")
async def small(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of the small application with a request timeout of half a second."""
    async with small_service(request_timeout=0.5) as url:
        yield Client(http, url)


async def _lines(logs: Path, request_id: str) -> list[dict[str, Any]]:
    """The log entries of a request, once the last one is written, which says how it ended."""
    async with asyncio.timeout(20):
        while True:
            lines = [orjson.loads(line) for line in _bytes(logs).splitlines()]
            found = [line for line in lines if line.get("request_id") == request_id]
            if found and found[-1]["event"] == "request":
                return found
            await asyncio.sleep(0.02)


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/who", 200),
        ("HEAD", "/v1/who", 200),
        ("GET", "/v1/mine", 401),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/widgets/a%0Ab/c", 404),
        ("GET", "/", 404),
        ("DELETE", "/v1/who", 405),
        ("OPTIONS", "/v1/who", 405),
        ("TRACE", "/v1/who", 405),
        ("PROPFIND", "/v1/who", 405),
        ("POST", "/v1/widgets", 400),
        ("GET", "/v1/fail?how=bug", 500),
        ("GET", "/v1/stream", 200),
        ("OPTIONS", "*", 404),
    ],
)
async def test_every_response_has_security_headers_and_no_version(
    small: Client, method: str, target: str, status: int
) -> None:
    reply = await exchange(small.url, raw(method, target))
    head = reply.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith(f"HTTP/1.1 {status} ")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    assert SECURITY.items() <= headers.items()
    assert headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in head
    assert "Python" not in head
    assert 1 <= len(headers["X-Request-ID"]) <= 128


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ],
    ids=lambda sent: repr(sent[:16]),
)
async def test_bytes_that_are_not_http_get_a_problem(small: Client, sent: bytes) -> None:
    """The response of aiohttp itself would quote the bytes, and name its version and Python's."""
    reply = await exchange(small.url, sent)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"Content-Type: application/problem+json" in head
    assert b"nosniff" in head
    assert b"X-Request-ID: " in head
    assert b"aiohttp" not in reply
    assert orjson.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/v1/nowhere", (404, "not_found", None)),
        ("POST", "/v1/nowhere", (404, "not_found", None)),
        ("GET", "/v1/nowhere?a=b", (404, "not_found", None)),
        ("GET", "/v1/who/", (404, "not_found", None)),
        ("GET", "/v1//who", (404, "not_found", None)),
        ("POST", "/v1/who", (405, "method_not_allowed", "GET, HEAD")),
        ("POST", "/v1/who?a=b", (405, "method_not_allowed", "GET, HEAD")),
        ("PUT", "/v1/widgets/1", (405, "method_not_allowed", "DELETE, GET, HEAD, PATCH")),
    ],
)
async def test_an_unknown_path_or_method_gets_a_problem(
    small: Client, method: str, path: str, answer: tuple[int, str, str | None]
) -> None:
    """An invalid token makes no difference, because there is nothing to protect."""
    reply = await small.bearing("wrong").request(method, path)
    assert (reply.status, reply.json["code"], reply.headers.get("Allow")) == answer
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["instance"] == path.partition("?")[0]


@pytest.mark.parametrize(("method", "target"), [("OPTIONS", "*"), ("CONNECT", "vitrina.example:443")])
async def test_a_target_that_is_no_path_gets_a_problem(small: Client, logs: Path, method: str, target: str) -> None:
    """No route of aiohttp matches it (RFC 9112 sections 3.2.3 and 3.2.4)."""
    reply = await exchange(small.url, raw(method, target, {"X-Request-ID": f"no-path-{method}"}))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"Content-Type: application/problem+json" in head
    assert orjson.loads(body)["code"] == "not_found"
    (line,) = await _lines(logs, f"no-path-{method}")
    assert (line["route"], line["status"]) == ("unknown", 404)


@pytest.mark.parametrize(("how", "status", "code"), [("sku", 409, "sku_taken"), ("missing", 404, "not_found")])
async def test_an_expected_error_becomes_its_problem(small: Client, how: str, status: int, code: str) -> None:
    """The error table defines status and code; `instance` is the path without the query."""
    reply = await small.get(f"/v1/fail?how={how}")
    assert (reply.status, reply.json["code"], reply.json["instance"]) == (status, code, "/v1/fail")


async def test_the_details_of_a_bug_are_logged_and_not_returned(small: Client, logs: Path) -> None:
    """The log entry has the request id."""
    reply = await small.get("/v1/fail?how=bug", headers={"X-Request-ID": "bug-1"})
    assert (reply.status, reply.json["code"]) == (500, "internal_error")
    assert SECRET.encode() not in reply.body
    failed, request = await _lines(logs, "bug-1")
    assert failed["event"] == "request_failed"
    assert "ValueError" in failed["exception"]
    assert (request["event"], request["status"]) == ("request", 500)


async def test_the_access_log_has_no_content_of_the_request(small: Client, logs: Path) -> None:
    """It has the route template, numbers and ids, but no path, address, token, query or agent (ASVS 16.2.5)."""
    canary = "canary-66ab"
    await small.bearing("user").get(
        f"/v1/widgets/{canary}?token={canary}", headers={"X-Request-ID": "logged-1", "User-Agent": canary}
    )
    (line,) = await _lines(logs, "logged-1")
    assert isinstance(line.pop("duration_ms"), float)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "logged-1",
        "method": "GET",
        "route": "/v1/widgets/{id}",
        "status": 422,
        "calls": 0,
        "read_units": 0.0,
        "write_units": 0.0,
        "user_id": "id-of-user",
    }
    assert canary.encode() not in _bytes(logs)


async def test_unknown_paths_and_methods_share_one_label_each(small: Client, logs: Path) -> None:
    """A scanner must not create a metric for each path."""
    await small.request("PROPFIND", "/v1/canary-path", headers={"X-Request-ID": "unknown-1"})
    (line,) = await _lines(logs, "unknown-1")
    assert (line["method"], line["route"], line["status"]) == ("OTHER", "unknown", 404)
    metrics = (await small.get("/metrics")).body.decode()
    assert 'vitrina_http_requests_total{method="OTHER",route="unknown",status="404"} ' in metrics
    assert "PROPFIND" not in metrics
    assert "canary-path" not in metrics


@pytest.mark.parametrize("given", ["a", "A-z/0+9_.=-", "x" * 128])
async def test_a_given_request_id_is_kept(small: Client, given: str) -> None:
    """A request can then be traced from the client to the log."""
    assert (await small.get("/v1/who", headers={"X-Request-ID": given})).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "ü", 'a"b', None])
async def test_a_missing_request_id_is_generated(small: Client, given: str | None) -> None:
    """An id that is not safe to log is replaced, too."""
    sent = {} if given is None else {"X-Request-ID": given}
    ids = []
    for _ in range(2):
        reply = await exchange(small.url, raw("GET", "/v1/who", sent))
        ids.append(reply.partition(b"X-Request-ID: ")[2].partition(b"\r\n")[0])
    assert len(set(ids)) == 2
    assert given is None or given.encode() not in ids


async def test_head_is_get_without_a_body(small: Client) -> None:
    """All headers but the request id are equal."""
    got = await small.get("/v1/widgets/1", headers={"X-Request-ID": "a"})
    head = await small.request("HEAD", "/v1/widgets/1", headers={"X-Request-ID": "a"})
    assert head.body == b""
    assert {**head.headers, "Date": ""} == {**got.headers, "Date": ""}


async def test_a_matching_version_gets_304(small: Client) -> None:
    """It repeats the `Cache-Control` of the 200 (RFC 9110 section 15.4.5)."""
    reply = await small.get("/v1/widgets/1", headers={"If-None-Match": 'W/"2", "3"'})
    assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", '"3"')
    assert reply.headers["Cache-Control"] == "public, max-age=1"
    assert (await small.get("/v1/widgets/1")).headers["Cache-Control"] == "public, max-age=1"


@pytest.mark.parametrize(("given", "expected"), [(None, "any"), ("*", "any"), ('"3", "5"', ["3", "5"]), ('W/"3"', [])])
async def test_handlers_get_the_versions_of_if_match(small: Client, given: str | None, expected: object) -> None:
    """A missing header accepts any version; a weak tag accepts none."""
    reply = await small.delete("/v1/widgets/1", headers={} if given is None else {"If-Match": given})
    assert reply.json == expected


async def test_a_slow_handler_is_cancelled(small: Client) -> None:
    """The response is a 503 with `Retry-After`; a route that may stream has no deadline."""
    began = time.monotonic()
    reply = await small.get("/v1/sleep?seconds=5")
    assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (503, "unavailable", "1")
    assert time.monotonic() - began < 1
    assert (await small.get("/v1/sleep-long?seconds=0.7")).json == "slept"


async def test_the_deadline_pauses_while_a_body_arrives(small: Client) -> None:
    """The body has its own, longer limit; the deadline resumes with the remaining seconds."""
    head = raw("POST", "/v1/touch", {"Content-Type": "application/json", "Content-Length": "12"})
    reply = await exchange(small.url, head, b'{"name":', b'"x"}', pause=0.4)
    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_a_stream_that_fails_is_cut_short(small: Client, logs: Path) -> None:
    """The status 200 has been sent, so only a missing end signals the error (RFC 9112 section 8)."""
    assert (await small.get("/v1/stream")).body == b"0\n1\n2\n"
    with pytest.raises(aiohttp.ClientPayloadError):
        await small.get("/v1/stream?break=1", headers={"X-Request-ID": "cut-1"})
    lines = await _lines(logs, "cut-1")
    assert [(line["event"], line.get("status")) for line in lines] == [("request_failed", None), ("request", 500)]


async def test_a_client_that_disconnects_from_a_stream_is_not_logged_as_an_error(small: Client, logs: Path) -> None:
    """It is logged with status 499, as nginx does."""
    host, _, port = small.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw("GET", "/v1/stream", {"X-Request-ID": "left-1"}))
    await reader.readuntil(b"0\n")
    writer.transport.abort()
    await asyncio.sleep(0.2)
    (line,) = await _lines(logs, "left-1")
    assert (line["event"], line["status"]) == ("request", 499)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/who HTTP/1.1\r\nHost: a\r\nX-", b"GET /v1/who HTTP/1.1\r\nHost: a\r\n\r\n"]
)
async def test_an_idle_connection_is_closed(sent: bytes) -> None:
    """The client stops before a request, within its headers, or after the response."""
    async with small_service(keepalive_timeout=0.3) as url:
        began = time.monotonic()
        await exchange(url, sent)
        assert 0.2 < time.monotonic() - began < 3


ORIGIN = "https://shop.example"


async def test_cors_is_off_by_default(small: Client) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    reply = await small.request("OPTIONS", "/v1/widgets", headers=preflight)
    assert reply.status == 405
    assert not [name for name in reply.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("setting", "origin", "allowed", "vary"),
    [
        (f"{ORIGIN},https://b.example", ORIGIN, ORIGIN, "Origin"),
        (ORIGIN, "https://evil.example", None, "Origin"),
        (ORIGIN, None, None, "Origin"),
        ("*", "https://any.example", "*", None),
    ],
)
async def test_configured_origins_get_cors_headers(
    http: aiohttp.ClientSession, setting: str, origin: str | None, allowed: str | None, vary: str | None
) -> None:
    """Errors have them, too. `Allow-Credentials` is not sent, because tokens are not cookies."""
    headers = {} if origin is None else {"Origin": origin}
    async with small_service(cors_origins=setting) as url:
        client = Client(http, url)
        for path in ("/v1/who", "/v1/nowhere"):
            reply = await client.get(path, headers=headers)
            assert reply.headers.get("Access-Control-Allow-Origin") == allowed
            assert reply.headers.get("Vary") == vary
            assert ("ETag" in reply.headers.get("Access-Control-Expose-Headers", "")) == (allowed is not None)
            assert "Access-Control-Allow-Credentials" not in reply.headers
        preflight = headers | {"Access-Control-Request-Method": "PATCH"}
        reply = await client.request("OPTIONS", "/v1/widgets/1?shade=red", headers=preflight)
        assert reply.status == 204
        assert reply.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, PATCH"
        assert reply.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.parametrize(("proxies", "told"), [("127.0.0.0/8", True), ("10.0.0.0/8", False), ("", False)])
async def test_tls_at_a_trusted_proxy_enables_hsts(
    http: aiohttp.ClientSession,
    proxies: str,
    told: bool,  # noqa: FBT001
) -> None:
    """Links are https, too. RFC 6797 section 7.2 forbids HSTS over plain HTTP."""
    async with small_service(trusted_proxies=proxies) as url:
        client, headers = Client(http, url), {"X-Forwarded-Proto": "https"}
        for path in ("/v1/nowhere", "/v1/fail?how=bug", "/v1/mine"):
            assert ("Strict-Transport-Security" in (await client.get(path, headers=headers)).headers) == told
        reply = await client.get("/v1/widgets", headers=headers)
        assert ("Strict-Transport-Security" in reply.headers) == told
        assert reply.headers["Link"].startswith("<https://" if told else "<http://")


async def test_links_use_the_public_host_if_it_is_configured(http: aiohttp.ClientSession) -> None:
    """Behind a proxy the host of the request may be an internal one."""
    async with small_service(public_url="https://api.example/") as url:
        reply = await Client(http, url).get("/v1/widgets")
        assert reply.headers["Link"] == '<https://api.example/v1/widgets?cursor=abc%3D>; rel="next"'
