"""A proxy before DynamoDB that fails every request in one way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum, auto
from typing import Final

import aiohttp
from aiohttp import web

_SLOW: Final = 0.35
"""Seconds: less than the client waits for one response (1 s), by as much as a busy machine adds."""
_TYPE: Final = "com.amazonaws.dynamodb.v20120810#"
_OF_ONE_CONNECTION: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class Fault(StrEnum):
    """What happens to a request."""

    SLOW = auto()
    THROTTLED = auto()
    BROKEN = auto()
    RESET = auto()
    HANGING = auto()
    LOST = auto()
    """It is carried out, and the connection breaks before its answer."""
    LOST_ONCE = auto()
    """The same, but the second try of a call is answered."""


class FaultyTable:
    """Forwards requests, counts them, and fails them in the way that `fault` names."""

    def __init__(self, upstream: str, http: aiohttp.ClientSession) -> None:
        self.fault: Fault | None = None
        self.calls = 0
        self._upstream = upstream
        self._http = http
        self._tried: set[bytes] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request."""
        body = await request.read()
        self.calls += 1
        match self.fault:
            case Fault.SLOW:
                await asyncio.sleep(_SLOW)
            case Fault.THROTTLED:
                return _refusal("ProvisionedThroughputExceededException", 400)
            case Fault.BROKEN:
                return _refusal("InternalServerError", 500)
            case Fault.RESET:
                return _cut(request)
            case Fault.HANGING:
                await asyncio.Event().wait()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        async with self._http.post(self._upstream, data=body, headers=headers) as answer:
            content = await answer.read()
        if self._loses(body):
            return _cut(request)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        return web.Response(status=answer.status, body=content, headers=kept)

    def _loses(self, call: bytes) -> bool:
        is_new = call not in self._tried
        self._tried.add(call)
        return self.fault is Fault.LOST or (self.fault is Fault.LOST_ONCE and is_new)


@asynccontextmanager
async def faulty_table(upstream: str) -> AsyncIterator[tuple[FaultyTable, str]]:
    """Start a proxy before an engine; yields the proxy and its URL."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        table = FaultyTable(upstream, http)
        server = web.Server(table.handle)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        try:
            yield table, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            await server.shutdown(timeout=0.1)


def _refusal(name: str, status: int) -> web.Response:
    return web.json_response({"__type": _TYPE + name, "message": "a fault"}, status=status)


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
