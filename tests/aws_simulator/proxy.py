"""The proxy: an HTTP server for each AWS endpoint, before the engines, with a chain of behaviours in between.

It speaks AWS's JSON protocol, in which the header `X-Amz-Target` names API and operation, and REST for SES. A behaviour
may refuse a request, change it, delay it, send others, change the response, or lose it.
"""

import asyncio
import threading
import uuid
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol, Self

import aiohttp
import orjson
from aiohttp import web

_FORWARDED: Final = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
_LARGEST: Final = 16 * 2**20
"""Bytes of a request ("Quotas in Amazon DynamoDB": BatchWriteItem)."""

_SERVICES: Final = ("dynamodb", "streams.dynamodb", "sqs", "email")
SES_API: Final = "SimpleEmailService_v2"
_SES: Final = {"POST /v2/email/outbound-emails": "SendEmail", "GET /v2/email/account": "GetAccount"}

Json = dict[str, Any]


class LostAnswer(Exception):
    """The operation took place, and the client gets no response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host of AWS, by the name before its region: those of DynamoDB and of its streams differ."""

    service: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of an operation. `target` is the API that the client addresses, such as `DynamoDB_20120810`."""

    endpoint: Endpoint
    target: str
    operation: str
    body: Json
    headers: Mapping[str, str]
    known: dict[Any, Any] = field(default_factory=dict)
    """Items that behaviours have read for this call, by key; requests that are made from it share them."""

    def other(self, operation: str, body: Json) -> Self:
        """Return a call of another operation of the same API by the same caller."""
        return replace(self, operation=operation, body=body)

    def changed(self, **parameters: Any) -> Self:  # noqa: ANN401 - any JSON
        """Return the same call with other parameters."""
        return replace(self, body=self.body | parameters)


@dataclass(frozen=True, slots=True)
class Response:
    """A status and a body; an error has its code in `__type`."""

    status: int
    body: Json

    @property
    def ok(self) -> bool:
        """Whether the operation succeeded."""
        return self.status == 200

    @property
    def code(self) -> str:
        """The code of an error; empty for a success."""
        return str(self.body.get("__type", "")).rpartition("#")[2]


Forward = Callable[[Request], Awaitable[Response]]
"""Sends a request on: to the next behaviour or to the engine."""


class Behaviour(Protocol):
    """What AWS does and the engine does not."""

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Respond to a request."""
        ...


class Clock:
    """The clock of the running event loop, in seconds."""

    def now(self) -> float:
        """Return the time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class ManualClock(Clock):
    """A clock that stands still until a test, or a wait, moves it: no test waits for it."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Return the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Move the clock at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where the simulated endpoints listen."""

    dynamodb: str
    streams: str
    sqs: str
    ses: str


def refusal(code: str, message: str, *, status: int = 400, **members: Any) -> Response:  # noqa: ANN401 - any JSON
    """Return an error; all refusals of DynamoDB have status 400."""
    return Response(status, {"__type": f"com.amazonaws#{code}", "message": message, **members})


def cancelled(codes: Sequence[str], messages: Mapping[str, str]) -> Response:
    """Return the cancellation of a transaction: a code for each of its items, `None` for an item without fault."""
    reasons = [{"Code": code} | ({"Message": messages[code]} if code in messages else {}) for code in codes]
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]"
    # This error alone spells its message with a capital.
    return refusal("TransactionCanceledException", message, Message=message, CancellationReasons=reasons)


def chain(http: aiohttp.ClientSession, engine: str, behaviours: Sequence[Behaviour]) -> Forward:
    """Return what sends a request through behaviours to an engine's URL; the first one is the first to see it."""
    forward: Forward = partial(_send, http, engine)
    for behaviour in reversed(behaviours):
        forward = partial(behaviour, forward=forward)
    return forward


@asynccontextmanager
async def simulate(
    engine: str, behaviours: Sequence[Behaviour], *, queue: str = "", region: str = "us-east-1"
) -> AsyncIterator[Urls]:
    """Serve the endpoints of a region: of tables before an `engine`, of SQS before a `queue`. SES needs none."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http, AsyncExitStack() as stack:
        urls = []
        for service in _SERVICES:
            forward = chain(http, queue if service == "sqs" else engine, behaviours)
            endpoint = Endpoint(service=service, region=region)
            urls.append(await stack.enter_async_context(_serving(endpoint, forward)))
        yield Urls(**dict(zip(("dynamodb", "streams", "sqs", "ses"), urls, strict=True)))


@contextmanager
def in_thread(serving: AbstractAsyncContextManager[Urls]) -> Iterator[Urls]:
    """Serve from the event loop of a thread, for tests that block their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(30)
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def _serving(endpoint: Endpoint, forward: Forward) -> AsyncIterator[str]:
    server = web.Server(partial(_respond, endpoint, forward), access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await server.shutdown(timeout=0.1)


async def _respond(endpoint: Endpoint, forward: Forward, http: web.BaseRequest) -> web.Response:
    body = b"".join([chunk async for chunk in http.content.iter_chunked(_LARGEST)])
    target, _, operation = http.headers.get("X-Amz-Target", "").rpartition(".")
    if endpoint.service == "email":
        target, operation = SES_API, _SES.get(f"{http.method} {http.path}", "")
    headers = {name: http.headers[name] for name in _FORWARDED if name in http.headers}
    response = refusal("UnknownOperationException", "")
    if operation:
        parameters = orjson.loads(body or b"{}")
        request = Request(endpoint=endpoint, target=target, operation=operation, body=parameters, headers=headers)
        try:
            response = await forward(request)
        except LostAnswer:
            assert http.transport is not None
            http.transport.abort()
    content = orjson.dumps(response.body)
    return web.Response(
        status=response.status,
        body=content,
        content_type="application/x-amz-json-1.0",
        headers={"x-amz-crc32": str(zlib.crc32(content)), "x-amzn-RequestId": uuid.uuid4().hex},
    )


async def _send(http: aiohttp.ClientSession, engine: str, request: Request) -> Response:
    headers = {**request.headers, "X-Amz-Target": f"{request.target}.{request.operation}"}
    async with http.post(engine, data=orjson.dumps(request.body), headers=headers) as answer:
        return Response(answer.status, orjson.loads(await answer.read()))
