"""A catalogue in a table, into which tests import."""

import io
from dataclasses import dataclass
from typing import Any

from vitrina.backoff import Backoff
from vitrina.domain.products import Product
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.importer import Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome
from vitrina.services.products.products import Products
from vitrina.store.products import ProductStore

NO_PAUSE = Backoff(first=0, longest=0)
HEADER = "sku,name,brand,price,currency\n"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A table, and the service and store that import into it."""

    store: ProductStore
    products: Products

    async def planned(self, plan: ImportPlan, rows: str, *, header: str = HEADER) -> Importer:
        """Parse rows and compare them."""
        parse(ImportFile(io.BytesIO((header + rows).encode()), FileFormat.CSV), ImportOptions(), plan)
        importer = Importer(self.products, self.store, plan, backoff=NO_PAUSE)
        await importer.compare()
        return importer

    async def imported(self, rows: str, *, run: str = "import-test") -> dict[Outcome, int]:
        """Import rows and return the number of each outcome that occurred."""
        with ImportPlan() as plan:
            importer = await self.planned(plan, rows)
            await importer.apply(by="ana", run=run)
            return {outcome: count for outcome, count in plan.counts().items() if count}

    async def change(self, held_sku: str, /, **fields: Any) -> Product:  # noqa: ANN401 - a field takes what its dataclass says
        """Change a product as another admin."""
        held = await self.products.get_by_sku(held_sku)
        return await self.products.change(held.id, fields, by="luis", request_id="r", expected=None)

    async def delete(self, sku: str) -> None:
        """Delete a product as another admin."""
        held = await self.products.get_by_sku(sku)
        await self.products.delete(held.id, by="luis", request_id="r", expected=None)
