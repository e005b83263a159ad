"""Reports of views (R12): closed days from rollups, the open day from its segments, and a rollup beside a bare loop."""

import asyncio
import itertools
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks import catalogue
from benchmarks.figures import Figure, Report
from benchmarks.service import Service, create_table, service, settings_for
from vitrina import aws
from vitrina.cli.engines import dynamodb_local
from vitrina.config import Settings
from vitrina.domain.views import MOST_IN_SEGMENT, VISITOR_BYTES, View, shard_of
from vitrina.store import keys
from vitrina.store.table import MOST_PUTS, Table
from vitrina.store.views import ViewStore

MANY: Final = 1_000_000
OPEN_DAY: Final = 100_000
CLOSED_DAYS: Final = 30
VISITORS: Final = 200_000
BOTS: Final = 0.2
ROUNDS: Final = 3
REPORTS: Final = 60
WRITERS: Final = 4
AT_ONCE: Final = 2
"""Shards that the bare loop reads beside each other, as the rollup does."""
PAGE_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 4096
OVERHEAD: Final = 3
"""Units of a report that are not for views: who asks, and the product."""
_COUNTED: Final = re.compile(r"([\d,]+) views counted, ([\d,]+) a second")


async def measure(folder: Path, progress: Progress) -> Report:
    """Fill a day of a million views, thirty that have a million together, and today; then roll up and report."""
    report = Report("reports")
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "vitrina").model_copy(update={"read_timeout": 10.0})
        await create_table(settings)
        await catalogue.load(settings, catalogue.BASE, advance=lambda _: None)
        today = datetime.now(UTC).date()
        large = today - timedelta(days=CLOSED_DAYS + 1)
        closed = [today - timedelta(days=days) for days in range(CLOSED_DAYS, 0, -1)]
        sizes = {large: MANY} | dict.fromkeys(closed, MANY // CLOSED_DAYS) | {today: OPEN_DAY}
        await _fill(settings, sizes, progress)
        await _measure_rollup(report, settings, large, progress)
        await _vitrina(settings, "views", "rollup", "--from", f"{closed[0]}", "--to", f"{closed[-1]}")
        async with service("vitrina", settings, folder=folder) as vitrina:
            await _measure_reports(report, vitrina, closed, today)
    return report


async def _fill(settings: Settings, sizes: dict[date, int], progress: Progress) -> None:
    """Write views as the service's store does, a few products drawing most of them."""
    task = progress.add_task("views", total=sum(sizes.values()))
    chance = random.Random(20261124)  # noqa: S311 - the same views each time
    async with aws.connect(settings) as clients:
        store = ViewStore(Table(clients, name=settings.table_name, deadline=30))
        batches = _batches(sizes, chance)

        async def write() -> None:
            for views in batches:
                await store.put(store.segments(views))
                progress.advance(task, len(views))

        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write())


def _batches(sizes: dict[date, int], chance: random.Random) -> Iterator[list[View]]:
    """Yield views that fill whole segments: of each day, shard by shard."""
    weights = list(itertools.accumulate(1 / (place + 3) for place in range(catalogue.BASE)))
    hosts = [None, None, *(f"www.host-{number}.example" for number in range(40))]
    ids = catalogue.ids()
    for day, size in sizes.items():
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        visitors = [chance.randbytes(VISITOR_BYTES) for _ in range(VISITORS)]
        seen = chance.choices(ids, cum_weights=weights, k=size)
        groups: dict[int, list[str]] = {}
        for product_id in seen:
            groups.setdefault(shard_of(product_id, keys.VIEW_SHARDS), []).append(product_id)
        most = MOST_IN_SEGMENT * MOST_PUTS
        for group in groups.values():
            for first in range(0, len(group), most):
                part = group[first : first + most]
                yield [
                    View(
                        product_id,
                        midnight + (first + place) * 86_000_000 // len(group),
                        chance.choice(visitors),
                        chance.choice(hosts),
                        chance.random() < BOTS,
                    )
                    for place, product_id in enumerate(part)
                ]


async def _measure_rollup(report: Report, settings: Settings, day: date, progress: Progress) -> None:
    task = progress.add_task("rollup", total=ROUNDS)
    bare, rolled, peaks = [], [], []
    quiet = await _vitrina(settings, "views", "rollup", "--from", "2020-01-01", "--to", "2020-01-01")
    for _ in range(ROUNDS):
        bare.append(await _bare_loop(settings, day))
        output, peak = await _vitrina(settings, "views", "rollup", "--from", f"{day}", "--to", f"{day}", "--again")
        match = _COUNTED.search(output)
        if match is None or int(match[1].replace(",", "")) != MANY:
            raise RuntimeError(f"the rollup did not count {MANY:,} views: {output}")
        rolled.append(float(match[2].replace(",", "")))
        peaks.append(peak)
        progress.advance(task)
    report.add(
        Figure(name="bare loop: events a second", value=statistics.median(bare)),
        Figure(name="rollup of 1,000,000 events: events a second", value=statistics.median(rolled)),
        Figure(
            name="rollup, times the bare loop's rate",
            value=statistics.median(mine / its for mine, its in zip(rolled, bare, strict=True)),
        ),
        Figure(name="rollup of 1,000,000 events: peak memory, MB", value=max(peaks), at_most=250),
        Figure(name="rollup of a quiet day: peak memory, MB", value=quiet[1]),
    )


async def _bare_loop(settings: Settings, day: date) -> float:
    """Page the segments of a day and throw them away; returns the events a second."""
    async with aws.connect(settings) as clients:
        free = asyncio.Semaphore(AT_ONCE)

        async def page(shard: int) -> int:
            events = 0
            arguments = {
                "TableName": settings.table_name,
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": keys.view_segments(day, shard)}},
            }
            async with free:
                while True:
                    answer = await clients.reader.query(**arguments)
                    events += sum(len(item["events"]["B"]) // 35 for item in answer["Items"])
                    if "LastEvaluatedKey" not in answer:
                        return events
                    arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

        began = time.perf_counter()
        events = sum(await asyncio.gather(*map(page, range(keys.VIEW_SHARDS))))
        return events / (time.perf_counter() - began)


async def _measure_reports(report: Report, vitrina: Service, closed: Sequence[date], today: date) -> None:
    token = await vitrina.sign_in()
    for name, path in [
        ("a middling product", f"/v1/products/{catalogue.product_id(100)}/views?from={closed[0]}&to={closed[-1]}"),
        ("the top products", f"/v1/analytics/top-products?from={closed[0]}&to={closed[-1]}"),
    ]:
        p50, units = await _asked(vitrina, path, token)
        of_product = name == "a middling product"
        report.add(
            Figure(name=f"{name}, 30 closed days: p50, ms", value=p50, at_most=50 if of_product else None),
            Figure(name=f"{name}, 30 closed days: RCU", value=units),
        )
    hot = catalogue.product_id(0)
    p50, units = await _asked(vitrina, f"/v1/products/{hot}/views?from={today}&to={today}", token)
    size = OPEN_DAY * 35 * 1.02 / keys.VIEW_SHARDS
    report.add(
        Figure(name="a hot product, the open day of 100,000: p50, ms", value=p50),
        Figure(
            name="a hot product, the open day of 100,000: RCU",
            value=units,
            at_most=OVERHEAD + (size + PAGE_BYTES) / BLOCK_BYTES / 2,
        ),
    )


async def _asked(vitrina: Service, path: str, token: str) -> tuple[float, float]:
    """Ask again and again, one at a time; returns half of the answers' milliseconds, and the units of one."""
    await vitrina.get(path, token=token)
    start = vitrina.log_size()
    times = []
    for _ in range(REPORTS):
        began = time.perf_counter()
        await vitrina.get(path, token=token)
        times.append(time.perf_counter() - began)
    entries = await vitrina.answered_since(start)
    return statistics.median(times) * 1000, statistics.median(entry.read_units for entry in entries)


async def _vitrina(settings: Settings, *arguments: str) -> tuple[str, float]:
    """Run a command and return what it printed, and its peak memory in MB."""
    return await asyncio.to_thread(_run, settings, arguments)


def _run(settings: Settings, arguments: Sequence[str]) -> tuple[str, float]:
    receiving, sending = os.pipe()
    environment = {
        **os.environ,
        "VITRINA_ENVIRONMENT": settings.environment,
        "VITRINA_TABLE_NAME": settings.table_name,
        "VITRINA_WRITER_ENDPOINT": settings.writer_endpoint or "",
        "VITRINA_SIGNING_KEYS": settings.signing_keys.get_secret_value(),
        "VITRINA_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    command = [sys.executable, "-m", "vitrina", *arguments]
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, sending, 1), (os.POSIX_SPAWN_DUP2, sending, 2)],
    )
    os.close(sending)
    with os.fdopen(receiving) as output:
        text = output.read()
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"vitrina {' '.join(arguments)} failed: {text}")
    return text, usage.ru_maxrss / 1024
