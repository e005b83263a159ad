"""Transactions that meet: conflicts, and tokens in use."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from tests.aws_simulator.items import ItemKey, reads, writes
from tests.aws_simulator.proxy import Forward, Json, Request, Response, cancelled, refusal

_ONGOING: Final = "Transaction is ongoing for the item"


class Concurrency:
    """Refuses a call whose items or whose token are part of another call that is under way.

    A call is under way from here until its response, so the latency behind this behaviour widens the window. A token
    of a finished call is the engine's matter: DynamoDB Local knows it.
    """

    def __init__(self) -> None:
        self._in_transactions: Counter[ItemKey] = Counter()
        self._in_writes: Counter[ItemKey] = Counter()
        self._tokens: dict[str, Json] = {}

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Refuse a conflict, or forward."""
        keys = [write.key for write in writes(request)]
        match request.operation:
            case "TransactWriteItems":
                return await self._transaction(keys, request, forward)
            case "TransactGetItems":
                codes = [self._code(key, self._in_transactions, self._in_writes) for key in reads(request)]
                return _conflict(codes) or await forward(request)
            case "PutItem" | "UpdateItem" | "DeleteItem" if self._in_transactions[keys[0]]:
                return refusal("TransactionConflictException", _ONGOING)
        with _held(self._in_writes, keys):
            return await forward(request)

    async def _transaction(self, keys: list[ItemKey], request: Request, forward: Forward) -> Response:
        token = request.body.get("ClientRequestToken")
        if token is None:
            return await self._exclusively(keys, request, forward)
        if self._tokens.get(token, request.body) != request.body:
            return refusal("IdempotentParameterMismatchException", "Different parameters for the same token")
        if token in self._tokens:
            return refusal("TransactionInProgressException", "The transaction is already in progress")
        self._tokens[token] = request.body
        try:
            return await self._exclusively(keys, request, forward)
        finally:
            del self._tokens[token]

    async def _exclusively(self, keys: list[ItemKey], request: Request, forward: Forward) -> Response:
        if conflict := _conflict([self._code(key, self._in_transactions) for key in keys]):
            return conflict
        with _held(self._in_transactions, keys):
            return await forward(request)

    @staticmethod
    def _code(key: ItemKey, *busy: Counter[ItemKey]) -> str:
        return "TransactionConflict" if any(counter[key] for counter in busy) else "None"


def _conflict(codes: list[str]) -> Response | None:
    messages = {"TransactionConflict": _ONGOING}
    return cancelled(codes, messages) if "TransactionConflict" in codes else None


@contextmanager
def _held(busy: Counter[ItemKey], keys: Iterable[ItemKey]) -> Iterator[None]:
    held = list(keys)
    busy.update(held)
    try:
        yield
    finally:
        busy.subtract(held)
        for key in held:
            if not busy[key]:
                del busy[key]
