"""The service, relay and notifier behind what AWS does and local engines do not (`tests/aws_simulator`).

Requests come at a constant rate, however long the earlier ones take. The simulator shares the machine with the service,
so latencies are upper bounds; statuses, calls, units and what is lost do not depend on that.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.notices import Sightings, hire, stream_of, until, worker
from scripts.benchmarks.service import EMAIL, PASSWORD, Service, create_table, service, settings_for
from scripts.devstack.engines import dynamodb_local, embedded
from tests.aws_simulator.mail import MailAccount
from tests.aws_simulator.profile import aws as profile
from tests.aws_simulator.proxy import simulate
from vitrina import aws
from vitrina.config import Settings
from vitrina.queue.provisioning import ensure

PRODUCTS: Final = 200
ADMINS: Final = 4
READS: Final = (100, 15)
"""Requests a second, and seconds."""
SIGN_INS: Final = (3, 8)
WRITES: Final = (8, 15)
STORM: Final = (150, 4)
CHANGES: Final = (1, 20)


@dataclass(slots=True)
class Load:
    """The answers of a load: how often each status came, and the milliseconds of each."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    async def run(self, pace: tuple[int, int], request: Callable[[int], Awaitable[int]]) -> None:
        """Make requests at a pace; each returns its status."""
        rate, seconds = pace
        began = time.monotonic()

        async def one(number: int) -> None:
            sent = time.monotonic()
            self.statuses[await request(number)] += 1
            self.took.append((time.monotonic() - sent) * 1000)

        async with asyncio.TaskGroup() as requests:
            for number in range(rate * seconds):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                requests.create_task(one(number))

    def figures(self, name: str) -> list[Figure]:
        """Return the percentiles and the statuses."""
        percentiles = statistics.quantiles(self.took, n=100)
        figures = [Figure(name=f"{name}: p{p} ms", value=percentiles[p - 1]) for p in (50, 95, 99)]
        return figures + [Figure(name=f"{name}: {status}", value=n) for status, n in sorted(self.statuses.items())]


class Client:
    """Sends requests to the service; a super_admin is signed in."""

    def __init__(self, vitrina: Service, http: aiohttp.ClientSession, token: str) -> None:
        self.vitrina = vitrina
        self.token = token
        self._http = http

    async def read(self, number: int) -> int:
        """Read a product anonymously, and return the status."""
        async with self._http.get(f"{self.vitrina.url}/v1/products/{_product(number)}") as response:
            return response.status

    async def sign_in(self, _: int) -> int:
        """Sign in, and return the status."""
        credentials = {"email": EMAIL, "password": PASSWORD}
        async with self._http.post(f"{self.vitrina.url}/v1/auth/login", json=credentials) as response:
            return response.status

    async def patch(self, product: int, number: int) -> tuple[int, Any]:
        """Set a product's price by a number, and return status and body."""
        path, headers = f"/v1/products/{_product(product)}", {"Authorization": f"Bearer {self.token}"}
        body = {"price": f"{number + 1}.99"}
        async with self._http.patch(f"{self.vitrina.url}{path}", json=body, headers=headers) as response:
            return response.status, await response.json()

    async def change(self, number: int) -> int:
        """Change the price of one product after the other, and return the status."""
        return (await self.patch(number, 1_000 + number))[0]

    async def hit(self, number: int) -> int:
        """Change the price of the same product, and return the status."""
        return (await self.patch(0, 10_000 + number))[0]


async def measure(folder: Path, progress: Progress) -> Report:
    """Measure notices with their mail, reads, sign-ins, writes, and a storm on one key."""
    report = Report("aws")
    behaviours = profile()
    mail = next(each for each in behaviours if isinstance(each, MailAccount))
    async with (
        dynamodb_local() as engine,
        embedded() as queue,
        simulate(engine, behaviours, queue=queue) as urls,
    ):
        settings = settings_for(
            urls.dynamodb,
            "aws",
            streams_endpoint=urls.streams,
            queue_endpoint=urls.sqs,
            ses_endpoint=urls.ses,
            mail_transport="ses",
            mail_from="notices@shop.example",
            notices_before_digest=10_000,
        )
        direct = settings.model_copy(update={"writer_endpoint": engine, "streams_endpoint": engine})
        await create_table(settings)
        await catalogue.load(direct, PRODUCTS, advance=lambda _: None)
        async with aws.connect_queue(settings) as client:
            await ensure(client, settings)
        async with (
            service("vitrina", settings, folder=folder) as vitrina,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            signed_in = Client(vitrina, http, await vitrina.sign_in())
            async with worker("relay", settings, folder), worker("notifier", settings, folder):
                await _notices(direct, signed_in, mail, report, progress)
            await _reads(signed_in, report, progress)
            await _loads(signed_in, report, progress)
    return report


async def _notices(direct: Settings, client: Client, mail: MailAccount, report: Report, progress: Progress) -> None:
    """Change prices, and see when each admin's entry and mail arrive."""
    admins = await hire(direct, ADMINS)
    answered: dict[tuple[str, int], float] = {}
    sightings = Sightings()
    task = progress.add_task("notices", total=1)

    async def change(number: int) -> int:
        status, product = await client.patch(number, number)
        answered[product["id"], product["version"]] = time.monotonic()
        return status

    async def all_there() -> bool:
        return len(sightings.seen) >= len(answered) * ADMINS and len(mail.sent) >= len(answered) * ADMINS

    async with stream_of(direct) as (_, stream):
        watching = asyncio.create_task(sightings.watch(stream))
        await Load().run(CHANGES, change)
        await until(all_there)
        watching.cancel()
    seen = sorted(at - answered[key[1:]] for key, at in sightings.seen.items())
    ids = {str(message_from_bytes(data)["Message-ID"]) for _, data in mail.sent}
    wanted = len(answered) * len(admins)
    report.add(
        Figure(name="notices: inbox entries", value=len(seen), at_least=wanted, at_most=wanted),
        Figure(name="notices: written twice", value=sightings.twice, at_most=0),
        Figure(name="notices: p50 seconds", value=statistics.median(seen), at_most=2),
        Figure(name="notices: p99 seconds", value=seen[int(len(seen) * 0.99)], at_most=4),
        Figure(name="mails", value=len(mail.sent), at_least=wanted, at_most=wanted),
        Figure(name="mails: sent twice", value=len(mail.sent) - len(ids), at_most=0),
        Figure(
            name="mails: last one, seconds after the last change", value=mail.attempts[-1][0] - max(answered.values())
        ),
    )
    progress.advance(task)


async def _reads(client: Client, report: Report, progress: Progress) -> None:
    """Read products anonymously, each read with a stored view."""
    task, load = progress.add_task("reads", total=1), Load()
    before = await client.vitrina.usage()
    await load.run(READS, client.read)
    await asyncio.sleep(1)  # The last views are stored.
    usage = await client.vitrina.usage() - before
    report.add(
        *load.figures("reads"),
        Figure(name="reads: views", value=usage.views, at_least=load.statuses[200], at_most=load.statuses[200]),
        Figure(name="reads: late views", value=usage.late_views / max(usage.views, 1), at_most=0.05),
        Figure(name="reads: write units a view", value=usage.write_units / max(usage.views, 1)),
        Figure(name="reads: read units each", value=usage.read_units / load.statuses[200]),
    )
    progress.advance(task)


async def _loads(client: Client, report: Report, progress: Progress) -> None:
    """Sign in, change prices, and change one product more often than one key admits."""
    path = f"/v1/products/{_product(0)}"
    for name, pace, request in (
        ("sign-ins", SIGN_INS, client.sign_in),
        ("writes", WRITES, client.change),
        ("storm", STORM, client.hit),
    ):
        task, load = progress.add_task(name, total=1), Load()
        version = (await client.vitrina.get(path, token=client.token))["version"]
        start = client.vitrina.log_size()
        await load.run(pace, request)
        entries = await client.vitrina.answered_since(start)
        calls = [each.calls for each in entries if each.status < 300]  # noqa: PLR2004 - successes
        report.add(*load.figures(name), Figure(name=f"{name}: calls each", value=statistics.fmean(calls or [0])))
        if name == "storm":
            written = (await client.vitrina.get(path, token=client.token))["version"] - version
            report.add(
                Figure(
                    name="storm: statuses but 200, 409 and 503",
                    value=len(load.statuses.keys() - {200, 409, 503}),
                    at_most=0,
                ),
                Figure(name="storm: versions", value=written, at_least=load.statuses[200]),
            )
        progress.advance(task)


def _product(number: int) -> str:
    return catalogue.product_id(number % PRODUCTS)
