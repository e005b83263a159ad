"""A client that sends slowly holds its connection for a bounded time (ASVS 5.0 V15.2.2, API4:2023).

The limits are those of production made short: `body_timeout` for a body, `keepalive_timeout` for everything before it.
What follows a refused body is read for two seconds more, so that its sender sees the response.
"""

import asyncio
import time

from tests.api.small import small_service

BODY_TIMEOUT, KEEPALIVE_TIMEOUT, LINGER = 0.3, 0.6, 2.0
POST = b"POST /v1/widgets HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BEFORE_THE_BODY = {
    "a request line": (b"GET /v1", b"a"),
    "empty lines": (b"", b"\r\n"),
    "a header": (b"GET /v1/who HTTP/1.1\r\nHost: a\r\nX-", b"a"),
    "headers": (b"GET /v1/who HTTP/1.1\r\nHost: a\r\n", b"X: a\r\n"),
    "a header of the second request": (b"GET /v1/who HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/who HTTP/1.1\r\nX: ", b"a"),
}
IN_THE_BODY = {
    "a body": (POST + b"Content-Length: 1000\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "a chunk's extension": (CHUNKED + b"1;", b"a"),
    "trailers": (CHUNKED + b"1\r\n \r\n0\r\n", b"X: a\r\n"),
    "a body that the route does not read": (b"GET /v1/who HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b" "),
}


async def trickle(url: str, first: bytes, rest: bytes) -> tuple[bytes, float]:
    """Send `rest` again and again; return what the server sends, and the seconds until it closes the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    writer.write(first)

    async def feed() -> None:
        while True:
            await asyncio.sleep(0.05)
            writer.write(rest)

    feeding = asyncio.create_task(feed())
    received = b""
    try:
        async with asyncio.timeout(20):
            while part := await reader.read(1 << 16):
                received += part
    except ConnectionResetError:
        pass
    finally:
        feeding.cancel()
        writer.transport.abort()
    return received, time.monotonic() - began


async def test_a_slow_request_ends_in_time() -> None:
    """Whatever it is that arrives byte by byte; others are served meanwhile."""
    async with small_service(body_timeout=BODY_TIMEOUT, keepalive_timeout=KEEPALIVE_TIMEOUT) as url:
        cases = BEFORE_THE_BODY | IN_THE_BODY
        ended = dict(zip(cases, await asyncio.gather(*(trickle(url, *each) for each in cases.values())), strict=True))
    for name, (received, seconds) in ended.items():
        limit = KEEPALIVE_TIMEOUT if name in BEFORE_THE_BODY else BODY_TIMEOUT + LINGER
        assert seconds < limit + 2, name
        if name in IN_THE_BODY and "not read" not in name:
            assert received.startswith(b"HTTP/1.1 408 "), (name, received)
