"""Batches of operations on products: each a transaction of its own, by the rules of the single write.

    results, replayed = await batches.run(operations, by=…, request_id=…, claim=…, respond=…)

Operations that name one product, by its id or a SKU, are done in their order, all others up to `AT_ONCE` at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from vitrina.domain.products import Product, is_sku
from vitrina.domain.versions import Precondition
from vitrina.errors import NotFound, SkuTaken, Unavailable, ValidationFailed, VersionMismatch, VitrinaError
from vitrina.ids import is_id
from vitrina.services.concurrency import gather
from vitrina.services.idempotency import Idempotency
from vitrina.services.products.by_sku import Known, ProductsBySku
from vitrina.services.products.operations import (
    Delete,
    Done,
    Invalid,
    Name,
    Operation,
    Respond,
    Upsert,
    Valid,
    in_order,
)
from vitrina.services.products.products import Products
from vitrina.store.idempotency import Claim, StoredResponse
from vitrina.store.operations import AlsoWrite, nothing_else
from vitrina.store.products import ProductStore

log = structlog.get_logger(__name__)

AT_ONCE: Final = 16
"""Operations that a process does at a time, of all its batches."""
_RESERVE: Final = 0.15
"""Share of a request's time that is left for ending what is not done, and for sending the response."""
_REFUSALS: Final = (NotFound, SkuTaken, ValidationFailed, VersionMismatch)
"""Refusals that the stored data decides."""


class Batches:
    """Runs batches of operations; `seconds` is the time of a request."""

    def __init__(
        self,
        products: Products,
        by_sku: ProductsBySku,
        store: ProductStore,
        idempotency: Idempotency,
        *,
        seconds: float,
    ) -> None:
        self._products = products
        self._by_sku = by_sku
        self._store = store
        self._idempotency = idempotency
        self._reserve = seconds * _RESERVE
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(
        self,
        operations: Sequence[Operation],
        *,
        by: str,
        request_id: str,
        claim: Claim | None,
        respond: Respond,
        due: float,
    ) -> tuple[list[StoredResponse], bool]:
        """Run up to 100 operations; returns the result of each, and whether all of them are replays.

        With a claim, each result is stored, in the transaction of what the operation writes if it writes. So a batch
        that was cut short can be sent again: what was done or refused is replayed, and the rest is done. An operation
        that is Unavailable or a Conflict, fails unexpectedly, or is not done before `due`, the end of the request by
        the loop's clock, is not stored, and no later one on its product is done. Raises IdempotencyKeyReused, and
        TableUnavailable before anything is done.
        """
        todo = {n: operation for n, operation in enumerate(operations) if not isinstance(operation, Invalid)}
        results = [respond(n, each.error) if isinstance(each, Invalid) else None for n, each in enumerate(operations)]
        claims: Sequence[Claim | None] = [None] * len(operations)
        replays: set[int] = set()

        async def settle(numbers: Sequence[int]) -> None:
            """Do operations one after the other; only the first knows its product from the common read."""
            before: Known = known[todo[numbers[0]].name]
            for number in numbers:
                perform = partial(self._perform, todo[number], before, by, request_id)
                before = None
                try:
                    async with self._free:
                        results[number], replayed = await self._settle(
                            claims[number], perform, partial(respond, number)
                        )
                except Exception as error:
                    if not isinstance(error, VitrinaError):
                        log.exception("batch_operation_failed", number=number)
                    results[number] = respond(number, error)
                    return
                if replayed:
                    replays.add(number)

        with suppress(TimeoutError):
            async with asyncio.timeout_at(due - self._reserve):
                if claim is not None:
                    claims, stored = await self._idempotency.begin(claim, parts=len(operations))
                    for number in [n for n in todo if stored[n] is not None]:
                        results[number] = stored[number]
                        replays.add(number)
                        del todo[number]
                known, groups = await self._look_up(todo)
                await gather(map(settle, groups), at_once=AT_ONCE)
        done = [result or respond(number, Unavailable()) for number, result in enumerate(results)]
        return done, bool(replays) and replays >= todo.keys()

    async def _look_up(self, operations: Mapping[int, Valid]) -> tuple[dict[Name, Known], list[list[int]]]:
        """Return the live product of each name, and the operations in groups that keep their order: 2 or 3 calls."""
        names = {number: operation.names for number, operation in operations.items()}
        skus = {name.text for each in names.values() for name in each if name.kind == "sku" and is_sku(name.text)}
        holders = await self._store.holders(sorted(skus), consistent=True)
        written = {operation.name for operation in operations.values()}
        ids = {name: holders.get(name.text, "") if name.kind == "sku" else name.text for name in written}
        products = await self._store.get_many([each for each in set(ids.values()) if is_id(each)], consistent=True)
        known: dict[Name, Known] = {}
        for name, product_id in ids.items():
            product = products.get(product_id)
            is_live = product is not None and product.holds(name.text if name.kind == "sku" else product.sku)
            known[name] = (product if is_live else None,)
        # A SKU and the id of its holder are names of one product.
        return known, in_order({
            number: each | {Name("id", holders[name.text]) for name in each if name.text in holders}
            for number, each in names.items()
        })  # fmt: skip

    async def _settle(
        self,
        claim: Claim | None,
        perform: Callable[[AlsoWrite[Done]], Awaitable[Done]],
        respond: Callable[[Done | Exception], StoredResponse],
    ) -> tuple[StoredResponse, bool]:
        """Perform an operation; returns its result, and whether it is a replay.

        Raises Conflict, IdempotencyInProgress, Unavailable.
        """
        if claim is not None:
            return await self._idempotency.settle_new(
                claim, perform, respond, lambda error: respond(error) if isinstance(error, _REFUSALS) else None
            )
        try:
            return respond(await perform(nothing_else)), False
        except _REFUSALS as error:
            return respond(error), False

    async def _perform(self, operation: Valid, known: Known, by: str, request_id: str, also: AlsoWrite[Done]) -> Done:
        """Do an operation, with the steps of `also`; `known` is its product if that was just read."""
        expected = operation.expected
        if isinstance(operation, Upsert):
            product, created = await self._by_sku.put(
                operation.draft,
                condition=Precondition(expected),
                by=by,
                request_id=request_id,
                known=known,
                also=lambda made: also(Done(*made)),
            )
            return Done(product, created)
        if known == (None,):
            raise NotFound
        kind, name = operation.name
        service: Products | ProductsBySku = self._products if kind == "id" else self._by_sku
        before: Product | None = known[0] if known else None
        if isinstance(operation, Delete):
            await service.delete(
                name, by=by, request_id=request_id, expected=expected, known=before, also=lambda _: also(Done())
            )
            return Done()
        product = await service.change(
            name,
            operation.fields,
            by=by,
            request_id=request_id,
            expected=expected,
            known=before,
            also=lambda product: also(Done(product)),
        )
        return Done(product)
