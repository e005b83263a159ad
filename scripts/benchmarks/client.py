"""Anonymous product reads through `ItemClient` (vitrina.dynamodb), and through aiobotocore's own client."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load
from scripts.benchmarks.reads import HOT, PATHS
from scripts.benchmarks.rounds import interleave, ratio_of_cpu, ratio_of_rates
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import dynamodb_local

ROUNDS: Final = 9
LEAST_RATIO: Final = 1.4
"""What 240 lines of code for a client of one's own have to earn, in CPU time of a read that calls DynamoDB."""
# -P keeps the modules beside the file from being found in place of others of the same name.
_PLAIN: Final = (sys.executable, "-P", str(Path(__file__).with_name("plain_client.py")))


async def measure(folder: Path, progress: Progress, *, rounds: int = ROUNDS) -> Report:
    """Drive both services in turn, each on an engine of its own (stand.py says why)."""
    report = Report("client")
    async with (
        dynamodb_local() as endpoint,
        dynamodb_local() as for_plain,
        filled_service("vitrina", endpoint, catalogue.BASE, folder=folder, progress=progress) as vitrina,
        filled_service("plain", for_plain, catalogue.BASE, folder=folder, progress=progress, vitrina=_PLAIN) as plain,
    ):

        async def trial(name: str, paths: Sequence[str], connections: int, *, at_least: float | None = None) -> None:
            load = Load(paths=paths, connections=connections, seconds=3)
            samples = await interleave(name, load, (vitrina, plain), rounds=rounds, progress=progress)
            report.add_load(name, samples)
            rates = ratio_of_rates(samples, vitrina.name, plain.name)
            cpu = ratio_of_cpu(samples, plain.name, vitrina.name)
            report.add(
                Figure(name=f"{name}: rate, times the plain client's", value=rates),
                Figure(name=f"{name}: CPU time of the plain client's, times ours", value=cpu, at_least=at_least),
            )

        await trial("1 product, 32 connections", HOT, 32)
        await trial("1,000 products, 32 connections", PATHS, 32)
        # Each of these reads misses the cache: it makes two calls.
        await trial("1,000 products, 1 connection", PATHS, 1, at_least=LEAST_RATIO)
        report.add(Figure(name="failed requests", value=report.errors(vitrina.name, plain.name), at_most=0))
    return report
