"""The rollup of a large day on a table that takes 1,000 units a second (`scripts/bench rollup`)."""

from scripts.benchmarks import virtual_time
from scripts.benchmarks.rollup import LIMIT, ThrottlingTable, write
from vitrina.store import keys

PRODUCTS = 12_000


def test_a_rollup_uses_most_of_a_tables_throughput_and_loses_no_product() -> None:
    """Of what comes after the first second, which the unused bucket of the table serves."""
    table = ThrottlingTable()
    seconds = virtual_time.run(write(table, PRODUCTS))
    assert len(table.items) == PRODUCTS + keys.VIEW_SHARDS
    assert table.units - LIMIT > 0.8 * LIMIT * seconds
