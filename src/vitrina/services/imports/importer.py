"""Executes an import plan: compares every row with the catalogue, then writes one transaction per product."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vitrina.backoff import Backoff
from vitrina.domain.product_rows import complete
from vitrina.domain.products import Product, field_changes
from vitrina.domain.text import fold
from vitrina.errors import Conflict, NotFound, SkuTaken, TableUnavailable, ValidationFailed, VersionMismatch
from vitrina.ids import digest_in
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
_SPREADSHEET_ERRORS: Final = frozenset(
    "#DIV/0! #N/A #NAME? #NULL! #NUM! #REF! #VALUE! #SPILL! #CALC! #ERROR! Err:502 Err:504 Err:508 Err:522"
    " #NV #BEZUG! #WERT! #ZAHL! #N/D #¡DIV/0! #¡NUM! #¡REF! #¡VALOR! #¿NOMBRE? #VALEUR! #NOMBRE! #NOM?"
    " #RIF! #VALORE! #NOME?".split()
)
"""What spreadsheets save for a formula that fails, in English, German, Spanish, French and Italian."""
Advance = Callable[[int], object]
_Written = tuple[PlannedRow, Outcome, str]
"""A row as it was written, its outcome, and why it failed."""


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
        """Decide the outcome of every waiting row: two or three reads for 100 SKUs. Raises TableUnavailable."""
        batches = self._plan.batches(Outcome.WAITING, size=MOST_KEYS)

        async def work() -> None:
            for batch in batches:
                products = await self._holders(batch)
                others = await self._others(batch, products)
                for row in batch:
                    self._compare(row, products, others)
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
                self._plan.decide(*await self._write_through_outages(row, by, f"{run}/{row.line}"))
                advance(1)

        await gather((work() for _ in range(at_once)), at_once=at_once)

    async def _holders(self, rows: Sequence[PlannedRow]) -> dict[str, Product]:
        """Return the live products that hold the SKUs of rows, by SKU."""
        skus = list(dict.fromkeys(sku for row in rows for sku in _possible_skus(row)))
        return await self._store.live_by_sku(skus, consistent=True)

    async def _others(self, rows: Sequence[PlannedRow], products: Mapping[str, Product]) -> dict[str, Product]:
        """Return the live products whose ids rows have beside the SKU of another product or of none, by id."""
        ids = {row.product_id for row in rows if row.product_id and not _has_id(row, products.get(row.sku))}
        found = await self._store.get_many(sorted(ids), consistent=True)
        return {product_id: product for product_id, product in found.items() if product.deleted_at is None}

    def _compare(self, row: PlannedRow, products: Mapping[str, Product], others: Mapping[str, Product]) -> None:
        try:
            row, before = _matched(row, products)
            _check_id(row, before, others)
            after = complete(row.fields, before and before.drafted())
        except ValueError as error:
            self._plan.decide(row, Outcome.REFUSED, str(error))
            return
        changes = field_changes(before, after)
        for name, change in changes.items():
            if change.after in _SPREADSHEET_ERRORS:
                reason = f"{name} is {change.after!r}, an error of a spreadsheet: correct its formula"
                self._plan.decide(row, Outcome.REFUSED, reason)
                return
        outcome = Outcome.CREATE if before is None else Outcome.UPDATE if changes else Outcome.UNCHANGED
        self._plan.decide(row, outcome, changes=changes)

    async def _write_through_outages(self, row: PlannedRow, by: str, request_id: str) -> _Written:
        for failures in range(1, _OUTAGE_TRIES):
            try:
                return await self._write(row, by, request_id)
            except TableUnavailable:
                await self._backoff.sleep(failures)
        return await self._write(row, by, request_id)

    async def _write(self, row: PlannedRow, by: str, request_id: str) -> _Written:
        """Write a row, and match it again whenever the catalogue has changed since the comparison."""
        for _ in range(_COMPARISONS):
            try:
                return row, await self._write_once(row, by, request_id), ""
            except (SkuTaken, NotFound, VersionMismatch, Conflict):
                products = await self._holders([row])
            except ValidationFailed as error:
                return row, Outcome.FAILED, f"price {error.errors[0].detail}"
            try:
                row, before = _matched(row, products)
                complete(row.fields, before and before.drafted())
            except ValueError as error:
                return row, Outcome.FAILED, str(error)
        return row, Outcome.FAILED, "its product keeps being changed by others"

    async def _write_once(self, row: PlannedRow, by: str, request_id: str) -> Outcome:
        if row.existing is None:
            digest = row.origin.digest if row.origin else None
            await self._products.create(complete(row.fields, None), by=by, request_id=request_id, digest=digest)
            return Outcome.CREATED
        expected = frozenset({str(row.existing.version)})
        after = await self._products.change(
            row.existing.product_id, row.fields, by=by, request_id=request_id, expected=expected
        )
        return Outcome.UPDATED if after.version > row.existing.version else Outcome.UNCHANGED


def _possible_skus(row: PlannedRow) -> tuple[str, ...]:
    return (row.origin.distinct_sku, row.origin.readable_sku) if row.is_derived and row.origin else (row.sku,)


def _matched(row: PlannedRow, products: Mapping[str, Product]) -> tuple[PlannedRow, Product | None]:
    """Return the row with the SKU that it gets, and the product that it updates, None if it creates one.

    A derived SKU is that of a product of the same origin, or else one that is free. Raises ValueError if none is.
    """
    skus = _possible_skus(row)
    same = [sku for sku in skus if sku in products and _is_from(products[sku], sku, row)]
    free = [sku for sku in dict.fromkeys((row.sku, skus[0])) if sku not in products]
    if not same and not free:
        raise ValueError(f"the SKU that is derived for it, {skus[0]}, is that of another product")
    sku = (same or free)[0]
    product = products.get(sku)
    existing = ExistingProduct(product.id, product.version) if product else None
    return replace(row, fields={**row.fields, "sku": sku}, existing=existing), product


def _check_id(row: PlannedRow, product: Product | None, others: Mapping[str, Product]) -> None:
    """Raise ValueError if the id of a row is that of another product than its SKU.

    A spreadsheet that has opened an export writes `123` for the SKU `000123`, and products are renamed after an export.
    """
    other = others.get(row.product_id or "")
    if other is not None and not _has_id(row, product):
        raise ValueError(f"its id is that of the product {other.sku!r}: correct the SKU, or empty the id")


def _has_id(row: PlannedRow, product: Product | None) -> bool:
    return product is not None and product.id == row.product_id


def _is_from(product: Product, sku: str, row: PlannedRow) -> bool:
    """Return whether a product may be updated by a row: a derived SKU requires the same origin.

    A product without a known origin, made by hand or by release 0.1.0, must have the row's name, or the distinct SKU.
    Release 0.1.0 gave the readable SKU to `+1.00` and `-1.00`.
    """
    if not row.is_derived or row.origin is None:
        return True
    digest = digest_in(product.id)
    if digest is not None:
        return digest == row.origin.digest
    return sku == row.origin.distinct_sku or fold(product.name) == fold(row.fields.get("name", ""))
