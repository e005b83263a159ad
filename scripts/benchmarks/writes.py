"""Products created and patched, and what a signed-in request asks of the table."""

from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks import catalogue
from benchmarks.figures import Figure, Report
from benchmarks.load import Load
from benchmarks.rounds import interleave
from benchmarks.service import Answered, Service
from benchmarks.stand import stand

PATHS: Final = [f"/v1/products/{product_id}" for product_id in catalogue.ids()]
NEW_PRODUCT: Final = (
    '{"sku": "NEW-{run}-{n}", "name": "New kettle {n}", "brand": "Aurora", "price": "19.99",'
    ' "description": "A kettle that is there to be measured."}'
)
NEW_PRICE: Final = '{"price": "{n}.99"}'
CONNECTIONS: Final = (1, 16)
ROUNDS: Final = 3
SECONDS: Final = 3
SIGNED_IN_READS: Final = 50


async def measure(folder: Path, progress: Progress) -> Report:
    """Create and patch, alone and by sixteen at a time."""
    report = Report("writes")
    async with stand(folder, progress) as servers:
        token = await servers.vitrina.sign_in()
        start = servers.vitrina.log_size()
        loads = {
            f"{verb}, {connections} connection{'s' if connections > 1 else ''}": Load(
                paths=paths, connections=connections, seconds=SECONDS, method=method, token=token, body=body
            )
            for verb, method, paths, body in (
                ("create", "POST", ["/v1/products"], NEW_PRODUCT),
                ("patch a price", "PATCH", PATHS, NEW_PRICE),
            )
            for connections in CONNECTIONS
        }
        for name, load in loads.items():
            report.add_load(name, await interleave(name, load, list(servers), rounds=ROUNDS, progress=progress))
        written = await servers.vitrina.answered_since(start)
        read = await _signed_in_reads(servers.vitrina, token)
    report.add(
        Figure(name="calls of a signed-in GET, at most", value=_most_calls(read, "GET"), at_most=2),
        Figure(name="calls of a PATCH, at most", value=_most_calls(written, "PATCH"), at_most=3),
        Figure(name="calls of a POST, at most", value=_most_calls(written, "POST")),
        Figure(name="vitrina: failed requests", value=report.errors("vitrina"), at_most=0),
    )
    return report


async def _signed_in_reads(vitrina: Service, token: str) -> list[Answered]:
    start = vitrina.log_size()
    for path in PATHS[:SIGNED_IN_READS]:
        await vitrina.get(path, token=token)
    return await vitrina.answered_since(start)


def _most_calls(answered: list[Answered], method: str) -> int:
    return max(entry.calls for entry in answered if entry.method == method)
