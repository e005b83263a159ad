"""`scripts/bench COMMAND`: measure; the exit code is 1 if a target is missed."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from scripts.benchmarks import (
    aws,
    batches,
    client,
    export,
    fleet,
    footprint,
    functions,
    imports,
    listing,
    load,
    notices,
    outage,
    overload,
    reads,
    reports,
    rollup,
    throttled,
    writes,
)
from scripts.benchmarks.figures import Report
from scripts.devstack.dynamodb_local import MissingToolError
from scripts.devstack.engines import EngineError
from vitrina.cli.progress import progress

LOCAL_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PIPED_WIDTH = 110
Measure = Callable[[Path, Progress], Awaitable[Report]]

json_option = click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Also write all figures to this file."
)


@click.group()
def main() -> None:
    """Measure Vitrina beside `hello` (fixed bytes) and `naive` (one DynamoDB call per step), on this machine.

    Each command takes a few minutes and needs an otherwise idle machine. Exit code 1: a target is missed.
    """
    if problem := load.missing():
        raise click.ClickException(problem)
    # Engines accept any credentials; the real ones of the environment must not reach them.
    os.environ.update(LOCAL_CREDENTIALS)


@main.command("reads")
@json_option
def reads_command(path: Path | None) -> None:
    """Read products anonymously, each read with a stored view."""
    _measure(reads.measure, path)


@main.command("writes")
@json_option
def writes_command(path: Path | None) -> None:
    """Create and patch products."""
    _measure(writes.measure, path)


@main.command("list")
@click.option(
    "--products",
    "large",
    type=click.IntRange(min=listing.PAGED),
    multiple=True,
    default=listing.LARGE,
    show_default=True,
    help="The size of a catalogue that is compared with one of 1,000; a million products take ten minutes to load.",
)
@json_option
def list_command(large: tuple[int, ...], path: Path | None) -> None:
    """List pages of 25 beside the peers, and from small and large catalogues."""
    _measure(partial(listing.measure, large=large), path)


@main.command("notices")
@json_option
def notices_command(path: Path | None) -> None:
    """Measure how fast price changes reach the inboxes of admins."""
    _measure(notices.measure, path)


@main.command("reports")
@json_option
def reports_command(path: Path | None) -> None:
    """Roll up and report a million views."""
    _measure(reports.measure, path)


@main.command("import")
@json_option
def import_command(path: Path | None) -> None:
    """Import 10,000 products, beside a bare loop of the same transactions."""
    _measure(imports.measure, path)


@main.command("throttled")
@click.option(
    "--products",
    type=click.IntRange(min=300),
    default=throttled.PRODUCTS,
    show_default=True,
    help="Products that are imported, 25 a second of yours.",
)
@json_option
def throttled_command(products: int, path: Path | None) -> None:
    """Import, migrate and roll up on a table of little throughput."""
    _measure(partial(throttled.measure, products=products), path)


@main.command("batch")
@json_option
def batch_command(path: Path | None) -> None:
    """Create products by batches, beside an import of as many."""
    _measure(batches.measure, path)


@main.command("export")
@click.option("--events", type=click.IntRange(min=1_000), default=export.EVENTS, show_default=True)
@json_option
def export_command(events: int, path: Path | None) -> None:
    """Export views in each format, beside a bare loop over their segments."""
    _measure(partial(export.measure, events=events), path)


@main.command("fleet")
@json_option
def fleet_command(path: Path | None) -> None:
    """Spread anonymous reads over 1, 10 and 50 simulated processes."""
    _measure(fleet.measure, path)


@main.command("aws")
@json_option
def aws_command(path: Path | None) -> None:
    """Run the service behind what AWS does and local engines do not: throttling, conflicts, stale reads, latency."""
    _measure(aws.measure, path)


@main.command("rollup")
@click.option("--products", type=click.IntRange(min=10_000), default=rollup.PRODUCTS, show_default=True)
@json_option
def rollup_command(products: int, path: Path | None) -> None:
    """Roll up a day of many products on a simulated table that takes 1,000 write units a second."""
    _measure(partial(rollup.measure, products=products), path)


@main.command("client")
@click.option("--rounds", type=click.IntRange(min=1), default=client.ROUNDS, show_default=True)
@json_option
def client_command(rounds: int, path: Path | None) -> None:
    """Compare reads through Vitrina's own DynamoDB client and through aiobotocore's."""
    _measure(partial(client.measure, rounds=rounds), path)


@main.command("footprint")
@json_option
def footprint_command(path: Path | None) -> None:
    """Measure an installation without extras: its size, its start, and the memory of an idle API."""
    _measure(footprint.measure, path)


@main.command("outage")
@json_option
def outage_command(path: Path | None) -> None:
    """Read products while the table hangs for 12 seconds, and while it is down."""
    _measure(outage.measure, path)


@main.command("overload")
@click.option(
    "--seconds", type=click.IntRange(min=2), default=overload.SECONDS, show_default=True, help="Of each load."
)
@json_option
def overload_command(seconds: int, path: Path | None) -> None:
    """Read and write over up to three times as many connections as saturate the service."""
    _measure(partial(overload.measure, seconds=seconds), path)


@main.command("lambda")
@json_option
def lambda_command(path: Path | None) -> None:
    """Start the API as a Lambda function, and read a product through it."""
    _measure(functions.measure, path)


def _measure(measure: Measure, path: Path | None) -> None:
    try:
        report = asyncio.run(_measured(measure))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except (EngineError, MissingToolError) as error:
        raise click.ClickException(str(error)) from error
    report.show(Console(width=None if sys.stdout.isatty() else PIPED_WIDTH))
    if path is not None:
        report.write(path)
    sys.exit(1 if report.missed else 0)


async def _measured(measure: Measure) -> Report:
    """Measure; SIGTERM cancels it as Ctrl-C does, so that every server ends."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="vitrina-bench-") as folder, progress() as display:
        return await measure(Path(folder), display)


if __name__ == "__main__":
    main(prog_name="scripts/bench")
