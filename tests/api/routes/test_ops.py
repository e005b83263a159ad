"""Health, readiness and metrics of a process."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.api.client import Client, Reply
from tests.api.small import create_app, settings, small_service
from vitrina.api.routes import ops
from vitrina.api.server import process
from vitrina.api.server.process import READINESS, listening
from vitrina.api.server.supervisor import MULTIPROC_DIR
from vitrina.errors import TableUnavailable


async def _outage() -> None:
    raise TableUnavailable


async def _hang() -> None:
    await asyncio.sleep(60)


async def _fine() -> None:
    pass


@pytest.mark.parametrize(
    ("probe", "ready", "answer"),
    [
        (_fine, True, (200, None)),
        (_fine, False, (503, "unavailable")),
        (_outage, True, (503, "table_unavailable")),
        (_hang, True, (503, "table_unavailable")),
    ],
)
async def test_a_process_is_ready_while_the_table_responds_and_it_is_not_stopping(
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    probe: process.Probe,
    ready: bool,  # noqa: FBT001
    answer: tuple[int, str | None],
) -> None:
    """A call that hangs counts as an outage; the health check succeeds in any case."""
    monkeypatch.setattr(process, "_PROBE_TIMEOUT", 0.1)
    app = create_app(settings())
    app[READINESS].probe = probe
    app[READINESS].ready = ready
    async with listening(app, settings()) as url:
        client = Client(http, url)
        reply = await client.get("/readyz")
        assert (reply.status, reply.json.get("code")) == answer
        assert (await client.get("/healthz")).json == {"status": "ok"}


async def test_metrics_are_prometheus_text(http: aiohttp.ClientSession) -> None:
    """They include the most recent request."""
    async with small_service() as url:
        client = Client(http, url)
        await client.get("/v1/late")
        reply = await client.get("/metrics")
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
        assert 'vitrina_http_requests_total{method="GET",route="/v1/late",status="200"}' in reply.body.decode()
        assert 'vitrina_http_request_seconds_bucket{le="0.5",method="GET",route="/v1/late"}' in reply.body.decode()


async def test_metrics_cover_all_processes(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are read from the shared directory, to which this process has not written."""
    monkeypatch.setenv(MULTIPROC_DIR, str(tmp_path))
    async with small_service() as url:
        assert b"route=" not in (await Client(http, url).get("/metrics")).body


async def test_scrapers_share_a_text_that_is_newer_than_their_requests(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that ask while it is made get the next one together; the requests just before are in it."""
    made, exposition = 0, ops._exposition

    def counted() -> bytes:
        nonlocal made
        made += 1
        return exposition()

    monkeypatch.setattr(ops, "_exposition", counted)
    async with small_service() as url:
        client = Client(http, url)
        await asyncio.gather(*(client.get("/metrics") for _ in range(20)))
        assert made <= 2
        before = count(await client.get("/metrics"), "/v1/late")
        await client.get("/v1/late")
        assert count(await client.get("/metrics"), "/v1/late") == before + 1


def count(metrics: Reply, route: str) -> float:
    """Return the requests of a route by the text of the metrics."""
    name = f'vitrina_http_requests_total{{method="GET",route="{route}",status="200"}} '
    return sum(float(line.removeprefix(name)) for line in metrics.body.decode().splitlines() if line.startswith(name))
