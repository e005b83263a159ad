"""What operations ask: is the process up, should it be sent requests, and what has it counted."""

import asyncio
import os
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from pydantic import BaseModel

from vitrina.api.http.app_keys import ACCESS_LOG
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.server.readiness import READINESS
from vitrina.api.server.supervisor import MULTIPROC_DIR
from vitrina.errors import TableUnavailable


class Health(BaseModel):
    """How the process is."""

    status: str


async def healthz(_call: Request[None, None]) -> web.StreamResponse:
    """Answer as long as the loop turns."""
    return json_response(Health(status="ok"))


async def readyz(request: Request[None, None]) -> web.StreamResponse:
    """Answer 200 while this process should be sent requests."""
    await request.app[READINESS].check()
    return json_response(Health(status="ready"))


async def metrics(request: Request[None, None]) -> web.StreamResponse:
    """Answer what this process has counted, or all processes of the service together."""
    request.app[ACCESS_LOG].flush()
    text = await asyncio.to_thread(_exposition)
    return json_response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def routes() -> tuple[Route[Any, Any], ...]:
    """Return the routes of operations."""
    return (
        Route(
            method="GET",
            path="/healthz",
            handler=healthz,
            allow=PUBLIC,
            ignores_tokens=True,
            summary="Is the process up",
            operation_id="healthz",
            tags=("ops",),
            answers={200: Health},
        ),
        Route(
            method="GET",
            path="/readyz",
            handler=readyz,
            allow=PUBLIC,
            ignores_tokens=True,
            summary="Should the process be sent requests",
            description="The table answers and the process is not about to stop.",
            operation_id="readyz",
            tags=("ops",),
            answers={200: Health},
            errors=(TableUnavailable,),
        ),
        Route(
            method="GET",
            path="/metrics",
            handler=metrics,
            allow=PUBLIC,
            ignores_tokens=True,
            summary="Metrics for Prometheus",
            operation_id="metrics",
            tags=("ops",),
            answers={200: "text/plain"},
        ),
    )


def _exposition() -> bytes:
    directory = os.environ.get(MULTIPROC_DIR)
    if directory is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
