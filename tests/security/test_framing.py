"""Where a message ends is beyond doubt, so no request can hide in another one (ASVS 5.0 V4.2, API8:2023).

All of these are bytes on a socket: a proxy in front of the service may read them otherwise than its parser.
"""

import re
from collections.abc import AsyncIterator

import pytest

from tests.api.small import exchange, small_service

BODY = b'{"name":"x"}'
HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request that must not be handled where it stands inside another one: its path is unknown, so it would get a 404."""
NEXT = b"GET /v1/who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"c\r\n" + BODY + b"\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    """A service that trusts its client as a proxy."""
    async with small_service(trusted_proxies="127.0.0.1/32") as url:
        yield url


def post(*headers: bytes, body: bytes, host: bytes = b"Host: a") -> bytes:
    """Return a request with a body."""
    lines = [b"POST /v1/widgets HTTP/1.1", host, b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"", body])


def get(*headers: bytes, target: bytes = b"/v1/who", version: bytes = b"HTTP/1.1") -> bytes:
    """Return a request without a body."""
    return b"\r\n".join([b"GET " + target + b" " + version, *headers, b"", b""])


def statuses(received: bytes) -> list[int]:
    """Return the statuses of the responses."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d\d\d) ", received)]


LENGTHS = (b"12, 12", b"+12", b"0x0c", b"-1", b"1_2", b"", b"12 12", "\uff11\uff12".encode(), b"9" * 30)
CODINGS = (b"", b"identity", b"xchunked", b"chunked, identity", b"chunked, chunked", b"chunked;q=1", b"\x0bchunked")
AMBIGUOUS = {
    "length and chunks": post(b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG"),
    "chunks and length": post(CHUNKED, b"Content-Length: 4", body=b"5c\r\n"),
    "two lengths": post(b"Content-Length: 12", b"Content-Length: 0", body=BODY),
    "one length twice": post(b"Content-Length: 12", b"Content-Length: 12", body=BODY),
    **{f"length {text!r}": post(b"Content-Length: " + text, body=BODY) for text in LENGTHS},
    **{f"coding {text!r}": post(b"Transfer-Encoding: " + text, body=CHUNKS) for text in CODINGS},
    "two codings": post(CHUNKED, b"transfer-encoding: cow", body=CHUNKS),
    "a space before a colon": post(b"Transfer-Encoding : chunked", body=CHUNKS),
    "a folded coding": post(b"Transfer-Encoding:", b" chunked", body=CHUNKS),
    "a folded header": post(b"X: a", b" b", b"Content-Length: 12", body=BODY),
    "chunks in HTTP/1.0": post(CHUNKED, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk of 0x0c": post(CHUNKED, body=b"0x" + CHUNKS),
    "a negative chunk": post(CHUNKED, body=b"-" + CHUNKS),
    "a chunk of 2 ** 68": post(CHUNKED, body=b"f" * 17 + b"\r\n" + BODY),
    "a chunk that is too short": post(CHUNKED, body=b"b" + CHUNKS[1:]),
    "a chunk without its end": post(CHUNKED, body=CHUNKS.replace(b"\r\n0", b"0")),
    "line feeds alone in chunks": post(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n")),
    "a line feed in a chunk's extension": post(CHUNKED, body=b"c;a\nb" + CHUNKS[1:]),
    "line feeds alone": get(b"Host: a").replace(b"\r\n", b"\n"),
    "a line feed alone": get(b"Host: a\nX: b"),
    "a carriage return alone": get(b"Host: a\rX: b"),
    "a NUL": get(b"Host: a", b"X: a\0b"),
    "no colon": get(b"Host: a", b"X"),
    "no name": get(b"Host: a", b": x"),
    "a space before a name": get(b" Host: a"),
    "no host": get(),
    "two hosts": get(b"Host: a", b"Host: b"),
    "two media types": post(b"Content-Type: text/plain", b"Content-Length: 12", body=BODY),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": get(b"Host: a", version=b"HTTP/9.9"),
    "a version in small letters": get(b"Host: a", version=b"http/1.1"),
    "a NUL in the target": get(b"Host: a", target=b"/v1/\0who"),
    "a long target": get(b"Host: a", target=b"/" + b"a" * 8_200),
    "a long name": get(b"Host: a", b"X" * 8_200 + b": a"),
    "a long value": get(b"Host: a", b"X: " + b"a" * 8_200),
    "many headers": get(b"Host: a", *(b"X: a" for _ in range(200))),
    "many trailers": post(CHUNKED, body=CHUNKS[:-2] + b"X: a\r\n" * 200 + b"\r\n"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_an_ambiguous_message_is_refused_and_ends_its_connection(url: str, case: str) -> None:
    """With one response: nothing that follows it is taken for a request."""
    assert statuses(await exchange(url, AMBIGUOUS[case] + HIDDEN)) == [400]


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize(
    ("request_line", "media_type", "status"),
    [
        (b"GET /v1/who", b"application/json", 200),
        (b"POST /v1/nowhere", b"application/json", 404),
        (b"PUT /v1/who", b"application/json", 405),
        (b"POST /v1/accounts", b"application/json", 401),
        (b"POST /v1/widgets", b"text/plain", 415),
    ],
)
async def test_a_body_that_is_not_read_is_no_request(
    url: str, framing: str, request_line: bytes, media_type: bytes, status: int
) -> None:
    """The next request of the connection is handled, or the connection ends (CWE-444)."""
    length, body = b"Content-Length: %d" % len(HIDDEN), HIDDEN
    if framing == "chunks":
        length, body = CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    sent = b"\r\n".join([request_line + b" HTTP/1.1", b"Host: a", b"Content-Type: " + media_type, length, b"", body])
    assert statuses(await exchange(url, sent + NEXT)) == ([status, 200] if framing == "length" else [status])


@pytest.mark.parametrize("trailer", [b"Authorization: Bearer admin", b"X-Forwarded-For: 203.0.113.9"])
@pytest.mark.parametrize("pause", [0, 0.1])
async def test_a_trailer_is_no_header_of_the_next_request(url: str, trailer: bytes, pause: float) -> None:
    """Behind a proxy the next request of the connection may be another client's (RFC 9110 section 6.5.1)."""
    received = await exchange(url, post(CHUNKED, body=CHUNKS[:-2] + trailer + b"\r\n\r\n"), NEXT, pause=pause)
    assert statuses(received) == [201]
    assert b"Connection: close\r\n" in received


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("request_line", ["GET", "POST"])
async def test_an_upgrade_is_ignored(url: str, protocol: bytes, request_line: str) -> None:
    """The request gets its response over HTTP/1.1, as does the next one (RFC 9110 section 7.8)."""
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk")
    first = {"GET": get(b"Host: a", *upgrade), "POST": post(*upgrade, b"Content-Length: 12", body=BODY)}[request_line]
    received = await exchange(url, first, NEXT, pause=0.1)
    assert statuses(received) == [200 if request_line == "GET" else 201, 200]


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"DEBUG", b"PRI"])
async def test_no_other_method_has_an_effect(url: str, method: bytes) -> None:
    """ASVS 5.0 V4.1.4 and V13.4.4. Headers that name another method have no effect either."""
    override = (b"X-HTTP-Method-Override: GET", b"X-Method-Override: GET", b"Cookie: secret=1")
    sent = get(b"Host: a", *override, b"Connection: close").replace(b"GET", method, 1)
    received = await exchange(url, sent)
    assert statuses(received) in ([400], [404], [405])
    assert b"secret" not in received


HOSTS = (
    b"", b"a b", b"a@b", b"a/b", b"a?b", b"a#b", b"a,b", b"<x>", b'x"y', b"[::1", b"1.2.3", b"a:99999", b"a:", b"\xff",
    b"a" * 300, b'a>; rel="next", <http://b',
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_a_malformed_host_is_refused(url: str, host: bytes) -> None:
    """Links are made of the host (ASVS 5.0 V1.2.2)."""
    received = await exchange(url, get(b"Host: " + host, b"Connection: close", target=b"/v1/widgets"))
    assert statuses(received) == [400]
    assert b"Link: " not in received


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"http://b/v1/widgets", 200), (b"http://u:p@b/v1/widgets", 200), (b"http://b,c/v1/who", 400)],
)
async def test_the_host_of_an_absolute_target_replaces_host(url: str, target: bytes, status: int) -> None:
    """RFC 9112 section 3.2.2. The same rules apply to it."""
    received = await exchange(url, get(b"Host: a", b"Connection: close", target=target))
    assert statuses(received) == [status]
    assert (b"Link: <http://b/v1/widgets?" in received) == (status == 200)


@pytest.mark.parametrize("target", [b"/v1/widgets/a%0d%0aX-Evil:%20b", b"/v1/widgets?limit=1%0d%0aX-Evil:%20b"])
async def test_no_target_can_add_a_header(url: str, target: bytes) -> None:
    """Response splitting (ASVS 5.0 V1.2.1)."""
    for extra in (b"X-Request-ID: a", b"X-Request-ID: a%0d%0aX-Evil: b"):
        received = await exchange(url, get(b"Host: a", extra, b"Connection: close", target=target))
        assert b"\nX-Evil" not in received
