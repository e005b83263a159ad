"""An import of products beside a bare loop of the same transactions: the cost of reading, comparing and validating."""

import asyncio
import io
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from scripts.benchmarks.catalogue import products
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.service import create_table, settings_for
from scripts.devstack.engines import dynamodb_local
from vitrina.aws import Clients
from vitrina.bootstrap import Services
from vitrina.domain.products import Action, Product, describe
from vitrina.ids import new_id
from vitrina.services.exports.products import WRITERS
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.importer import AT_ONCE, Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome
from vitrina.store.operations import Step
from vitrina.store.products import ProductStore

COUNT: Final = 10_000
ROUNDS: Final = 10
"""Both sides take turns, a tenth of the products each, since the speed of a shared machine drifts."""
LEAST_RATIO: Final = 0.7
PATIENCE: Final = 30.0


class _Recorder:
    """A fake table that records the writes of one transaction."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    async def commit(self, steps: Sequence[Step], *, within: float) -> None:  # noqa: ARG002 - nothing is sent
        self.items = [{step.write.kind: {"TableName": "import"} | step.write.arguments()} for step in steps]


async def measure(_: Path, progress: Progress) -> Report:
    """Import new products, a tenth at a time, alternating with the bare loop."""
    report = Report("import")
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "import").model_copy(update={"connect_timeout": 10})
        await create_table(settings)
        task = progress.add_task(f"{COUNT:,} products, twice", total=2 * ROUNDS)
        seconds: dict[str, list[float]] = {"bare": [], "import": []}
        made = 0
        async with Services(settings, patient=PATIENCE) as services:
            await import_products(services, batch("W", 50))
            await _bare(services.clients, await _transactions(batch("V", 50)))
            for number in range(ROUNDS):
                transactions = await _transactions(batch(f"B{number}", COUNT // ROUNDS))
                for side in ("bare", "import") if number % 2 else ("import", "bare"):
                    started = time.perf_counter()
                    if side == "bare":
                        await _bare(services.clients, transactions)
                    else:
                        made += await import_products(services, batch(f"I{number}", COUNT // ROUNDS))
                    seconds[side].append(time.perf_counter() - started)
                    progress.advance(task)
    ratios = [bare / ours for bare, ours in zip(seconds["bare"], seconds["import"], strict=True)]
    report.add(
        Figure(name="import: products created", value=made, at_least=COUNT, at_most=COUNT),
        Figure(name=f"import, {AT_ONCE} at a time: products a second", value=COUNT / sum(seconds["import"])),
        Figure(name="bare loop of the same transactions: a second", value=COUNT / sum(seconds["bare"])),
        Figure(name="import to bare loop, median of the rounds", value=statistics.median(ratios), at_least=LEAST_RATIO),
        Figure(name="import to bare loop, whole", value=sum(seconds["bare"]) / sum(seconds["import"])),
    )
    return report


def batch(prefix: str, count: int) -> bytes:
    """Return a CSV file of new products in the format of an export."""
    head, write = WRITERS[FileFormat.CSV]
    return (head + write(products(count))).replace(b"BENCH-", f"{prefix}-".encode())


async def import_products(services: Services, content: bytes) -> int:
    """Import a file as the command does; returns the number of products created."""
    with ImportPlan() as plan:
        parse(ImportFile(io.BytesIO(content), FileFormat.CSV), ImportOptions(), plan)
        importer = Importer(services.products, services.product_store, plan)
        await importer.compare()
        await importer.apply(by=str(uuid.uuid4()), run=f"import-{uuid.uuid4()}")
        return plan.counts()[Outcome.CREATED]


async def _transactions(content: bytes) -> list[list[dict[str, Any]]]:
    """Return the transactions that the store would send for a file's products."""
    recorder = _Recorder()
    store = ProductStore(recorder)  # type: ignore[arg-type]
    found = []
    for product in _products(content):
        change = describe(None, product, action=Action.CREATED, request_id=f"import-{uuid.uuid4()}/1")
        await store.create(product, change)
        found.append(recorder.items)
    return found


def _products(content: bytes) -> Iterator[Product]:
    skus = (line.split(b",")[1].decode() for line in content.splitlines()[1:])
    count = content.count(b"\r\n") - 1
    for sku, product in zip(skus, products(count), strict=True):
        yield replace(product, sku=sku, id=new_id())


async def _bare(clients: Clients, transactions: Sequence[Any]) -> None:
    """Send prepared transactions, as many in parallel as the import."""
    waiting = iter(transactions)

    async def work() -> None:
        for items in waiting:
            await clients.writer.transact_write_items(TransactItems=items, ClientRequestToken=str(uuid.uuid4()))

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())
