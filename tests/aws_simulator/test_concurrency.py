"""Calls that overlap are refused as DynamoDB refuses them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.conftest import item, request, succeed
from tests.aws_simulator.proxy import Request, Response


@asynccontextmanager
async def under_way(concurrency: Concurrency, call: Request) -> AsyncIterator[None]:
    """Keep a call under way."""
    arrived, done = asyncio.Event(), asyncio.Event()

    async def forward(_: Request) -> Response:
        arrived.set()
        await done.wait()
        return Response(200, {})

    task = asyncio.ensure_future(concurrency(call, forward))
    await arrived.wait()
    yield
    done.set()
    assert (await task).ok


def puts(*pks: str, token: str | None = None) -> Request:
    """Return a transaction."""
    items = [{"Put": {"TableName": "shop", "Item": item(pk)}} for pk in pks]
    return request("TransactWriteItems", {"TransactItems": items, **({"ClientRequestToken": token} if token else {})})


def put(pk: str) -> Request:
    """Return a write of one item."""
    return request("PutItem", {"TableName": "shop", "Item": item(pk)})


READ = request("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "shop", "Key": item("a")}}]})


async def test_a_call_conflicts_with_an_ongoing_transaction() -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html (conflict handling)."""
    concurrency = Concurrency()
    async with under_way(concurrency, puts("a", "b")):
        refused = await concurrency(puts("c", "b"), succeed)
        assert refused.code == "TransactionCanceledException"
        assert [reason["Code"] for reason in refused.body["CancellationReasons"]] == ["None", "TransactionConflict"]
        assert (await concurrency(put("a"), succeed)).code == "TransactionConflictException"
        assert (await concurrency(READ, succeed)).code == "TransactionCanceledException"
        assert (await concurrency(put("c"), succeed)).ok
    assert (await concurrency(puts("a", "b"), succeed)).ok


async def test_a_transactional_read_conflicts_with_an_ongoing_write() -> None:
    """The same page. Writes outside of transactions do not conflict with each other."""
    concurrency = Concurrency()
    async with under_way(concurrency, put("a")):
        assert (await concurrency(READ, succeed)).code == "TransactionCanceledException"
        assert (await concurrency(put("a"), succeed)).ok


async def test_a_token_in_use_is_refused() -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html (idempotency)."""
    concurrency = Concurrency()
    first, other = puts("a", token="t"), puts("b", token="t")
    async with under_way(concurrency, first):
        assert (await concurrency(first, succeed)).code == "TransactionInProgressException"
        assert (await concurrency(other, succeed)).code == "IdempotentParameterMismatchException"
    assert (await concurrency(first, succeed)).ok
