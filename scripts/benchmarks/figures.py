"""Figures, their targets, and the tables that show them."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from scripts.benchmarks import machine
from scripts.benchmarks.load import Sample

VERDICTS = {True: "[green]pass[/]", False: "[bold red]MISS[/]", None: ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server under one load: the medians of its rounds."""

    load: str
    server: str
    rate: float
    p50: float
    p99: float
    errors: int

    @classmethod
    def of(cls, load: str, server: str, samples: Sequence[Sample]) -> "Row":
        """Return the medians of `samples`, and the sum of their errors."""
        return cls(
            load=load,
            server=server,
            rate=statistics.median(sample.rate for sample in samples),
            p50=statistics.median(sample.p50 for sample in samples),
            p99=statistics.median(sample.p99 for sample in samples),
            errors=sum(sample.errors for sample in samples),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured number and its target."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The target as text."""
        if self.at_least is not None and self.at_least == self.at_most:
            return f"= {_number(self.at_least)}"
        if self.at_least is not None:
            return f"≥ {_number(self.at_least)}"
        return f"≤ {_number(self.at_most)}" if self.at_most is not None else ""

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.at_least is None and self.at_most is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


@dataclass(slots=True)
class Report:
    """All results of one subcommand."""

    command: str
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def add_load(self, load: str, samples: Mapping[str, Sequence[Sample]]) -> None:
        """Add the samples of each server under a load."""
        self.rows += [Row.of(load, server, rounds) for server, rounds in samples.items()]

    def add(self, *figures: Figure) -> None:
        """Add figures."""
        self.figures += figures

    def errors(self, *servers: str) -> int:
        """Count the failed requests of these servers under all loads."""
        return sum(row.errors for row in self.rows if row.server in servers)

    @property
    def missed(self) -> bool:
        """Whether any target is missed."""
        return any(figure.passed is False for figure in self.figures)

    def show(self, console: Console) -> None:
        """Print the loads, then the figures with their targets."""
        facts = machine.facts()
        console.print(f"{facts['processor']}, {facts['cores']} cores, {facts['python']}, {facts['engine']}")
        loads = Table("load", "server", *_right("responses/s", "p50 ms", "p99 ms", "errors"))
        for row in self.rows:
            loads.add_row(row.load, row.server, f"{row.rate:,.0f}", f"{row.p50:.2f}", f"{row.p99:.2f}", str(row.errors))
        if self.rows:
            console.print(loads)
        figures = Table("figure", *_right("measured", "target"), "", title=self.command)
        for figure in self.figures:
            figures.add_row(figure.name, _number(figure.value), figure.target, VERDICTS[figure.passed])
        console.print(figures)

    def write(self, path: Path) -> None:
        """Write all results and the machine's facts as JSON."""
        figures = [{**asdict(figure), "passed": figure.passed} for figure in self.figures]
        rows = [asdict(row) for row in self.rows]
        found = {"command": self.command, "machine": machine.facts(), "loads": rows, "figures": figures}
        path.write_text(json.dumps(found, indent=2) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits or more: whole numbers


def _right(*headings: str) -> Iterable[Column]:
    return (Column(heading, justify="right") for heading in headings)
