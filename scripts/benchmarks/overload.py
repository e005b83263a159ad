"""More requests than the service can process: what it still does, what it refuses, and whether it stays healthy."""

import asyncio
import itertools
import secrets
import statistics
import time
from collections import defaultdict
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
from scripts.benchmarks.rounds import WARM_UP_SECONDS
from scripts.benchmarks.service import Service
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import dynamodb_local

PRODUCTS: Final = 200
CONNECTIONS: Final = 32
"""As many as saturate the service, and for writes the engine on disk."""
TIMES: Final = (0.5, 1, 2, 3)
"""The loads, as multiples of `CONNECTIONS`."""
SECONDS: Final = 5
ROUNDS: Final = 3
SCRAPERS: Final = 8
LEAST_GOODPUT: Final = 0.9
LEAST_WHILE_SCRAPED: Final = 0.75
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
        task = progress.add_task("reads, writes, scrapes", total=ROUNDS * (2 * len(TIMES) + 2))
        await vitrina.drive(Load(paths=PATHS, connections=CONNECTIONS, seconds=WARM_UP_SECONDS))
        await write(vitrina, token, CONNECTIONS, into=Writes(), seconds=WARM_UP_SECONDS)
        reads: dict[float, list[Sample]] = {times: [] for times in TIMES}
        writes = {times: Writes() for times in TIMES}
        health: dict[str, list[float]] = defaultdict(list)
        scraped: list[float] = []
        for _ in range(ROUNDS):
            for times in TIMES:
                connections = round(times * CONNECTIONS)
                async with asked_for_health(vitrina, into=health[f"reads, {times:g} x"]):
                    load = Load(paths=PATHS, connections=connections, seconds=seconds)
                    reads[times].append(await vitrina.drive(load))
                async with asked_for_health(vitrina, into=health[f"writes, {times:g} x"]):
                    await write(vitrina, token, connections, into=writes[times], seconds=seconds)
                progress.advance(task, 2)
            scraped.append(await _scraped(vitrina, seconds))
            progress.advance(task, 2)
    for times, samples in reads.items():
        report.add_load(f"reads, {times:g} x {CONNECTIONS} connections", {vitrina.name: samples})
    for times, found in writes.items():
        name, responses = f"writes, {times:g} x", found.done + found.refused + found.failed
        report.add(
            Figure(name=f"{name}: a second", value=found.done / seconds / ROUNDS),
            Figure(name=f"{name}: p99 of the seconds to a response", value=_p99(found.seconds)),
            Figure(name=f"{name}: share of 503 with Retry-After", value=found.refused / responses),
            Figure(name=f"{name}: other failures", value=found.failed, at_most=0),
        )
    for name, waits in health.items():
        report.add(
            Figure(name=f"{name}: p99 of the seconds of /healthz", value=_p99(waits), at_most=MOST_HEALTH_SECONDS)
        )
    report.add(
        *_goodput("reads", {times: statistics.median(each.rate for each in reads[times]) for times in TIMES}),
        *_goodput("writes", {times: found.done for times, found in writes.items()}),
        Figure(
            name=f"reads while {SCRAPERS} ask for /metrics, times those without",
            value=statistics.median(scraped),
            at_least=LEAST_WHILE_SCRAPED,
        ),
    )
    return report


async def write(vitrina: Service, token: str, connections: int, *, into: Writes, seconds: float) -> None:
    """Change prices for so many seconds; each connection sends its next request when it has a response."""
    prices, paths = itertools.count(secrets.randbelow(10**9)), itertools.cycle(PATHS)
    headers = {"Authorization": f"Bearer {token}"}

    async def change(http: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        price = {"price": f"{next(prices) / 100:.2f}"}
        async with http.patch(next(paths), json=price, headers=headers) as response:
            await response.read()
        into.seconds.append(time.monotonic() - began)
        into.done += response.ok
        is_refused = response.status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" in response.headers
        into.refused += is_refused
        into.failed += not response.ok and not is_refused

    await _repeat(vitrina, change, clients=connections, seconds=seconds)


async def _scraped(vitrina: Service, seconds: float) -> float:
    """Return the rate of reads while `SCRAPERS` clients ask for the metrics all the time, times that without them."""
    load = Load(paths=PATHS, connections=CONNECTIONS, seconds=seconds)
    alone = await vitrina.drive(load)

    async def scrape(http: aiohttp.ClientSession) -> None:
        async with http.get("/metrics") as response:
            await response.read()

    scraping = asyncio.create_task(_repeat(vitrina, scrape, clients=SCRAPERS, seconds=seconds + 1))
    scraped = await vitrina.drive(load)
    await scraping
    return scraped.rate / alone.rate


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
async def asked_for_health(vitrina: Service, *, into: list[float]) -> AsyncIterator[None]:
    """Ask for `/healthz` until the block ends, and add the seconds to each response to `into`."""

    async def ask(http: aiohttp.ClientSession) -> None:
        while True:
            began = time.monotonic()
            async with http.get("/healthz", raise_for_status=True) as response:
                await response.read()
            into.append(time.monotonic() - began)
            await asyncio.sleep(_HEALTH_INTERVAL)

    async with _session(vitrina) as http:
        asking = asyncio.create_task(ask(http))
        try:
            yield
        finally:
            asking.cancel()


def _session(vitrina: Service) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(vitrina.url, connector=connector, timeout=aiohttp.ClientTimeout(total=10))


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
