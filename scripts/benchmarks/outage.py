"""Anonymous reads while the table does not answer: while its engine hangs, and after it was killed."""

import asyncio
import itertools
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import Engine, dynamodb_local

PRODUCTS: Final = 20
RATES: Final = (20, 500)
BEFORE: Final = 3.0
OUTAGE: Final = 12.0
AFTER: Final = 6.0
RECOVERY: Final = 2
PATHS: Final = ["/v1/products", *(f"/v1/products/{product_id}" for product_id in catalogue.ids(PRODUCTS))]
"""The first page, and every product on it."""
_STALE: Final = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response: when its request was sent, how long it took, and what it was. `status` 0: there was none."""

    at: float
    seconds: float
    status: int
    is_stale: bool

    @property
    def is_fresh(self) -> bool:
        """Whether it has what the table has."""
        return self.status == HTTPStatus.OK and not self.is_stale


async def measure(folder: Path, progress: Progress) -> Report:
    """Read at `RATES` a second, and stop the table for `OUTAGE` seconds meanwhile."""
    report = Report("outage")
    engine = dynamodb_local(db_path=folder / "engine")
    faults: dict[str, tuple[Callable[[], None], Callable[[], Awaitable[object]]]] = {
        "hangs": (lambda: os.kill(engine.process.pid, signal.SIGSTOP), lambda: _continue(engine)),
        "is killed": (lambda: engine.stop(grace=0), lambda: _start_again(engine)),
    }
    async with (
        engine as endpoint,
        filled_service("vitrina", endpoint, PRODUCTS, folder=folder, progress=progress) as vitrina,
    ):
        for (fault, (begin, end)), rate in itertools.product(faults.items(), RATES):
            name = f"the table {fault}, {rate} reads a second"
            task = progress.add_task(name, total=None)
            async with _reads(vitrina.url, rate) as answers:
                await asyncio.sleep(BEFORE)
                began = asyncio.get_running_loop().time()
                begin()
                await asyncio.sleep(OUTAGE)
                ended = asyncio.get_running_loop().time()
                await end()
                returned = asyncio.get_running_loop().time()
                await asyncio.sleep(AFTER)
            progress.update(task, total=1, completed=1)
            report.add(*_figures(name, answers, began=began, ended=ended, returned=returned))
    return report


def _figures(name: str, answers: Sequence[Answer], *, began: float, ended: float, returned: float) -> list[Figure]:
    during = [answer for answer in answers if began <= answer.at < ended]
    slowest = sorted(answer.seconds for answer in during)
    served = sum(answer.status == HTTPStatus.OK for answer in during) / len(during)
    stale = sum(answer.is_stale for answer in during) / len(during)
    after = [answer for answer in answers if answer.at > returned]
    fresh = min((answer.at + answer.seconds for answer in after if answer.is_fresh), default=math.inf) - returned
    later = [answer.is_fresh for answer in after if answer.at > returned + RECOVERY]
    return [
        Figure(name=f"{name}: share of answers with a product", value=served, at_least=0.99),
        Figure(name=f"{name}: share of stale answers", value=stale),
        Figure(name=f"{name}: p99 of the seconds to an answer", value=slowest[len(slowest) * 99 // 100], at_most=0.4),
        Figure(name=f"{name}: seconds from its return to a fresh answer", value=fresh, at_most=RECOVERY),
        Figure(name=f"{name}: share of fresh answers after {RECOVERY} s", value=sum(later) / len(later), at_least=0.95),
    ]


@asynccontextmanager
async def _reads(url: str, rate: int) -> AsyncIterator[list[Answer]]:
    """Send `rate` requests a second until the block ends, however long the responses take."""
    loop, answers = asyncio.get_running_loop(), list[Answer]()
    timeout = aiohttp.ClientTimeout(total=10)

    async def read(http: aiohttp.ClientSession, path: str) -> None:
        at = loop.time()
        status, is_stale = 0, False
        try:
            async with http.get(path) as response:
                await response.read()
                status, is_stale = response.status, _STALE in response.headers
        except (aiohttp.ClientError, TimeoutError):
            pass
        answers.append(Answer(at=at, seconds=loop.time() - at, status=status, is_stale=is_stale))

    async def send(http: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        began = loop.time()
        for number in itertools.count():
            await asyncio.sleep(began + number / rate - loop.time())
            group.create_task(read(http, PATHS[number % len(PATHS)]))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as http, asyncio.TaskGroup() as group:
        sender = group.create_task(send(http, group))
        yield answers
        sender.cancel()


async def _continue(engine: Engine) -> None:
    os.kill(engine.process.pid, signal.SIGCONT)


async def _start_again(engine: Engine) -> None:
    engine.start()
    await asyncio.to_thread(engine.wait)
