"""Clients that do not read their responses cost little memory, and are disconnected (ASVS 5.0 V15.2.2, API4:2023)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.api.small import LARGE, LARGE_SIZE, small_app
from vitrina.api.server import connection

PIPELINED = 4
REQUEST = b"GET /v1/large HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def connected(url: str, sent: bytes) -> AsyncIterator[socket.socket]:
    """Send requests over a connection that receives as little as possible unless the test reads from it."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)  # noqa: FBT003
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, sent)
        yield client


async def read(client: socket.socket, seconds: float = 20.0) -> int:
    """Return how many bytes come until the server closes or resets the connection."""
    loop, received = asyncio.get_running_loop(), 0
    async with asyncio.timeout(seconds):
        try:
            while chunk := await loop.sock_recv(client, 1 << 20):
                received += len(chunk)
        except ConnectionResetError:
            pass
    return received


async def read_some(client: socket.socket, size: int) -> int:
    """Read at least so many bytes, of a response that has more."""
    received = 0
    while received < size:
        received += len(await asyncio.get_running_loop().sock_recv(client, size))
    return received


async def until_waiting(clients: int) -> None:
    """Wait until so many clients have responses that they do not read."""
    async with asyncio.timeout(10):
        while len(connection.Connection._waiting) < clients:  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.01)


async def test_pipelined_requests_wait_until_the_earlier_response_is_read() -> None:
    """And then all are answered: only their order and pace are the client's."""
    async with small_app() as (url, app):
        requests = REQUEST * (PIPELINED - 1) + REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        async with connected(url, requests) as client:
            await until_waiting(1)
            await asyncio.sleep(0.2)
            assert len(app[LARGE]) == 1
            assert await read(client) > PIPELINED * LARGE_SIZE
        assert len(app[LARGE]) == PIPELINED
    assert not connection.Connection._waiting


async def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_STALL", 0.2)
    async with small_app() as (url, app), connected(url, REQUEST * PIPELINED) as client:
        await until_waiting(1)
        async with asyncio.timeout(10):
            while connection.Connection._waiting:  # noqa: ASYNC110 - it sends no event
                await asyncio.sleep(0.05)
        assert await read(client) < LARGE_SIZE
        assert len(app[LARGE]) == 1


async def test_a_client_that_reads_slowly_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some progress in each period is enough."""
    monkeypatch.setattr(connection, "_STALL", 0.3)
    last = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with small_app() as (url, _), connected(url, last) as client:
        await until_waiting(1)
        received = 0
        for _ in range(6):
            await asyncio.sleep(0.1)
            received += await read_some(client, LARGE_SIZE // 10)
        assert received + await read(client) > LARGE_SIZE


async def test_the_largest_unread_responses_go_when_a_process_holds_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with small_app() as (url, _), connected(url, REQUEST) as first, connected(url, REQUEST) as second:
        await until_waiting(2)
        held = connection.Connection._held
        monkeypatch.setattr(connection, "_MOST_UNREAD", held)
        async with connected(url, REQUEST) as third:
            finished = [asyncio.create_task(read(each, seconds=5)) for each in (first, second, third)]
            await asyncio.wait(finished, return_when=asyncio.FIRST_COMPLETED)
            assert sum(each.done() and each.result() < LARGE_SIZE for each in finished) == 1
            for each in finished:
                each.cancel()
            await asyncio.gather(*finished, return_exceptions=True)
