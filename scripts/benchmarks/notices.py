"""From a price change to every admin's inbox (R9): latency, completeness, and the cost of an idle relay."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session as SmtpSession
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.service import Service, create_table, environment, service, settings_for
from scripts.devstack.engines import Engine, dynamodb_local, embedded, free_port
from vitrina import aws
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.users import Role, User
from vitrina.domain.views import View
from vitrina.ids import new_id
from vitrina.queue.provisioning import ensure
from vitrina.store import keys
from vitrina.store.items import Item, NoticeItem
from vitrina.store.operations import Query
from vitrina.store.paging import every
from vitrina.store.stream import Stream, find_stream
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

ADMINS: Final = 20
PRODUCTS: Final = 200
RATE: Final = 20
SECONDS: Final = 60
WARM_UP: Final = 10
"""Seconds of load before measuring: a JVM that has just started is slower than the load."""
CALM: Final = 20.0
"""Seconds for which the idle relay is observed."""
NOISE: Final = 50_000
MATTERING: Final = 10
_PATIENCE: Final = 60.0


@dataclass(slots=True)
class Sightings:
    """The time at which each inbox entry appeared on the stream, in seconds of the monotonic clock."""

    seen: dict[tuple[str, str, int], float] = field(default_factory=dict)
    twice: int = 0

    async def watch(self, stream: Stream) -> None:
        """Read the stream from now until cancelled; a record on it means that the item is in the table."""
        iterators = {shard: await stream.iterator(shard, after=None) for shard in await stream.shards()}
        while True:
            for shard, iterator in list(iterators.items()):
                page = await stream.page(iterator)
                if page.next is None:
                    del iterators[shard]
                else:
                    iterators[shard] = page.next
                for record in page.records:
                    self._look_at(record)
            await asyncio.sleep(0.02)

    def _look_at(self, record: Any) -> None:  # noqa: ANN401 - DynamoDB's own
        image = record["dynamodb"].get("NewImage", {})
        if record["eventName"] == "INSERT" and image["type"]["S"] == "notice":
            key = image["user_id"]["S"], image["product_id"]["S"], int(image["version"]["N"])
            self.twice += key in self.seen
            self.seen[key] = time.monotonic()


class MailSink:
    """An SMTP server that counts the mails."""

    def __init__(self) -> None:
        self.mails = 0

    async def handle_DATA(self, _server: SMTP, _session: SmtpSession, _envelope: Envelope) -> str:  # noqa: N802 - its name
        """Count a mail."""
        self.mails += 1
        return "250 taken"


async def measure(folder: Path, progress: Progress) -> Report:
    """Measure an idle relay, one under load, and one behind many irrelevant records."""
    report = Report("notices")
    async with embedded() as queue:
        with _mail_sink() as (sink, smtp_port):
            options = {"queue_endpoint": queue, "smtp_host": "127.0.0.1", "smtp_port": smtp_port}
            async with dynamodb_local() as endpoint:
                settings = settings_for(endpoint, "notices", **options)
                await _prepare(settings)
                admins = await hire(settings)
                async with (
                    service("vitrina", settings, folder=folder) as vitrina,
                    worker("relay", settings, folder) as relay,
                    worker("notifier", settings, folder),
                ):
                    await _calm(relay, report, progress)
                    await _storm(settings, vitrina, admins, report, progress)
                    report.add(Figure(name="mails sent", value=sink.mails))
            # An engine of its own: what the streams of the first one hold would slow it down.
            async with dynamodb_local() as endpoint:
                settings = settings_for(endpoint, "noise", queue_name="noise", **options)
                await _prepare(settings)
                await _noise(settings, folder, report, progress)
    return report


async def _calm(relay: "Worker", report: Report, progress: Progress) -> None:
    task = progress.add_task("nothing happens", total=1)
    await asyncio.sleep(3)
    before, calls = relay.cpu_seconds(), await relay.calls()
    began = time.monotonic()
    await asyncio.sleep(CALM)
    seconds = time.monotonic() - began
    progress.advance(task)
    report.add(
        Figure(name="idle relay: part of a core", value=(relay.cpu_seconds() - before) / seconds, at_most=0.01),
        Figure(name="idle relay: calls a minute", value=(await relay.calls() - calls) / seconds * 60),
    )


async def _storm(settings: Settings, vitrina: Service, admins: list[User], report: Report, progress: Progress) -> None:
    sightings, answered = Sightings(), dict[tuple[str, int], float]()
    token = await vitrina.sign_in()
    async with stream_of(settings) as (table, stream), aiohttp.ClientSession() as client:
        watching = asyncio.create_task(sightings.watch(stream))
        task = progress.add_task("prices change", total=RATE * (WARM_UP + SECONDS))

        async def patch(number: int) -> None:
            path = f"/v1/products/{catalogue.product_id(number % PRODUCTS)}"
            headers = {"Authorization": f"Bearer {token}"}
            body = {"price": f"{number + 1}.99"}
            async with client.patch(f"{vitrina.url}{path}", json=body, headers=headers) as response:
                product = await response.json()
                response.raise_for_status()
            answered[product["id"], product["version"]] = time.monotonic()
            progress.advance(task)

        async def change(numbers: range) -> None:
            began = time.monotonic()
            async with asyncio.TaskGroup() as patches:
                for place, number in enumerate(numbers):
                    await asyncio.sleep(max(0.0, began + place / RATE - time.monotonic()))
                    patches.create_task(patch(number))

        async def all_told() -> bool:
            return len(sightings.seen) >= len(admins) * len(answered)

        await change(range(RATE * WARM_UP))
        await until(all_told)
        early = set(answered)
        await change(range(RATE * WARM_UP, RATE * (WARM_UP + SECONDS)))
        await until(all_told)
        watching.cancel()
        entries = [_entry(item) for admin in admins for item in await _inbox(table, admin.id)]
    counted = answered.keys() - early
    wanted = {(admin.id, *change) for admin in admins for change in counted}
    found = [entry for entry in entries if entry[1:] not in early]
    late = {entry: seen - answered[entry[1], entry[2]] for entry, seen in sightings.seen.items()}
    cold = sorted(late[entry] for entry in late if entry[1:] in early)
    warm = sorted(late[entry] for entry in late if entry[1:] in counted)
    report.add(
        Figure(name="changes", value=len(counted), at_least=RATE * SECONDS),
        Figure(name="inbox entries", value=len(found), at_least=len(wanted), at_most=len(wanted)),
        Figure(name="missing", value=len(wanted - set(found)), at_most=0),
        Figure(name="written twice", value=sightings.twice + len(entries) - len(set(entries)), at_most=0),
        Figure(name="answer to inbox, p50 seconds", value=statistics.median(warm), at_most=1),
        Figure(name="answer to inbox, p99 seconds", value=warm[int(len(warm) * 0.99)], at_most=3),
        Figure(name="answer to inbox, latest seconds", value=warm[-1]),
        Figure(name=f"{WARM_UP} s before that, engine cold: p99 seconds", value=cold[int(len(cold) * 0.99)]),
    )


async def _noise(settings: Settings, folder: Path, report: Report, progress: Progress) -> None:
    """Start the relay behind 50,000 records, of which 10 are price changes."""
    task = progress.add_task("much that does not matter", total=NOISE)
    admins = await hire(settings, 1)
    async with service("noisy", settings, folder=folder) as vitrina, stream_of(settings) as (table, _):
        token = await vitrina.sign_in()
        views = ViewStore(table)
        for tenth in range(MATTERING):
            for _ in range(NOISE // MATTERING // 200):
                await asyncio.gather(*(views.put(_segments(views)) for _ in range(8)))
                progress.advance(task, 200)
            headers = {"Authorization": f"Bearer {token}"}
            path = f"/v1/products/{catalogue.product_id(tenth)}"
            async with aiohttp.ClientSession(raise_for_status=True) as client:
                await client.patch(f"{vitrina.url}{path}", json={"price": f"{tenth + 1}.49"}, headers=headers)
        began = time.monotonic()
        async with worker("relay", settings, folder), worker("notifier", settings, folder):
            await until(lambda: _has(table, admins[0], MATTERING))
    report.add(
        Figure(name=f"{NOISE:,} records, {MATTERING} matter: seconds", value=time.monotonic() - began, at_most=30)
    )


def _segments(views: ViewStore) -> list[Any]:
    """Return 25 segments of one view each, to create as many records as possible."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return [views.segments([View(new_id(), now_ms, bytes(12), None, bot=False)])[0] for _ in range(25)]


class Worker:
    """A running relay or notifier."""

    def __init__(self, url: str, process_id: int) -> None:
        self._url = url
        self._process_id = process_id

    def cpu_seconds(self) -> float:
        """Return the seconds of processor time used so far."""
        fields = Path(f"/proc/{self._process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def calls(self) -> float:
        """Return the number of calls to the table and the stream so far."""
        async with aiohttp.ClientSession() as client, client.get(f"{self._url}/metrics") as response:
            text = await response.text()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == "vitrina_dynamodb_calls_total")


@asynccontextmanager
async def worker(command: str, settings: Settings, folder: Path) -> AsyncIterator[Worker]:
    """Run `vitrina relay` or `vitrina notifier`, its log in `folder`."""
    log = folder / f"{settings.table_name}-{command}.log"

    def variables(port: int) -> dict[str, str]:
        return environment(settings) | {"VITRINA_WORKER_METRICS_PORT": str(port)}

    engine = Engine(
        command,
        lambda _: ["sh", "-c", f'exec "$@" >{log} 2>&1', "sh", sys.executable, "-m", "vitrina", command],
        environment=variables,
        probe="/healthz",
    )
    async with engine as url:
        yield Worker(url, engine.process.pid)


@contextmanager
def _mail_sink() -> Iterator[tuple[MailSink, int]]:
    sink, port = MailSink(), free_port()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield sink, port
    finally:
        controller.stop()


async def _prepare(settings: Settings) -> None:
    await create_table(settings)
    await catalogue.load(settings, PRODUCTS, advance=lambda _: None)
    async with aws.connect_queue(settings) as client:
        await ensure(client, settings)


async def hire(settings: Settings, number: int = ADMINS) -> list[User]:
    """Create admins."""
    at = datetime.now(UTC) - timedelta(days=1)
    admins = [
        User(
            id=new_id(),
            email=f"admin-{place}@example.com",
            name=f"Admin {place}",
            role=Role.ADMIN,
            active=True,
            session_epoch=0,
            version=1,
            created_at=at,
            updated_at=at,
        )
        for place in range(number)
    ]
    async with Services(settings) as services:
        for admin in admins:
            await services.user_store.create(admin, "none")  # Nobody signs in by it.
    return admins


@asynccontextmanager
async def stream_of(settings: Settings) -> AsyncIterator[tuple[Table, Stream]]:
    """Yield the table and its stream."""
    async with Services(settings) as services, aws.connect_streams(settings) as streams:
        stream = await find_stream(services.clients, streams, settings.table_name)
        assert stream is not None  # noqa: S101 - `table create` turned it on
        yield services.table, stream


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `holds` returns true, at most `_PATIENCE` seconds; the figures then show what is missing."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        if await holds():
            return
        await asyncio.sleep(0.1)


async def _has(table: Table, admin: User, number: int) -> bool:
    return len(await _inbox(table, admin.id)) >= number


async def _inbox(table: Table, user_id: str) -> list[NoticeItem]:
    mine = (Item.pk == keys.user(user_id).pk) & Item.sk.startswith(keys.NOTICE_PREFIX)
    items = await every(table, Query(condition=mine, consistent=True))
    return [item for item in items if isinstance(item, NoticeItem)]


def _entry(item: NoticeItem) -> tuple[str, str, int]:
    return item.user_id, item.product_id, item.version
