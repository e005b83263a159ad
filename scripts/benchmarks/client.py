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
from scripts.benchmarks.rounds import interleave, ratio_of_rates
from scripts.benchmarks.stand import filled_service
from scripts.devstack.engines import dynamodb_local

ROUNDS: Final = 9
LEAST_RATIO: Final = 1.4
"""What 240 lines of code for a client of one's own have to earn."""
# -P keeps the modules beside the file from being found in place of others of the same name.
_PLAIN: Final = (sys.executable, "-P", str(Path(__file__).with_name("plain_client.py")))


async def measure(folder: Path, progress: Progress, *, rounds: int = ROUNDS) -> Report:
    """Drive both services in turn, each on a table of its own in the same engine."""
    report = Report("client")
    async with (
        dynamodb_local() as endpoint,
        filled_service("vitrina", endpoint, catalogue.BASE, folder=folder, progress=progress) as vitrina,
        filled_service("plain", endpoint, catalogue.BASE, folder=folder, progress=progress, vitrina=_PLAIN) as plain,
    ):

        async def trial(name: str, paths: Sequence[str]) -> None:
            load = Load(paths=paths, connections=32, seconds=3)
            samples = await interleave(name, load, (vitrina, plain), rounds=rounds, progress=progress)
            report.add_load(name, samples)
            ratio = ratio_of_rates(samples, vitrina.name, plain.name)
            report.add(Figure(name=f"{name}: rate, times the plain client's", value=ratio, at_least=LEAST_RATIO))

        await trial("1 product, 32 connections", HOT)
        await trial("1,000 products, 32 connections", PATHS)
        report.add(Figure(name="failed requests", value=report.errors(vitrina.name, plain.name), at_most=0))
    return report
