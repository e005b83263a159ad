"""Exports of the history of views (R13), beside a bare loop that reads the same segments and discards them."""

import re
import shutil
import statistics
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.history import bare_loop, fill, run_vitrina
from scripts.benchmarks.service import create_table, settings_for
from scripts.devstack.engines import dynamodb_local
from vitrina.store import keys

EVENTS: Final = 1_000_000
ROUNDS: Final = 11
GROWTH: Final = 4
FORMATS: Final = ("parquet", "csv", "jsonl")
_EXPORTED: Final = re.compile(r"([\d,]+) events of 1 days, ([\d,]+) a second")


async def measure(folder: Path, progress: Progress, *, events: int = EVENTS) -> Report:
    """Fill a day, and another with four times the views; export both, each time after a bare loop."""
    report = Report("export")
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "vitrina").model_copy(update={"read_timeout": 10.0})
        await create_table(settings)
        await catalogue.load(settings, catalogue.BASE, advance=lambda _: None)
        large = datetime.now(UTC).date() - timedelta(days=2)
        day = large - timedelta(days=1)
        await fill(settings, {day: events, large: GROWTH * events}, progress)

        async def export(form: str, of: object, number: int) -> tuple[float, float]:
            """Return the events per second and the peak memory in MB."""
            days = ("--from", f"{of}", "--to", f"{of}", "--format", form)
            out = folder / f"{form}-{of}-{number}"
            output, peak = await run_vitrina(settings, "views", "export", *days, "--out", str(out))
            shutil.rmtree(out)
            match = _EXPORTED.search(output)
            if match is None or int(match[1].replace(",", "")) != (events if of == day else GROWTH * events):
                raise RuntimeError(f"not what was to be exported: {output}")
            return float(match[2].replace(",", "")), peak

        task = progress.add_task("exports", total=ROUNDS * len(FORMATS) + 1)
        await bare_loop(settings, day, at_once=keys.VIEW_SHARDS)
        bare: dict[str, list[float]] = {form: [] for form in FORMATS}
        found: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMATS}
        for form in FORMATS:
            for number in range(ROUNDS):
                bare[form].append(await bare_loop(settings, day, at_once=keys.VIEW_SHARDS))
                found[form].append(await export(form, day, number))
                progress.advance(task)
        large_peak = (await export("parquet", large, 0))[1]
        progress.advance(task)
    report.add(Figure(name="bare loop: events a second", value=statistics.median(chain.from_iterable(bare.values()))))
    for form, rounds in found.items():
        ratios = [rate / its for (rate, _), its in zip(rounds, bare[form], strict=True)]
        report.add(
            Figure(name=f"{form}: events a second", value=statistics.median(rate for rate, _ in rounds)),
            Figure(name=f"{form}, times the bare loop's rate", value=statistics.median(ratios), at_least=0.7),
            Figure(name=f"{form}: peak memory, MB", value=max(peak for _, peak in rounds), at_most=250),
        )
    peak = statistics.median(peak for _, peak in found["parquet"])
    report.add(
        Figure(name=f"parquet, {GROWTH} times the events: peak memory, MB", value=large_peak, at_most=250),
        Figure(name=f"parquet, {GROWTH} times the events: times the memory", value=large_peak / peak, at_most=1.1),
    )
    return report
