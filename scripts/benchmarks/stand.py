"""The measured servers: the two peers and the service, with the same products.

Each has an engine of its own: an operation of DynamoDB Local takes some tenths of a millisecond more with each table
that was created before, which counts against the server that starts last.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from scripts.benchmarks import catalogue, peers
from scripts.benchmarks.peers import Server
from scripts.benchmarks.service import VITRINA, Service, create_table, service, settings_for
from scripts.devstack.engines import dynamodb_local


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """The servers, which are loaded in turn."""

    hello: Server
    naive: Server
    vitrina: Service

    def __iter__(self) -> Iterator[Server]:
        return iter((self.hello, self.naive, self.vitrina))


@asynccontextmanager
async def stand(folder: Path, progress: Progress) -> AsyncIterator[Stand]:
    """Run the peers and the service until the block ends."""
    async with (
        dynamodb_local() as for_naive,
        dynamodb_local() as endpoint,
        peers.hello() as hello,
        peers.naive(for_naive) as naive,
        filled_service("vitrina", endpoint, catalogue.BASE, folder=folder, progress=progress) as vitrina,
    ):
        yield Stand(hello=hello, naive=naive, vitrina=vitrina)


@asynccontextmanager
async def filled_service(
    name: str,
    endpoint: str,
    count: int,
    *,
    folder: Path,
    progress: Progress,
    vitrina: Sequence[str] = VITRINA,
    options: Mapping[str, Any] | None = None,
) -> AsyncIterator[Service]:
    """Run the service on a new table that holds the first `count` products; `options` are further settings."""
    settings = settings_for(endpoint, name, **(options or {}))
    await create_table(settings)
    task = progress.add_task(f"loading {count:,} products", total=count)
    await catalogue.load(settings, count, advance=lambda number: progress.advance(task, number))
    async with service(name, settings, folder=folder, vitrina=vitrina) as running:
        yield running
