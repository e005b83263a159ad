"""Bulk work on a table of little throughput: how much of it an import, a migration and a rollup use, interrupted once.

AWS is simulated (tests/aws_simulator), since no local engine refuses what exceeds a table's throughput. The work is
done in slow motion, because this machine and the simulator together reach no such throughput.
"""

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from scripts.benchmarks.catalogue import ids, load
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.imports import batch
from scripts.benchmarks.service import create_table, settings_for
from scripts.benchmarks.virtual_time import SlowLoop, run
from scripts.devstack.engines import dynamodb_local
from tests.aws_simulator.proxy import Clock, Forward, Request, Response, simulate
from tests.aws_simulator.throughput import Throughput
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.views import View, midnight_ms
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.importer import AT_ONCE, Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome
from vitrina.store import keys
from vitrina.store.items import Item
from vitrina.store.migrations.ledger import Entry
from vitrina.store.migrations.runner import migrate, standing
from vitrina.store.operations import Update

LIMIT: Final = 1_000
"""Write units a second of the table, or of a partition key: of what limits a work first."""
SHARE_OF_TABLE: Final = LIMIT / 4_000
"""The share of a new table's throughput that leaves so much to the table."""
SHARE_OF_KEY: Final = LIMIT / 1_000
"""The share that leaves so much to each partition key."""
PRODUCTS: Final = 1_500
"""Products that are imported, unless another number is asked for."""
MIGRATED: Final = 10_000
SEEN: Final = 15_000
"""Products that were viewed on the day of the rollup."""
UNITS_OF_CREATION: Final = 8
"""In the table, whose throughput limits it (table_design.md, AP-25)."""
UNITS_OF_MIGRATION: Final = 2
"""In an index, in the key of all live products, whose throughput limits it: an entry is deleted and another put."""
_INDEX_KEYS: Final = 2
"""The number of the migration."""
LEAST: Final = 0.8
_PATIENCE: Final = 30.0
_SHARDS_AT_ONCE: Final = 4


class _Refusals:
    """Counts the calls that write, and those of them that were refused, whole or in part."""

    def __init__(self) -> None:
        self.calls = 0
        self.refused = 0

    async def __call__(self, request: Request, forward: Forward) -> Response:
        response = await forward(request)
        if "Write" in request.operation or "Update" in request.operation:
            self.calls += 1
            self.refused += not response.ok or bool(response.body.get("UnprocessedItems"))
        return response


async def measure(_: Path, progress: Progress, *, products: int = PRODUCTS) -> Report:
    """Import, migrate and roll up; the import and the migration are cancelled half-way and run again."""
    report = Report("throttled")
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "throttled", read_timeout=_PATIENCE)
        await create_table(settings)
        await load(settings, MIGRATED, advance=lambda _: None)
        day = datetime.now(UTC).date() - timedelta(days=3)
        await _prepare(settings, day)
        task = progress.add_task("import, migration and rollup", total=3)
        for name, units, throughput, work in (
            ("import", products * UNITS_OF_CREATION, SHARE_OF_TABLE, partial(_import, products=products)),
            ("migration", MIGRATED * UNITS_OF_MIGRATION, SHARE_OF_KEY, _migrate),
            ("rollup", SEEN, SHARE_OF_TABLE, partial(_roll_up, day=day)),
        ):
            refusals = _Refusals()
            working = _timed(work, settings, endpoint, refusals, throughput)
            seconds = await asyncio.to_thread(run, working, loop=SlowLoop)
            # The bucket of a limit is full at first.
            share = (units - LIMIT) / LIMIT / seconds
            report.add(
                Figure(name=f"{name}: seconds", value=seconds),
                Figure(name=f"{name}: share of the throughput", value=share, at_least=LEAST),
                Figure(name=f"{name}: share of calls that were refused", value=refusals.refused / refusals.calls),
            )
            progress.advance(task)
    return report


async def _timed(
    work: Callable[[Services], Awaitable[None]], settings: Settings, endpoint: str, refusals: _Refusals, share: float
) -> float:
    """Do work on a table with a share of a new one's throughput; return the seconds that it took by the loop's time."""
    clock = Clock()
    async with (
        simulate(endpoint, [refusals, Throughput(clock, share=share)]) as urls,
        Services(settings.model_copy(update={"writer_endpoint": urls.dynamodb}), patient=_PATIENCE) as services,
    ):
        began = clock.now()
        await work(services)
        return clock.now() - began


async def _prepare(settings: Settings, day: date) -> None:
    """Give products an index key of an older release, and a day a view of each of many products."""
    async with Services(settings, patient=_PATIENCE) as services:
        for product_id in ids(MIGRATED):
            await services.table.update(Update(keys.product(product_id), [Item.by_name.set(f"OLD#{product_id}")]))
        views = [
            View(str(uuid.uuid4()), midnight_ms(day) + place, b"visitor-", None, bot=False) for place in range(SEEN)
        ]
        await services.view_store.put(services.view_store.segments(views))


async def _import(services: Services, *, products: int) -> None:
    content, by = batch("T", products), str(uuid.uuid4())
    created = 0
    for part in (products // 2, products):
        with ImportPlan() as plan:
            parse(ImportFile(io.BytesIO(content), FileFormat.CSV), ImportOptions(), plan)
            importer = Importer(services.products, services.product_store, plan)
            await importer.compare()
            written = _Until(part)
            await written.run(importer.apply(by=by, run=f"import-{uuid.uuid4()}", advance=written.add))
            created += plan.counts()[Outcome.CREATED]
    # A product whose transaction was under way when the first run ended is unchanged in the second one.
    if not products - AT_ONCE <= created <= products:
        raise RuntimeError(f"{created:,} of {products:,} products were created")


async def _roll_up(services: Services, *, day: date) -> None:
    await services.rollups.roll_up(day, at_once=_SHARDS_AT_ONCE)


async def _migrate(services: Services) -> None:
    for part in (MIGRATED // 2, MIGRATED + 1):
        seen = _Until(part)

        def report(entry: Entry, seen: _Until = seen) -> None:
            seen.reach(entry.changed)

        await seen.run(migrate(services.table, report, again=_INDEX_KEYS))
    *_, entry = [each for each in await standing(services.table) if each.number == _INDEX_KEYS]
    if entry.changed < MIGRATED:
        raise RuntimeError(f"{entry.changed:,} of {MIGRATED:,} products were migrated")


class _Until:
    """Runs work until it has done a part of its items, and then cancels it as Ctrl-C does."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._done = 0
        self._enough = asyncio.Event()

    def add(self, more: int) -> None:
        """Count items that were done."""
        self.reach(self._done + more)

    def reach(self, done: int) -> None:
        """State how many items were done."""
        self._done = done
        if done >= self._part:
            self._enough.set()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work to its end, or until so many items were done."""
        task, enough = asyncio.create_task(work), asyncio.create_task(self._enough.wait())
        await asyncio.wait([task, enough], return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=task.cancelling() > 0)
