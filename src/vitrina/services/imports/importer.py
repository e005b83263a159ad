"""The import of products: a plan that is there before anything is written, and then one transaction a product."""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Final

from vitrina.domain.product_rows import clean, complete
from vitrina.domain.products import Product
from vitrina.domain.text import fold
from vitrina.errors import Conflict, NotFound, SkuTaken, TableUnavailable, ValidationFailed, VersionMismatch
from vitrina.services.concurrency import gather
from vitrina.services.imports.entries import Outcome, SkippedRow
from vitrina.services.imports.import_file import ImportFile
from vitrina.services.imports.plan import ImportPlan, Known, Planned
from vitrina.services.imports.profiles import ImportOptions, entries
from vitrina.services.products.products import Products
from vitrina.store.idempotency import StoredResponse
from vitrina.store.products import ProductStore
from vitrina.store.table import MOST_KEYS

AT_ONCE: Final = 16
"""Products that are written at a time."""
_BATCHES_AT_ONCE: Final = 4
_TRIES: Final = 8
_PAUSES: Final = (0.2, 1.0, 3.0, 8.0)
"""Seconds, about, after which a write is tried again while the table does not answer."""
_ANSWER: Final = StoredResponse(status=201, headers={}, body=b"")
Advance = Callable[[int], object]


def read(source: ImportFile, reading: ImportOptions, book: ImportPlan, advance: Advance = lambda _: None) -> None:
    """Read a file into the workbook; `advance` hears how many bytes more are read. Raises UnreadableFile."""
    position = 0
    for entry in entries(source, reading, book):
        advance(source.position - position)
        position = source.position
        if isinstance(entry, SkippedRow):
            book.leave_out(entry)
            continue
        texts = dict(entry.texts)
        for name, text in reading.filling.items():
            if not (texts.get(name) or "").strip():
                texts[name] = text
        try:
            book.add(entry.line, clean(texts))
        except ValueError as error:
            book.leave_out(SkippedRow(entry.line, Outcome.REFUSED, str(error), texts.get("sku") or ""))


class Importer:
    """Compares the rows of a workbook with the catalogue, and writes those that differ."""

    def __init__(self, products: Products, store: ProductStore, book: ImportPlan) -> None:
        """Take the service, the store and a workbook that has been read into."""
        self._products = products
        self._store = store
        self._book = book

    async def compare(self, advance: Advance = lambda _: None) -> None:
        """Say of each row what is to become of it: two reads for a hundred. Raises TableUnavailable."""
        batches = self._book.batches(Outcome.WAITING, size=MOST_KEYS)

        async def work() -> None:
            for batch in batches:
                holders = await self._store.holders([row.sku for row in batch], consistent=True)
                products = await self._store.get_many(list(holders.values()), consistent=True)
                for row in batch:
                    self._compare(row, products.get(holders.get(row.sku, "")))
                advance(len(batch))

        await gather((work() for _ in range(_BATCHES_AT_ONCE)), at_once=_BATCHES_AT_ONCE)

    async def apply(self, *, by: str, run: str, at_once: int = AT_ONCE, advance: Advance = lambda _: None) -> None:
        """Write what is to be created and updated, each under the request id `<run>/<line>`.

        Whoever changes a product meanwhile is not overlooked: its row is compared again. What can't be written stops
        no other. Raises TableUnavailable when the table stays away; a later run goes on from there.
        """
        rows = self._rows_to_write()

        async def work() -> None:
            for row in rows:
                outcome, reason = await self._patiently(row, by, f"{run}/{row.line}")
                self._book.settle(row.line, outcome, reason)
                advance(1)

        await gather((work() for _ in range(at_once)), at_once=at_once)

    def _rows_to_write(self) -> Iterator[Planned]:
        for batch in self._book.batches(Outcome.CREATE, Outcome.UPDATE):
            yield from batch

    def _compare(self, row: Planned, product: Product | None) -> None:
        # Between the two reads it may have been deleted or renamed.
        if product and (product.deleted_at is not None or fold(product.sku) != fold(row.sku)):
            product = None
        known = Known(product.id, product.version) if product else None
        before = product.drafted() if product else None
        try:
            after = complete(row.fields, before)
        except ValueError as error:
            self._book.plan(row.line, Outcome.REFUSED, None, str(error))
            return
        outcome = Outcome.CREATE if before is None else Outcome.UNCHANGED if after == before else Outcome.UPDATE
        self._book.plan(row.line, outcome, known)

    async def _patiently(self, row: Planned, by: str, request_id: str) -> tuple[Outcome, str]:
        for pause in _PAUSES:
            try:
                return await self._write(row, by, request_id)
            except TableUnavailable:
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - not a secret
        return await self._write(row, by, request_id)

    async def _write(self, row: Planned, by: str, request_id: str) -> tuple[Outcome, str]:
        """Write a row; when the catalogue is not as it was compared, look again."""
        known = row.known
        for _ in range(_TRIES):
            try:
                if known is None:
                    return await self._create(row, by, request_id)
                after = await self._products.change(
                    known.product_id, row.fields, by=by, request_id=request_id, expected=frozenset({known.version})
                )
            except (SkuTaken, NotFound, VersionMismatch, Conflict):
                known = await self._find(row.sku)
            except ValidationFailed as error:
                return Outcome.FAILED, f"price {error.errors[0].detail}"
            else:
                return (Outcome.UPDATED if after.version > known.version else Outcome.UNCHANGED), ""
        return Outcome.FAILED, "others keep changing its product"

    async def _create(self, row: Planned, by: str, request_id: str) -> tuple[Outcome, str]:
        try:
            draft = complete(row.fields, None)
        except ValueError as error:
            return Outcome.FAILED, str(error)
        await self._products.create(draft, by=by, request_id=request_id, render=lambda _: _ANSWER, keep=lambda _: ())
        return Outcome.CREATED, ""

    async def _find(self, sku: str) -> Known | None:
        try:
            product = await self._products.read_by_sku(sku)
        except NotFound:
            return None
        return Known(product.id, product.version)
