"""Health, readiness and metrics, for load balancers and Prometheus."""

import asyncio
import contextvars
import os
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from pydantic import BaseModel

from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.server.process import READINESS
from vitrina.api.server.supervisor import MULTIPROC_DIR
from vitrina.errors import TableUnavailable

routes = RouteTable("ops")
_REST: Final = 9
"""Pause after making the text of the metrics, in times of the seconds that it took."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds."""


class Health(BaseModel):
    """The state of the process."""

    status: str


class Exposition:
    """The text of the metrics, made in a thread, once for all scrapers that wait for it.

    A thread that computes slows the event loop down, so making it takes a tenth of the time at most: a scrape that
    follows another closely waits, for up to `_LONGEST_PAUSE`. No scraper gets a text that is older than its request.
    """

    def __init__(self, access_log: AccessLog) -> None:
        self._access_log = access_log
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None
        self._rested_at = 0.0

    async def text(self) -> bytes:
        """Return the metrics as they are now or a moment later."""
        if self._next is None:
            self._next = asyncio.create_task(self._make(), context=contextvars.Context())
        return await asyncio.shield(self._next)

    async def _make(self) -> bytes:
        time = asyncio.get_running_loop().time
        async with self._turn:
            await asyncio.sleep(self._rested_at - time())
            self._next = None  # Later scrapers need a later text.
            self._access_log.flush()
            began = time()
            try:
                return await asyncio.to_thread(_exposition)
            finally:
                self._rested_at = time() + min(_REST * (time() - began), _LONGEST_PAUSE)


EXPOSITION: Final = web.AppKey("exposition", Exposition)


@routes.get("/healthz", allow=PUBLIC, ignores_tokens=True, responses={200: Health})
async def healthz(_request: Request[None, None]) -> web.StreamResponse:
    """Report that the process is up."""
    return json_response(Health(status="ok"))


@routes.get("/readyz", allow=PUBLIC, ignores_tokens=True, responses={200: Health}, errors=(TableUnavailable,))
async def readyz(request: Request[None, None]) -> web.StreamResponse:
    """Report whether the process should be sent requests.

    200 while DynamoDB responds and the process is not about to stop.
    """
    await request.app[READINESS].check()
    return json_response(Health(status="ready"))


@routes.get("/metrics", allow=PUBLIC, ignores_tokens=True, responses={200: "text/plain"})
async def metrics(request: Request[None, None]) -> web.StreamResponse:
    """Return the metrics of all processes of the service for Prometheus."""
    text = await request.app[EXPOSITION].text()
    return json_response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _exposition() -> bytes:
    directory = os.environ.get(MULTIPROC_DIR)
    if directory is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
