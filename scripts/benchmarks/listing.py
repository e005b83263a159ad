"""Pages of listings in catalogues of 1,000 and of 100,000 products."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load
from scripts.benchmarks.rounds import interleave, ratio_of_p50
from scripts.benchmarks.service import Service
from scripts.benchmarks.stand import filled_service, stand
from scripts.devstack.engines import dynamodb_local

MANY: Final = 100_000
PAGES: Final = 2
ROUNDS: Final = 3
SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The first pages of a listing: their ids, and the read units per page."""

    ids: list[str]
    units: float


def listings() -> dict[str, dict[str, str]]:
    """Return the query of every listing, by its name in the report."""
    orders = [{"sort": sort} for sort in ("newest", "name", "price", "-price")]
    orders.append({"sort": "name", "name_prefix": catalogue.NAME_PREFIX})
    queries = [order | brand for order in orders for brand in ({}, {"brand": catalogue.BRANDS[0]})]
    return {" ".join(f"{name}={value}" for name, value in query.items()): query for query in queries}


async def measure(folder: Path, progress: Progress) -> Report:
    """Ask the same pages of a small and of a large catalogue; a peer's page of 25 stands beside them.

    Each catalogue has an engine of its own: where two tables have a stream, DynamoDB Local looks for the second one's
    shard among all records of the first, and its writes become twenty times slower.
    """
    report = Report("list")
    async with (
        stand(folder, progress) as servers,
        dynamodb_local() as endpoint,
        filled_service("vitrina-100k", endpoint, MANY, folder=folder, progress=progress) as large,
    ):
        small = servers.vitrina
        for name, query in listings().items():
            path = f"/v1/products?{urlencode(query)}"
            before, after = await _walk(small, path), await _walk(large, path)
            if before.ids != after.ids:
                raise RuntimeError(f"{path} differs between the catalogues, so its costs cannot be compared")
            load = Load(paths=[path], connections=1, seconds=SECONDS)
            samples = await interleave(name, load, [small, large], rounds=ROUNDS, progress=progress)
            report.add_load(name, samples)
            report.add(
                Figure(
                    name=f"{name}: p50, times that of 1,000",
                    value=ratio_of_p50(samples, large.name, small.name),
                    at_most=1.3,
                ),
                Figure(name=f"{name}: RCU of a page, as of 1,000", value=after.units, at_most=before.units),
            )
        load = Load(paths=["/v1/products"], connections=1, seconds=SECONDS)
        peers = [servers.hello, servers.naive, small]
        report.add_load("any 25", await interleave("any 25", load, peers, rounds=ROUNDS, progress=progress))
        report.add(Figure(name="failed requests", value=report.errors(small.name, large.name), at_most=0))
    return report


async def _walk(vitrina: Service, path: str) -> Walk:
    start = vitrina.log_size()
    ids: list[str] = []
    url = path
    for _ in range(PAGES):
        page = await vitrina.get(url)
        ids += [product["id"] for product in page["items"]]
        url = f"{path}&{urlencode({'cursor': page['next_cursor']})}"
    units = sum(entry.read_units for entry in await vitrina.answered_since(start))
    return Walk(ids=ids, units=units / PAGES)
