"""Anonymous product reads, each with its view stored (R11)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load, Sample
from scripts.benchmarks.rounds import interleave, ratio_of_p50, ratio_of_rates
from scripts.benchmarks.service import LOG_SECONDS, Service
from scripts.benchmarks.stand import stand

PATHS: Final = [f"/v1/products/{product_id}" for product_id in catalogue.ids()]
HOT: Final = PATHS[:1]
LONE_READS: Final = 5
PAST_CACHE_SECONDS: Final = 1.2
"""Longer than `product_cache_ttl`."""


async def measure(folder: Path, progress: Progress) -> Report:
    """Load one hot product and 1,000 products, over 1, 32 and 256 connections."""
    report = Report("reads")
    async with stand(folder, progress) as servers:

        async def trial(
            name: str, paths: Sequence[str], connections: int, *, rounds: int = 9
        ) -> dict[str, list[Sample]]:
            load = Load(paths=paths, connections=connections, seconds=3)
            samples = await interleave(name, load, list(servers), rounds=rounds, progress=progress)
            report.add_load(name, samples)
            return samples

        hot = await trial("1 product, 32 connections", HOT, 32)
        many = await trial("1,000 products, 32 connections", PATHS, 32)
        hot_alone = await trial("1 product, 1 connection", HOT, 1)
        many_alone = await trial("1,000 products, 1 connection", PATHS, 1)
        crowd = await trial("1,000 products, 256 connections", PATHS, 256, rounds=3)
        report.add(
            Figure(name="1 product, 32 connections: rate, times naive's", value=_rate(hot, "naive"), at_least=12),
            Figure(name="1 product, 32 connections: rate, times hello's", value=_rate(hot, "hello"), at_least=0.28),
            Figure(name="1,000 products, 32 connections: rate, times naive's", value=_rate(many, "naive"), at_least=8),
            Figure(
                name="1,000 products, 32 connections: rate, times hello's", value=_rate(many, "hello"), at_least=0.2
            ),
            Figure(name="1 product, 1 connection: p50, times naive's", value=_p50(hot_alone), at_most=1),
            Figure(name="1,000 products, 1 connection: p50, times naive's", value=_p50(many_alone), at_most=1),
            Figure(name="1 product, 32 connections: WCU a view", value=_units(hot), at_most=0.15),
            Figure(name="1,000 products, 32 connections: WCU a view", value=_units(many), at_most=0.3),
            Figure(name="1,000 products, 256 connections: WCU a view", value=_units(crowd), at_most=0.1),
            *await _lone_reads(servers.vitrina),
            Figure(name="views stored per response", value=_views_per_response(hot, many, crowd), at_least=1),
            Figure(name="vitrina: failed requests", value=report.errors("vitrina"), at_most=0),
        )
    return report


def _rate(samples: dict[str, list[Sample]], peer: str) -> float:
    return ratio_of_rates(samples, "vitrina", peer)


def _p50(samples: dict[str, list[Sample]]) -> float:
    return ratio_of_p50(samples, "vitrina", "naive")


def _units(samples: dict[str, list[Sample]]) -> float:
    usages = [sample.usage for sample in samples["vitrina"] if sample.usage]
    return sum(usage.write_units for usage in usages) / sum(usage.views for usage in usages)


def _views_per_response(*loads: dict[str, list[Sample]]) -> float:
    """Divide stored views by responses; above 1 by the requests that wrk abandons at the end of a round."""
    samples = [sample for load in loads for sample in load["vitrina"]]
    return sum(sample.usage.views for sample in samples if sample.usage) / sum(sample.requests for sample in samples)


async def _lone_reads(vitrina: Service) -> list[Figure]:
    """Read a few products one by one, each after its cache entry has expired."""
    await asyncio.sleep(PAST_CACHE_SECONDS)
    before = await vitrina.usage()
    for path in PATHS[:LONE_READS]:
        await vitrina.get(path)
    await asyncio.sleep(LOG_SECONDS)
    used = await vitrina.usage() - before
    calls, units = used.write_calls / LONE_READS, used.read_units / LONE_READS
    return [
        Figure(name="write calls of a lone view", value=calls, at_least=1, at_most=1),
        Figure(name="RCU of a cache miss by id", value=units, at_least=0.5, at_most=0.5),
    ]
