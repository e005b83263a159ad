"""Writes a history of views, reads it by the bare loop, and runs `vitrina` commands with their peak memory."""

import asyncio
import itertools
import os
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.peers import PEERS
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.views import MOST_IN_SEGMENT, VISITOR_BYTES, View, midnight_ms, shard_of
from vitrina.store import keys
from vitrina.store.table import MOST_PUTS

VISITORS: Final = 200_000
BOTS: Final = 0.2
WRITERS: Final = 4


async def fill(settings: Settings, sizes: dict[date, int], progress: Progress, *, together: int = 0) -> None:
    """Write views as the service's store does, a few products drawing most of them.

    They fill whole segments, or are those of flushes of `together` readers.
    """
    task = progress.add_task("views", total=sum(sizes.values()))
    chance = random.Random(20261124)  # noqa: S311 - the same views each time
    async with Services(settings, patient=15.0) as services:
        store = services.view_store
        batches = _gathered(sizes, chance, together) if together else _batches(sizes, chance)

        async def write() -> None:
            for flushes in batches:
                await store.put([segment for views in flushes for segment in store.segments(views)])
                progress.advance(task, sum(map(len, flushes)))

        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write())


def _batches(sizes: dict[date, int], chance: random.Random) -> Iterator[list[list[View]]]:
    """Yield views that fill whole segments: of each day, shard by shard."""
    hosts = [None, None, *(f"www.host-{number}.example" for number in range(40))]
    for day, size in sizes.items():
        midnight = midnight_ms(day)
        visitors = [chance.randbytes(VISITOR_BYTES) for _ in range(VISITORS)]
        groups: dict[int, list[str]] = {}
        for product_id in _seen(chance, size):
            groups.setdefault(shard_of(product_id, keys.VIEW_SHARDS), []).append(product_id)
        most = MOST_IN_SEGMENT * MOST_PUTS
        for group in groups.values():
            for first in range(0, len(group), most):
                part = group[first : first + most]
                yield [
                    [
                        View(
                            product_id,
                            midnight + (first + place) * 86_000_000 // len(group),
                            chance.choice(visitors),
                            chance.choice(hosts),
                            chance.random() < BOTS,
                        )
                        for place, product_id in enumerate(part)
                    ]
                ]


def _gathered(sizes: dict[date, int], chance: random.Random, together: int) -> Iterator[list[list[View]]]:
    """Yield views in flushes of `together` readers, as many flushes as one BatchWriteItem may hold."""
    for day, size in sizes.items():
        views = [
            View(product_id, midnight_ms(day) + place, chance.randbytes(VISITOR_BYTES), None, bot=False)
            for place, product_id in enumerate(_seen(chance, size))
        ]
        flushes = [views[first : first + together] for first in range(0, size, together)]
        for first in range(0, len(flushes), MOST_PUTS):
            yield flushes[first : first + MOST_PUTS]


def _seen(chance: random.Random, views: int) -> list[str]:
    """Yield the product of each view, a few products far more often."""
    weights = list(itertools.accumulate(1 / (place + 3) for place in range(catalogue.BASE)))
    return chance.choices(catalogue.ids(), cum_weights=weights, k=views)


async def bare_loop(settings: Settings, day: date, *, at_once: int) -> float:
    """Run the peer that reads a day, `at_once` shards in parallel; returns the events per second."""
    partitions = [keys.view_segments(day, shard) for shard in range(keys.VIEW_SHARDS)]
    arguments = [settings.writer_endpoint or "", settings.table_name, str(at_once), *partitions]
    pages = [sys.executable, str(PEERS / "pages.py"), *arguments]
    process = await asyncio.create_subprocess_exec(*pages, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the bare loop failed with {process.returncode}")
    return float(output)


async def run_vitrina(settings: Settings, *arguments: str) -> tuple[str, float]:
    """Run a command; returns its output and its peak memory in MB."""
    return await asyncio.to_thread(_run, settings, arguments)


def _run(settings: Settings, arguments: Sequence[str]) -> tuple[str, float]:
    receiving, sending = os.pipe()
    environment = {
        **os.environ,
        "VITRINA_ENVIRONMENT": settings.environment,
        "VITRINA_TABLE_NAME": settings.table_name,
        "VITRINA_REGION": settings.region,
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
