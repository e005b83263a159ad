"""Executes an import plan: compares every row with the catalogue, then writes one transaction per product."""

from collections.abc import Callable
from typing import Final

from vitrina.backoff import Backoff
from vitrina.domain.product_rows import complete
from vitrina.domain.products import Product
from vitrina.domain.text import fold
from vitrina.errors import Conflict, NotFound, SkuTaken, TableUnavailable, ValidationFailed, VersionMismatch
from vitrina.services.concurrency import gather
from vitrina.services.imports.plan import ExistingProduct, ImportPlan, PlannedRow
from vitrina.services.imports.rows import Outcome
from vitrina.services.products.products import Products
from vitrina.store.products import ProductStore
from vitrina.store.table import MOST_KEYS

AT_ONCE: Final = 16
"""Products that are written at a time."""
_BATCHES_AT_ONCE: Final = 4
_COMPARISONS: Final = 8
"""How often a row is compared with a product that others keep changing, before it fails."""
_OUTAGE_TRIES: Final = 5
_OUTAGE_BACKOFF: Final = Backoff(first=0.2, longest=8.0, factor=4, jitter=0.5)
"""Pauses while the table does not answer: 12 seconds in all at most."""
Advance = Callable[[int], object]


class Importer:
    """Compares the rows of a plan with the catalogue, and writes those that differ."""

    def __init__(
        self, products: Products, store: ProductStore, plan: ImportPlan, *, backoff: Backoff = _OUTAGE_BACKOFF
    ) -> None:
        self._products = products
        self._store = store
        self._plan = plan
        self._backoff = backoff

    async def compare(self, advance: Advance = lambda _: None) -> None:
        """Decide the outcome of every waiting row: two reads per 100 rows. Raises TableUnavailable."""
        batches = self._plan.batches(Outcome.WAITING, size=MOST_KEYS)

        async def work() -> None:
            for batch in batches:
                holders = await self._store.holders([row.sku for row in batch], consistent=True)
                products = await self._store.get_many(list(holders.values()), consistent=True)
                for row in batch:
                    self._compare(row, products.get(holders.get(row.sku, "")))
                advance(len(batch))

        await gather((work() for _ in range(_BATCHES_AT_ONCE)), at_once=_BATCHES_AT_ONCE)

    async def apply(self, *, by: str, run: str, at_once: int = AT_ONCE, advance: Advance = lambda _: None) -> None:
        """Create and update products as planned, each under the request id `<run>/<line>`.

        If a product was changed since the comparison, its row is compared again. A row that cannot be written does not
        stop the others. Raises TableUnavailable when the table stays unavailable; a later run continues from there.
        """
        batches = self._plan.batches(Outcome.CREATE, Outcome.UPDATE)
        rows = (row for batch in batches for row in batch)

        async def work() -> None:
            for row in rows:
                outcome, reason = await self._write_through_outages(row, by, f"{run}/{row.line}")
                self._plan.set_outcome(row.line, outcome, reason)
                advance(1)

        await gather((work() for _ in range(at_once)), at_once=at_once)

    def _compare(self, row: PlannedRow, product: Product | None) -> None:
        # The product may have been deleted or renamed between the two reads.
        if product and (product.deleted_at is not None or fold(product.sku) != fold(row.sku)):
            product = None
        existing = ExistingProduct(product.id, product.version) if product else None
        before = product.drafted() if product else None
        try:
            after = complete(row.fields, before)
        except ValueError as error:
            self._plan.set_outcome(row.line, Outcome.REFUSED, str(error))
            return
        outcome = Outcome.CREATE if before is None else Outcome.UNCHANGED if after == before else Outcome.UPDATE
        self._plan.set_outcome(row.line, outcome, existing=existing)

    async def _write_through_outages(self, row: PlannedRow, by: str, request_id: str) -> tuple[Outcome, str]:
        for failures in range(1, _OUTAGE_TRIES):
            try:
                return await self._write(row, by, request_id)
            except TableUnavailable:
                await self._backoff.sleep(failures)
        return await self._write(row, by, request_id)

    async def _write(self, row: PlannedRow, by: str, request_id: str) -> tuple[Outcome, str]:
        """Write a row, and compare it again whenever the catalogue has changed since the comparison."""
        existing = row.existing
        for _ in range(_COMPARISONS):
            try:
                if existing is None:
                    return await self._create(row, by, request_id)
                after = await self._products.change(
                    existing.product_id,
                    row.fields,
                    by=by,
                    request_id=request_id,
                    expected=frozenset({existing.version}),
                )
            except (SkuTaken, NotFound, VersionMismatch, Conflict):
                existing = await self._find(row.sku)
            except ValidationFailed as error:
                return Outcome.FAILED, f"price {error.errors[0].detail}"
            else:
                return (Outcome.UPDATED if after.version > existing.version else Outcome.UNCHANGED), ""
        return Outcome.FAILED, "its product keeps being changed by others"

    async def _create(self, row: PlannedRow, by: str, request_id: str) -> tuple[Outcome, str]:
        try:
            draft = complete(row.fields, None)
        except ValueError as error:
            return Outcome.FAILED, str(error)
        await self._products.create(draft, by=by, request_id=request_id)
        return Outcome.CREATED, ""

    async def _find(self, sku: str) -> ExistingProduct | None:
        try:
            product = await self._products.get_by_sku(sku)
        except NotFound:
            return None
        return ExistingProduct(product.id, product.version)
