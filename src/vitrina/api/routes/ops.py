"""Health, readiness and metrics, for load balancers and Prometheus."""

import asyncio
import os

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from pydantic import BaseModel

from vitrina.api.http.app_keys import ACCESS_LOG
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.server.process import READINESS
from vitrina.api.server.supervisor import MULTIPROC_DIR
from vitrina.errors import TableUnavailable

routes = RouteTable("ops")


class Health(BaseModel):
    """The state of the process."""

    status: str


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
    request.app[ACCESS_LOG].flush()
    text = await asyncio.to_thread(_exposition)
    return json_response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _exposition() -> bytes:
    directory = os.environ.get(MULTIPROC_DIR)
    if directory is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
