"""Anonymous reads spread over many processes, in simulated time: the cost of a view and the latency that it adds.

The recorder, the cache of products, the stores and the retries are Vitrina's; only DynamoDB is simulated, as a client
whose every call takes `CALL` seconds. Reads arrive as a Poisson process, however long the earlier ones take, in the
first seconds of a day. Each measurement without gathering has the same arrivals as the one with it.
"""
# ruff: noqa: ANN401, S311, SLF001 - DynamoDB's API; dice, not secrets; counters of metrics have no public way to be read

import asyncio
import logging
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from botocore.exceptions import ClientError
from rich.progress import Progress

from scripts.benchmarks import catalogue, virtual_time
from scripts.benchmarks.figures import Figure, Report
from vitrina import metrics
from vitrina.aws import Clients
from vitrina.services.products.cache import ProductCache
from vitrina.services.views.recorder import ViewRecorder
from vitrina.store import keys
from vitrina.store.codecs.products import product_item
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

RATE: Final = 10_000
"""Reads a second of the whole fleet."""
FLEETS: Final = (1, 10, 50)
SECONDS: Final = 4.0
CALL: Final = 0.006
THROTTLED: Final = 0.05
COMMIT_TIMEOUT: Final = 0.25
"""The default of `view_commit_timeout`."""
_MIDNIGHT_MS: Final = 1_795_737_600_000
_LONE_READS: Final = 200
_SEED: Final = 8


class _DynamoDB:
    """A process's client for the calls of anonymous reads, which adds its write units to `units`, by partition key.

    It refuses the share `throttled` of all calls.
    """

    def __init__(self, products: Mapping[str, Any], units: Counter[str], *, throttled: float) -> None:
        self._products = products
        self._units = units
        self._throttled = throttled
        self.refused = 0

    async def _call(self) -> None:
        await asyncio.sleep(CALL)
        if random.random() < self._throttled:
            self.refused += 1
            error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(error, "BatchWriteItem")  # type: ignore[arg-type]

    async def get_item(self, **request: Any) -> dict[str, Any]:
        """Return an item."""
        await self._call()
        return {"Item": self._products[request["Key"]["pk"]["S"]]}

    async def batch_get_item(self, **request: Any) -> dict[str, Any]:
        """Return the items of one table."""
        await self._call()
        ((table, wanted),) = request["RequestItems"].items()
        return {"Responses": {table: [self._products[key["pk"]["S"]] for key in wanted["Keys"]]}}

    async def batch_write_item(self, **request: Any) -> dict[str, Any]:
        """Take the items of one table."""
        await self._call()
        ((_, puts),) = request["RequestItems"].items()
        for put in puts:
            item = put["PutRequest"]["Item"]
            size = sum(len(name) + len(value) for name, typed in item.items() for value in typed.values())
            self._units[item["pk"]["S"]] += math.ceil(size / 1024)
        return {}


class _Process:
    """What a process of the service keeps for anonymous reads."""

    def __init__(self, dynamodb: _DynamoDB, *, gathers: bool) -> None:
        client: Any = dynamodb
        table = Table(Clients(reader=client, writer=client), name="fleet")
        loop = asyncio.get_running_loop()
        self.dynamodb = dynamodb
        self._cache = ProductCache(ProductStore(table), render=lambda product: product, ttl=1.0, stale_if_error=30.0)
        self._views = ViewRecorder(
            ViewStore(table),
            secret=b"fleet",
            queue=50_000,
            commit_timeout=COMMIT_TIMEOUT,
            now_ms=lambda: _MIDNIGHT_MS + int(1000 * loop.time()),
            **({} if gathers else {"spacing": 0.0}),
        )

    async def read(self, product_id: str, visitor: str) -> None:
        """Read a product as the route does."""
        with self._views.reserve() as view:
            await self._cache.by_id(product_id)
            await view.record(product_id, address=visitor, user_agent="fleet", referrer=None)


class _Run:
    """The reads of a fleet of processes.

    `seconds` has the duration of each read, by process and number; `hit` those during which a call was refused.
    """

    def __init__(self, *, processes: int, products: int, gathers: bool = True, throttled: float = 0.0) -> None:
        self.seconds: dict[tuple[int, int], float] = {}
        self.hit: set[tuple[int, int]] = set()
        self.units: Counter[str] = Counter()
        self._processes = processes
        self._ids = catalogue.ids(products)
        self._items = {keys.product(one.id).pk: product_item(one).serialize() for one in catalogue.products(products)}
        self._gathers = gathers
        self._throttled = throttled

    async def open_loop(self) -> None:
        """Send `SECONDS` of reads, and wait for the last one."""
        random.seed(_SEED)  # Throttling, and the jitter of retries.
        async with asyncio.TaskGroup() as processes:
            for number in range(self._processes):
                processes.create_task(self._arrivals(number))

    async def alone(self) -> None:
        """Send reads one after the other."""
        process = self._process()
        for number in range(_LONE_READS):
            await self._timed(process, self._ids[0], (0, number))

    def _process(self) -> _Process:
        return _Process(_DynamoDB(self._items, self.units, throttled=self._throttled), gathers=self._gathers)

    async def _arrivals(self, number: int) -> None:
        process, dice, loop = self._process(), random.Random(number), asyncio.get_running_loop()
        due, reads = 0.0, 0
        async with asyncio.TaskGroup() as readers:
            while (due := due + dice.expovariate(RATE / self._processes)) < SECONDS:
                await asyncio.sleep(due - loop.time())
                readers.create_task(self._timed(process, dice.choice(self._ids), (number, reads)))
                reads += 1

    async def _timed(self, process: _Process, product_id: str, read: tuple[int, int]) -> None:
        loop = asyncio.get_running_loop()
        began, refused = loop.time(), process.dynamodb.refused
        await process.read(product_id, f"192.0.2.{read[1] % 250}")
        self.seconds[read] = loop.time() - began
        if process.dynamodb.refused > refused:
            self.hit.add(read)


async def measure(_: Path, progress: Progress) -> Report:
    """Measure fleets of each size with and without gathering, a client alone, and throttled calls."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = Report("fleet")
    trials: list[Callable[[], list[Figure]]] = [
        partial(_compare, processes, products) for products in (1, 1_000) for processes in FLEETS
    ]
    trials += [_alone, _throttle]
    task = progress.add_task("fleets", total=len(trials))
    for trial in trials:
        report.add(*await asyncio.to_thread(trial))
        progress.advance(task)
    return report


def _compare(processes: int, products: int) -> list[Figure]:
    before, after = (_Run(processes=processes, products=products, gathers=gathers) for gathers in (False, True))
    for run in (before, after):
        virtual_time.run(run.open_loop())
    added = statistics.quantiles((1000 * (after.seconds[read] - its) for read, its in before.seconds.items()), n=100)
    number, name = len(before.seconds), f"fleet of {processes}, {'one product' if products == 1 else '1,000 products'}"
    return [
        Figure(name=f"{name}: WCU a view, without gathering", value=before.units.total() / number),
        Figure(name=f"{name}: WCU a view", value=after.units.total() / number, at_most=0.25),
        Figure(name=f"{name}: added p50, ms", value=added[49]),
        Figure(name=f"{name}: added p99, ms", value=added[98], at_most=25),
        Figure(name=f"{name}: WCU/s of the busiest key", value=max(after.units.values()) / SECONDS, at_most=1_000),
    ]


def _alone() -> list[Figure]:
    before, after = (_Run(processes=1, products=1, gathers=gathers) for gathers in (False, True))
    for run in (before, after):
        virtual_time.run(run.alone())
    added = max(after.seconds[read] - its for read, its in before.seconds.items())
    return [Figure(name="a client alone: most that is added, ms", value=1000 * added, at_most=0)]


def _throttle() -> list[Figure]:
    run = _Run(processes=50, products=1, throttled=THROTTLED)
    counter = metrics.VIEWS_LATE._value
    late = counter.get()
    virtual_time.run(run.open_loop())
    usual = statistics.median(its for read, its in run.seconds.items() if read not in run.hit)
    costs = statistics.quantiles((1000 * (run.seconds[read] - usual) for read in run.hit), n=100)
    name = f"fleet of 50, {THROTTLED:.0%} of calls throttled"
    return [
        Figure(name=f"{name}: reads that a refusal delays, %", value=100 * len(run.hit) / len(run.seconds)),
        Figure(name=f"{name}: p95 of their delay, ms", value=costs[94], at_most=100),
        Figure(name=f"{name}: late views, %", value=100 * (counter.get() - late) / len(run.seconds), at_most=5),
    ]
