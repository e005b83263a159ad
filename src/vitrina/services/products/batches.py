"""Batches of operations on products: each a transaction of its own, by the rules of the single write.

    results, replayed = await batches.run(operations, by=…, request_id=…, claim=…, respond=…)

Operations that name one product, by its id or a SKU, are done in their order, all others up to `AT_ONCE` at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from vitrina.domain.products import Product
from vitrina.domain.versions import Precondition
from vitrina.errors import (
    Conflict,
    IdempotencyInProgress,
    NotFound,
    SkuTaken,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
    VitrinaError,
)
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

AT_ONCE: Final = 16
"""Operations that a process does at a time, of all its batches."""
_SHARE: Final = 0.8
"""Of a request's time: the rest is for authentication and for sending the response."""
_REFUSALS: Final = (NotFound, SkuTaken, ValidationFailed, VersionMismatch)
"""Refusals that the stored data decides."""


class Batches:
    """Runs batches of operations, each batch within a share of `seconds`, the time of a request."""

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
        self._seconds = seconds * _SHARE
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(
        self, operations: Sequence[Operation], *, by: str, request_id: str, claim: Claim | None, respond: Respond
    ) -> tuple[list[StoredResponse], bool]:
        """Run up to 100 operations; returns the result of each, and whether all of them are replays.

        With a claim, each result is stored, in the transaction of what the operation writes if it writes. So a batch
        that was cut short can be sent again: what was done or refused is replayed, and the rest is done. An operation
        that is Unavailable or a Conflict, or not done in time, is not stored, and no later one on its product is done.
        Raises IdempotencyKeyReused, and TableUnavailable before anything is done.
        """
        results: list[StoredResponse | None] = [None] * len(operations)
        claims: Sequence[Claim | None] = [None] * len(operations)
        if claim is not None:
            claims, results = await self._idempotency.begin(claim, parts=len(operations))
        replays = {number for number, result in enumerate(results) if result is not None}
        todo: dict[int, Valid] = {}
        for number, operation in enumerate(operations):
            if isinstance(operation, Invalid):
                results[number] = respond(number, operation.error)
            elif number not in replays:
                todo[number] = operation

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
                except (Conflict, IdempotencyInProgress, Unavailable) as error:
                    results[number] = respond(number, error)
                    return
                if replayed:
                    replays.add(number)

        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                known, groups = await self._look_up(todo)
                await gather(map(settle, groups), at_once=AT_ONCE)
        done = [result or respond(number, Unavailable()) for number, result in enumerate(results)]
        return done, bool(replays) and replays >= todo.keys()

    async def _look_up(self, operations: Mapping[int, Valid]) -> tuple[dict[Name, Known], list[list[int]]]:
        """Return the live product of each name, and the operations in groups that keep their order: 2 or 3 calls."""
        names = {number: operation.names for number, operation in operations.items()}
        skus = {name.text for each in names.values() for name in each if name.kind == "sku"}
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
        respond: Callable[[Done | VitrinaError], StoredResponse],
    ) -> tuple[StoredResponse, bool]:
        """Perform an operation; returns its result, and whether it is a replay. Raises Conflict, Unavailable."""
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
