"""Creating and patching products, and the table calls of a signed-in request."""

from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.load import Load
from scripts.benchmarks.rounds import interleave
from scripts.benchmarks.service import Answered, Service
from scripts.benchmarks.stand import stand

PATHS: Final = [f"/v1/products/{product_id}" for product_id in catalogue.ids()]
NEW_PRODUCT: Final = (
    '{"sku": "NEW-{run}-{n}", "name": "New kettle {n}", "brand": "Aurora", "price": "19.99",'
    ' "description": "A kettle that is there to be measured."}'
)
NEW_PRICE: Final = '{"price": "{n}.99"}'
WRITES: Final = (
    ("create", "POST", ["/v1/products"], NEW_PRODUCT),
    ("patch a price", "PATCH", PATHS, NEW_PRICE),
)
CONNECTIONS: Final = (1, 16)
MOST_CALLS: Final = {"GET": 2, "PATCH": 3}
"""Calls to the table in sequence: their number, which counts parallel ones too, is never less."""
ROUNDS: Final = 3
SECONDS: Final = 3
SIGNED_IN_READS: Final = 50


async def measure(folder: Path, progress: Progress) -> Report:
    """Create and patch products over 1 and 16 connections."""
    report = Report("writes")
    async with stand(folder, progress) as servers:
        vitrina = servers.vitrina
        token = await vitrina.sign_in()
        for verb, method, paths, body in WRITES:
            for connections in CONNECTIONS:
                load = Load(
                    paths=paths, connections=connections, seconds=SECONDS, method=method, token=token, body=body
                )
                name = f"{verb}, {connections} connection{'s' if connections > 1 else ''}"
                start = vitrina.log_size()
                report.add_load(name, await interleave(name, load, list(servers), rounds=ROUNDS, progress=progress))
                most = _most_calls(await vitrina.answered_since(start), method)
                # Only a lone writer never meets another, which would have it read and write again.
                target = MOST_CALLS.get(method) if connections == 1 else None
                report.add(Figure(name=f"{name}: calls, at most", value=most, at_most=target))
        reads = await _signed_in_reads(vitrina, token)
    report.add(
        Figure(name="signed-in read: calls, at most", value=_most_calls(reads, "GET"), at_most=MOST_CALLS["GET"]),
        Figure(name="vitrina: failed requests", value=report.errors("vitrina"), at_most=0),
    )
    return report


async def _signed_in_reads(vitrina: Service, token: str) -> list[Answered]:
    start = vitrina.log_size()
    for path in PATHS[:SIGNED_IN_READS]:
        await vitrina.get(path, token=token)
    return await vitrina.answered_since(start)


def _most_calls(answered: list[Answered], method: str) -> int:
    of_products = (entry for entry in answered if entry.route.startswith("/v1/products"))
    return max(entry.calls for entry in of_products if entry.method == method)
