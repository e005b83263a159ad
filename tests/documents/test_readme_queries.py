"""README.md's queries run on what the exports write, and the runbook's tables of Athena have their columns."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa
import pytest

from tests.documents.pages import README, RUNBOOK, text
from tests.services.exports.catalogue import Catalogue, period, products
from tests.services.exports.history import History
from tests.store.samples import START, at
from vitrina.clock import epoch_ms
from vitrina.domain.reports import Format
from vitrina.domain.views import View
from vitrina.files import Folder
from vitrina.services.exports import formats, prices
from vitrina.services.exports.dataset import VIEWS, Dataset
from vitrina.services.exports.prices import PRICES, PriceExporter
from vitrina.services.exports.stream import Exporter
from vitrina.store.listings import ProductListings

BLOCKS = re.findall(r"^```sql\n(.*?)^```$", text(README) + text(RUNBOOK), re.MULTILINE | re.DOTALL)
TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("ms", "UTC"),
    "decimal(16, 4)": pa.decimal128(16, 4),
}
LAMP, RUG = products(2)


@pytest.fixture
async def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both exports: a lamp is viewed once at its first price and twice at its second one, then by a bot."""
    monkeypatch.chdir(tmp_path)
    views = [
        View(LAMP.id, epoch_ms(at(minutes)), bytes([person] * 12), None, bot=bot)
        for minutes, person, bot in [(5, 1, False), (10, 1, False), (20, 2, False), (30, 3, True)]
    ]
    history = History(views, skus={LAMP.id: LAMP.sku})
    with Folder.open(Path("exports"), VIEWS) as place, Exporter(history) as exporter:
        async with Dataset.open(place, Format.PARQUET) as dataset:
            await dataset.export(exporter, [START.date()], at=datetime(2027, 1, 1, tzinfo=UTC), generations={})
    catalogue = Catalogue([LAMP, RUG])
    catalogue.prices[LAMP.id] = [period("19.99", "USD", 0, 10), period("18.50", "USD", 10, None)]
    with Folder.open(Path("exports"), PRICES) as place:
        await PriceExporter(cast(ProductListings, catalogue)).export(place, Format.PARQUET, None, at=START)


@pytest.mark.usefixtures("exports")
def test_the_queries_run_in_duckdb() -> None:
    """The first counts views and visitors, the second joins views with the prices that were in force."""
    counted, joined, _ = BLOCKS
    database = duckdb.connect()
    assert database.execute(counted).fetchall() == [(START.date(), LAMP.sku, 3, 2)]
    rows = database.execute(joined).fetchall()
    assert [(sku, str(price), views) for sku, price, _, _, views in rows] == [
        (LAMP.sku, "19.9900", 1), (LAMP.sku, "18.5000", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "schema"), [("views", formats.SCHEMA), ("prices", prices.SCHEMA)], ids=["views", "prices"]
)
def test_a_table_of_athena_has_the_columns_of_its_dataset(name: str, schema: pa.Schema) -> None:
    """The day comes from the path."""
    table = re.search(rf"CREATE EXTERNAL TABLE {name} \(\n(.*?)\n\)\n", BLOCKS[2], re.DOTALL)
    assert table is not None
    found = dict(re.findall(r"(\w+) (decimal\(16, 4\)|\w+)", table[1]))
    expected = {field.name: plain(field.type) for field in schema if field.name != "day"}
    assert {column: TYPES[kind] for column, kind in found.items()} == expected
    assert f"LOCATION 's3://bucket/exports/{name}/'" in BLOCKS[2]


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type as a file has it: text, whether it is in a dictionary or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
