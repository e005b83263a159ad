"""Rounds: every server gets each load in turn, repeatedly, since the speed of a shared machine drifts."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.progress import Progress

from scripts.benchmarks.load import Load, Sample
from scripts.benchmarks.peers import Server

WARM_UP_SECONDS = 5.0
"""Seconds for each server: the engine's JVM compiles the code of an operation during its first thousands of calls."""
Samples = dict[str, list[Sample]]
"""The rounds of a load, by the name of the server."""


async def interleave(
    name: str,
    load: Load,
    servers: Sequence[Server],
    *,
    rounds: int,
    progress: Progress,
    own: Mapping[str, Sequence[str]] | None = None,
    warm_up: float = WARM_UP_SECONDS,
) -> Samples:
    """Warm every server up for `warm_up` seconds, then measure them in turn for `rounds` rounds.

    `own` has the paths of servers, by their names, that are not those of `load`.
    """
    task = progress.add_task(name, total=len(servers) * (rounds + 1))
    samples: Samples = {server.name: [] for server in servers}
    loads = {server.name: replace(load, paths=(own or {}).get(server.name, load.paths)) for server in servers}
    for server in servers:
        await server.drive(replace(loads[server.name], seconds=warm_up))
        progress.advance(task)
    for _ in range(rounds):
        for server in servers:
            samples[server.name].append(await server.drive(loads[server.name]))
            progress.advance(task)
    return samples


def ratio_of_rates(samples: Samples, over: str, under: str) -> float:
    """Return the rate of `over` divided by that of `under`: the median of the rounds' ratios."""
    return statistics.median(a.rate / b.rate for a, b in zip(samples[over], samples[under], strict=True))


def ratio_of_p50(samples: Samples, over: str, under: str) -> float:
    """Return the p50 of `over` divided by that of `under`: the median of the rounds' ratios."""
    return statistics.median(a.p50 / b.p50 for a, b in zip(samples[over], samples[under], strict=True))


def ratio_of_cpu(samples: Samples, over: str, under: str) -> float:
    """Return the CPU time of a request of `over` divided by that of `under`: the median of the rounds' ratios."""
    return statistics.median(
        (a.cpu / a.requests) / (b.cpu / b.requests) for a, b in zip(samples[over], samples[under], strict=True)
    )
