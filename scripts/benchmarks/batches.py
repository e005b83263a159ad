"""New products by `POST /v1/products/batch`, beside an import of as many on the same machine."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.progress import Progress

from scripts.benchmarks.catalogue import products
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.imports import PATIENCE, batch, import_products
from scripts.benchmarks.service import create_table, service, settings_for
from scripts.devstack.engines import dynamodb_local
from vitrina.bootstrap import Services

COUNT: Final = 4_000
ROUNDS: Final = 8
"""The sides take turns, an eighth of the products each, since the speed of a shared machine drifts."""
OPERATIONS: Final = 100
CONNECTIONS: Final = 2
"""The next batch waits at the service while one is being answered."""
LEAST_RATIO: Final = 0.8
_SIDES: Final = ("import", "batch", "batch with a key")


async def measure(folder: Path, progress: Progress) -> Report:
    """Create new products by imports, by batches, and by batches with an idempotency key."""
    report = Report("batch")
    size = COUNT // ROUNDS
    seconds: dict[str, list[float]] = {side: [] for side in _SIDES}
    made = 0
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "batch").model_copy(update={"connect_timeout": 10, "read_timeout": PATIENCE})
        await create_table(settings)
        task = progress.add_task(f"{COUNT:,} products, thrice", total=len(_SIDES) * ROUNDS)
        async with (
            Services(settings, patient=PATIENCE) as services,
            service("vitrina", settings, folder=folder) as vitrina,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {await vitrina.sign_in()}"}) as http,
        ):
            url = f"{vitrina.url}/v1/products/batch"
            await import_products(services, batch("W", OPERATIONS))
            await _send_all(http, url, _bodies("V", OPERATIONS), keyed=True)
            for number in range(ROUNDS):
                for side in _SIDES[number % 3 :] + _SIDES[: number % 3]:
                    prefix = f"{_SIDES.index(side)}{number}"
                    bodies, file = _bodies(prefix, size), batch(prefix, size)
                    started = time.perf_counter()
                    if side == "import":
                        made += await import_products(services, file)
                    else:
                        made += await _send_all(http, url, bodies, keyed=side != "batch")
                    seconds[side].append(time.perf_counter() - started)
                    progress.advance(task)
    everything = len(_SIDES) * COUNT
    report.add(Figure(name="products created", value=made, at_least=everything, at_most=everything))
    for side in _SIDES:
        report.add(Figure(name=f"{side}: products a second", value=COUNT / sum(seconds[side])))
    for side in _SIDES[1:]:
        ratios = [theirs / ours for theirs, ours in zip(seconds["import"], seconds[side], strict=True)]
        least = LEAST_RATIO if side == "batch" else None
        report.add(Figure(name=f"{side} to import, median", value=statistics.median(ratios), at_least=least))
    return report


def _bodies(prefix: str, count: int) -> list[dict[str, Any]]:
    """Return batches that create the products of `batch`."""
    operations = [
        {
            "op": "upsert",
            "sku": product.sku.replace("BENCH", prefix),
            "name": product.name,
            "brand": product.brand,
            "price": str(product.price),
            "description": product.description,
        }
        for product in products(count)
    ]
    return [{"operations": operations[first : first + OPERATIONS]} for first in range(0, count, OPERATIONS)]


async def _send_all(http: aiohttp.ClientSession, url: str, bodies: Sequence[dict[str, Any]], *, keyed: bool) -> int:
    """Send batches over a few connections; returns the number of products that they created."""
    waiting = iter(bodies)
    created = 0

    async def work() -> None:
        nonlocal created
        for body in waiting:
            headers = {"Idempotency-Key": body["operations"][0]["sku"]} if keyed else {}
            async with http.post(url, json=body, headers=headers, raise_for_status=True) as response:
                created += [result["status"] for result in (await response.json())["results"]].count(201)

    async with asyncio.TaskGroup() as workers:
        for _ in range(CONNECTIONS):
            workers.create_task(work())
    return created
