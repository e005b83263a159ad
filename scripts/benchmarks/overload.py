"""More requests than the service can process: what it still does, what it refuses, and whether it stays healthy."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load, Sample
from scripts.benchmarks.service import Service
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import dynamodb_local

PRODUCTS: Final = 200
CONNECTIONS: Final = 32
"""As many as saturate the service, and for writes the engine on disk."""
TIMES: Final = (0.5, 1, 2, 3)
"""The loads, as multiples of `CONNECTIONS`."""
SECONDS: Final = 6
SCRAPERS: Final = 8
LEAST_GOODPUT: Final = 0.9
MOST_HEALTH_SECONDS: Final = 0.1
PATHS: Final = [f"/v1/products/{product_id}" for product_id in catalogue.ids(PRODUCTS)]
_HEALTH_INTERVAL: Final = 0.02


@dataclass(slots=True)
class Writes:
    """Responses to writes: how many succeeded, were refused with `Retry-After`, and failed otherwise."""

    done: int = 0
    refused: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)


async def measure(folder: Path, progress: Progress, *, seconds: float = SECONDS) -> Report:
    """Read and write over up to three times as many connections as saturate the service, on an engine on disk."""
    report = Report("overload")
    async with (
        dynamodb_local(db_path=folder / "engine") as endpoint,
        filled_service("vitrina", endpoint, PRODUCTS, folder=folder, progress=progress) as vitrina,
    ):
        token = await vitrina.sign_in()
        task = progress.add_task("reads, writes, scrapes", total=2 * len(TIMES) + 4)
        await vitrina.drive(Load(paths=PATHS, connections=CONNECTIONS, seconds=seconds))
        await write(vitrina, token, CONNECTIONS, seconds=seconds)
        progress.advance(task, 2)
        reads: dict[float, Sample] = {}
        for times in TIMES:
            name = f"reads, {times:g} x {CONNECTIONS} connections"
            load = Load(paths=PATHS, connections=round(times * CONNECTIONS), seconds=seconds)
            async with asked_for_health(vitrina) as health:
                reads[times] = await vitrina.drive(load)
            report.add_load(name, {vitrina.name: [reads[times]]})
            report.add(_health(name, health))
            progress.advance(task)
        report.add(*_goodput("reads", {times: sample.rate for times, sample in reads.items()}))
        writes: dict[float, float] = {}
        for times in TIMES:
            name = f"writes, {times:g} x {CONNECTIONS} connections"
            async with asked_for_health(vitrina) as health:
                found = await write(vitrina, token, round(times * CONNECTIONS), seconds=seconds)
            writes[times] = found.done / seconds
            responses = found.done + found.refused + found.failed
            report.add(
                Figure(name=f"{name}: a second", value=writes[times]),
                Figure(name=f"{name}: p99 of the seconds to a response", value=_p99(found.seconds)),
                Figure(name=f"{name}: share of 503 with Retry-After", value=found.refused / responses),
                Figure(name=f"{name}: other failures", value=found.failed, at_most=0),
                _health(name, health),
            )
            progress.advance(task)
        report.add(*_goodput("writes", writes))
        report.add(await _scraped(vitrina, seconds))
        progress.advance(task, 2)
    return report


async def write(vitrina: Service, token: str, connections: int, *, seconds: float) -> Writes:
    """Change prices for so many seconds; each connection sends its next request when it has a response."""
    found, prices, paths = Writes(), itertools.count(secrets.randbelow(10**9)), itertools.cycle(PATHS)
    headers = {"Authorization": f"Bearer {token}"}

    async def change(http: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        price = {"price": f"{next(prices) / 100:.2f}"}
        async with http.patch(next(paths), json=price, headers=headers) as response:
            await response.read()
        found.seconds.append(time.monotonic() - began)
        found.done += response.ok
        is_refused = response.status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" in response.headers
        found.refused += is_refused
        found.failed += not response.ok and not is_refused

    await _repeat(vitrina, change, clients=connections, seconds=seconds)
    return found


async def _scraped(vitrina: Service, seconds: float) -> Figure:
    """Read while nobody and while `SCRAPERS` clients ask for the metrics all the time."""
    load = Load(paths=PATHS, connections=CONNECTIONS, seconds=seconds)
    alone = await vitrina.drive(load)

    async def scrape(http: aiohttp.ClientSession) -> None:
        async with http.get("/metrics") as response:
            await response.read()

    scraping = asyncio.create_task(_repeat(vitrina, scrape, clients=SCRAPERS, seconds=2 * seconds))
    scraped = await vitrina.drive(load)
    await scraping
    name = f"reads while /metrics is asked {SCRAPERS} at once, times those without"
    return Figure(name=name, value=scraped.rate / alone.rate, at_least=0.75)


async def _repeat(
    vitrina: Service, ask: Callable[[aiohttp.ClientSession], Awaitable[None]], *, clients: int, seconds: float
) -> None:
    """Call `ask` in `clients` loops until so many seconds have passed."""
    end = time.monotonic() + seconds

    async def loop(http: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            await ask(http)

    async with _session(vitrina) as http, asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(loop(http))


@asynccontextmanager
async def asked_for_health(vitrina: Service) -> AsyncIterator[list[float]]:
    """Ask for `/healthz` until the block ends, and collect the seconds to each response."""
    seconds: list[float] = []

    async def ask(http: aiohttp.ClientSession) -> None:
        while True:
            began = time.monotonic()
            async with http.get("/healthz", raise_for_status=True) as response:
                await response.read()
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(_HEALTH_INTERVAL)

    async with _session(vitrina) as http:
        asking = asyncio.create_task(ask(http))
        try:
            yield seconds
        finally:
            asking.cancel()


def _session(vitrina: Service) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(vitrina.url, connector=connector, timeout=aiohttp.ClientTimeout(total=10))


def _health(name: str, seconds: list[float]) -> Figure:
    return Figure(name=f"{name}: p99 of /healthz, seconds", value=_p99(seconds), at_most=MOST_HEALTH_SECONDS)


def _goodput(what: str, rates: dict[float, float]) -> list[Figure]:
    """Return the rates above saturation, times the highest one up to it."""
    peak = max(rate for times, rate in rates.items() if times <= 1)
    return [
        Figure(name=f"{what}, {times} x the connections: times the peak", value=rate / peak, at_least=LEAST_GOODPUT)
        for times, rate in rates.items()
        if times > 1
    ]


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]
