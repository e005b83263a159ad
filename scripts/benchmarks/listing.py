"""Pages of lists, beside the peers and in catalogues of several sizes."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import aiohttp
from rich.progress import Progress

from scripts.benchmarks import catalogue, peers
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load
from scripts.benchmarks.peers import Server
from scripts.benchmarks.rounds import Samples, interleave, ratio_of_cpu, ratio_of_p50, ratio_of_rates
from scripts.benchmarks.service import LOG_SECONDS, Service, service
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import dynamodb_local

LARGE: Final = (100_000,)
"""Products of the large catalogues."""
PAGED: Final = 5_000
"""Products of the catalogue that is compared with the peers: `PAGES` pages."""
PAGES: Final = 200
FIRST: Final = "/v1/products"
MANY: Final = 32
ROUNDS: Final = 5
SECONDS: Final = 2
SIZE_ROUNDS: Final = 9
SIZE_SECONDS: Final = 1
WALKED: Final = 2
UNCACHED: Final = {"product_cache_ttl": 0.0}
"""Every page is a miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The first pages of a list: their ids, and the read units per page."""

    ids: list[str]
    units: float


async def measure(folder: Path, progress: Progress, *, large: Sequence[int] = LARGE) -> Report:
    """Load pages beside the peers, then those of catalogues of 1,000 and of `large` products."""
    report = Report("list")
    await _beside_peers(report, folder, progress)
    if large:
        await _by_size(report, large, folder, progress)
    report.add(Figure(name="failed requests", value=sum(row.errors for row in report.rows), at_most=0))
    return report


async def _beside_peers(report: Report, folder: Path, progress: Progress) -> None:
    """Load the first page and `PAGES` different ones: cached, uncached and signed in."""
    async with (
        dynamodb_local() as for_naive,
        dynamodb_local() as endpoint,
        peers.hello() as hello,
        peers.naive(for_naive, PAGED) as naive,
        filled_service("vitrina", endpoint, PAGED, folder=folder, progress=progress) as vitrina,
        service("uncached", vitrina.settings.model_copy(update=UNCACHED), folder=folder) as uncached,
    ):

        async def trial(
            name: str,
            servers: Sequence[Server],
            *,
            connections: int = MANY,
            token: str = "",
            own: Mapping[str, Sequence[str]] | None = None,
        ) -> Samples:
            load = Load(paths=[FIRST], connections=connections, seconds=SECONDS, token=token)
            samples = await interleave(name, load, servers, rounds=ROUNDS, progress=progress, own=own)
            report.add_load(name, samples)
            return samples

        first = await trial("first page, 32 connections", [hello, naive, vitrina])
        missed = await trial("first page, not cached, 32 connections", [naive, uncached])
        signed_in = await trial(
            "first page, signed in, 32 connections", [naive, vitrina], token=await vitrina.sign_in()
        )
        pages = {server.name: await _pages(server) for server in (naive, vitrina)}
        different = await trial(f"{PAGES} pages, 32 connections", [naive, vitrina], own=pages)
        alone = await trial("first page, 1 connection", [naive, vitrina], connections=1)
        report.add(
            Figure(name="first page: rate, times naive's", value=_rate(first, naive), at_least=15),
            Figure(name="first page: rate, times hello's", value=_rate(first, hello), at_least=0.25),
            Figure(name=f"{PAGES} pages: rate, times naive's", value=_rate(different, naive), at_least=5),
            Figure(
                name="a page that is not cached: CPU time, times naive's",
                value=ratio_of_cpu(missed, "uncached", "naive"),
                at_most=0.6,
            ),
            Figure(name="signed in: rate, times naive's", value=_rate(signed_in, naive), at_least=1.5),
            Figure(
                name="first page, 1 connection: p50, times naive's",
                value=ratio_of_p50(alone, vitrina.name, naive.name),
                at_most=1,
            ),
            Figure(name="a page in the cache: RCU", value=await _cached_units(vitrina), at_most=0),
        )


def _rate(samples: Samples, peer: Server) -> float:
    return ratio_of_rates(samples, "vitrina", peer.name)


async def _pages(server: Server) -> list[str]:
    """Return the paths of the server's first `PAGES` pages of a list."""
    paths = [FIRST]
    async with aiohttp.ClientSession(server.url, raise_for_status=True) as http:
        while len(paths) < PAGES:
            async with http.get(paths[-1]) as response:
                paths.append(f"{FIRST}?{urlencode({'cursor': (await response.json())['next_cursor']})}")
    return paths


async def _cached_units(vitrina: Service) -> float:
    """Return the read units of a page that has just been read."""
    path = f"{FIRST}?limit=24"
    await vitrina.get(path)
    await asyncio.sleep(LOG_SECONDS)
    start = vitrina.log_size()
    await vitrina.get(path)
    return sum(entry.read_units for entry in await vitrina.answered_since(start))


async def _by_size(report: Report, large: Sequence[int], folder: Path, progress: Progress) -> None:
    """Compare pages of a small and of large catalogues, without the cache.

    Each catalogue has an engine of its own: where two tables have a stream, DynamoDB Local looks for the second one's
    shard among all records of the first, and its writes become twenty times slower.
    """
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(
                filled_service(
                    f"vitrina-{count}",
                    await stack.enter_async_context(dynamodb_local()),
                    count,
                    folder=folder,
                    progress=progress,
                    options=UNCACHED,
                )
            )
            for count in (catalogue.BASE, *large)
        ]
        small, *others = services
        for name, query in listings().items():
            path = f"{FIRST}?{urlencode(query)}"
            walk = await _walk(small, path)
            walks = {other.name: await _walk(other, path) for other in others}
            if any(other.ids != walk.ids for other in walks.values()):
                raise RuntimeError(f"{path} differs between the catalogues, so its costs cannot be compared")
            load = Load(paths=[path], connections=1, seconds=SIZE_SECONDS)
            samples = await interleave(name, load, services, rounds=SIZE_ROUNDS, progress=progress, warm_up=1)
            report.add_load(name, samples)
            for other in others:
                ratio = ratio_of_p50(samples, other.name, small.name)
                report.add(
                    Figure(name=f"{name}, {other.name}: p50, times that of 1,000", value=ratio, at_most=1.3),
                    Figure(name=f"{name}, {other.name}: RCU", value=walks[other.name].units, at_most=walk.units),
                )


def listings() -> dict[str, dict[str, str]]:
    """Return the query of every list, by its name in the report."""
    orders = [{"sort": sort} for sort in ("newest", "name", "price", "-price")]
    orders.append({"sort": "name", "name_prefix": catalogue.NAME_PREFIX})
    queries = [order | brand for order in orders for brand in ({}, {"brand": catalogue.BRANDS[0]})]
    return {" ".join(f"{name}={value}" for name, value in query.items()): query for query in queries}


async def _walk(vitrina: Service, path: str) -> Walk:
    start = vitrina.log_size()
    ids: list[str] = []
    url = path
    for _ in range(WALKED):
        page = await vitrina.get(url)
        ids += [product["id"] for product in page["items"]]
        url = f"{path}&{urlencode({'cursor': page['next_cursor']})}"
    units = sum(entry.read_units for entry in await vitrina.answered_since(start))
    return Walk(ids=ids, units=units / WALKED)
