# ruff: noqa: ANN401 - a fake client has the types of a real one
"""Requests to the table are counted and bounded in time, and each DynamoDB error becomes a named one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from prometheus_client import REGISTRY

from vitrina import usage
from vitrina.aws import Clients
from vitrina.backoff import Backoff
from vitrina.errors import Conflict, TableUnavailable
from vitrina.store import keys, retries
from vitrina.store.items import EmailItem, Item, SkuItem
from vitrina.store.operations import ABSENT, Check, Delete, Put, Query, Scan, Step, Update
from vitrina.store.retries import TimePassed
from vitrina.store.table import MOST_PUTS, ConditionFailed, Table

KEY = keys.sku("lamp")
CLAIM = SkuItem.keyed(KEY, product_id="1")
RAW = CLAIM.serialize()


class ScriptedClient:
    """A fake client that returns the items of its script in turn, the last one for ever."""

    get_item: Callable[..., Awaitable[dict[str, Any]]]

    def __init__(self, *script: dict[str, Any] | Exception) -> None:
        self.script = list(script)
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        async def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append(arguments)
            answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def scripted(*script: dict[str, Any] | Exception, deadline: float = 2.5) -> tuple[Table, ScriptedClient]:
    """Return a table over a scripted client."""
    client = ScriptedClient(*script)
    clients = Clients(reader=cast("Any", client), writer=cast("Any", client))
    return Table(clients, name="vitrina", deadline=deadline), client


def refusal(code: str, *, status: int = 400, **more: Any) -> ClientError:
    """Return the error that botocore raises for an error response."""
    answer = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}} | more
    return ClientError(cast("Any", answer), "Operation")


def cancelled(*codes: str, items: dict[int, Any] | None = None) -> ClientError:
    """Return the error of a cancelled transaction, with the reason of each of its operations."""
    reasons: list[dict[str, Any]] = [{"Code": code} for code in codes]
    for position, item in (items or {}).items():
        reasons[position]["Item"] = item
    return refusal("TransactionCanceledException", CancellationReasons=reasons)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between attempts."""
    monkeypatch.setattr(retries, "_BACKOFF", Backoff(first=0.0001, longest=0.001))


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDeniedException"),
        refusal("ExpiredTokenException"),
        refusal("InternalServerError", status=500),
        refusal("InvalidSignatureException"),
        refusal("LimitExceededException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("ReplicatedWriteConflictException"),
        refusal("RequestLimitExceeded"),
        refusal("ResourceNotFoundException"),
        refusal("ServiceUnavailable", status=503),
        refusal("Something new"),
        refusal("Something new", status=502),
        refusal("ThrottlingException"),
        refusal("TransactionInProgressException"),
        refusal("UnrecognizedClientException"),
        EndpointConnectionError(endpoint_url="http://nowhere"),
        NoCredentialsError(),
        ReadTimeoutError(endpoint_url="http://nowhere"),
        ConnectionResetError(),
    ],
    ids=lambda error: error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__,
)
async def test_each_kind_of_outage_is_table_unavailable(error: Exception) -> None:
    """For each read and write; the original error is kept as the cause. So is a code that nobody knows."""
    put = Put(CLAIM)
    operations: list[Callable[[Table], Awaitable[object]]] = [
        lambda table: table.get(KEY, consistent=True),
        lambda table: table.get_many([KEY], consistent=True),
        lambda table: table.query(Query(condition=Item.pk == "x"), limit=1),
        lambda table: table.scan(Scan(), limit=1),
        lambda table: table.put(put),
        lambda table: table.update(Update(KEY, [SkuItem.product_id.set("2")])),
        lambda table: table.delete(Delete(KEY)),
        lambda table: table.put_many([CLAIM]),
        lambda table: table.delete_many([KEY]),
        lambda table: table.commit([Step(put)]),
        lambda table: table.snapshot([KEY]),
    ]
    for call in operations:
        table, _ = scripted(error, deadline=0.05)
        with pytest.raises(TableUnavailable) as raised:
            await call(table)
        assert raised.value.__cause__ is error
        assert raised.value.retry_after == 1


@pytest.mark.parametrize("code", ["ValidationException", "SerializationException"])
async def test_an_invalid_request_is_not_an_outage(code: str) -> None:
    """It is a bug in our request, so it must stay visible."""
    table, _ = scripted(refusal(code))
    for call in (table.get(KEY, consistent=True), table.put(Put(CLAIM)), table.commit([Step(Put(CLAIM))])):
        with pytest.raises(ClientError):
            await call


async def test_a_request_ends_at_its_deadline() -> None:
    """However long the client would wait and retry."""
    table, client = scripted({}, deadline=0.02)

    async def hang(**_: Any) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    client.get_item = hang
    async with asyncio.timeout(5):
        with pytest.raises(TableUnavailable) as raised:
            await table.get(KEY, consistent=True)
    assert isinstance(raised.value.__cause__, TimeoutError)


async def test_a_cancelled_request_is_not_an_outage() -> None:
    table, client = scripted({})
    client.get_item = lambda **_: asyncio.sleep(60, {})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await table.get(KEY, consistent=True)


@pytest.mark.parametrize("there", [RAW, None])
async def test_a_failed_condition_contains_the_existing_item(there: dict[str, Any] | None) -> None:
    """For each kind of single write."""
    more: dict[str, Any] = {"Item": there} if there else {}
    table, _ = scripted(refusal("ConditionalCheckFailedException", **more))
    condition = Item.pk.does_not_exist()
    for write in (
        table.put(Put(CLAIM, condition)),
        table.delete(Delete(KEY, condition)),
        table.update(Update(KEY, [SkuItem.product_id.set("2")], condition)),
    ):
        with pytest.raises(ConditionFailed) as failed:
            await write
        item = failed.value.item
        assert (item and item.serialize()) == there


async def test_a_single_write_waits_for_a_transaction() -> None:
    """If that never ends it is a conflict, not an outage: the table works."""
    error = refusal("TransactionConflictException")
    table, client = scripted(*[error] * 6, {})
    await table.put(Put(CLAIM))
    assert len(client.calls) == 7
    table, _ = scripted(error, deadline=0.02)
    with pytest.raises(Conflict):
        await table.put(Put(CLAIM))


async def test_a_failed_transaction_raises_the_first_failed_steps_error_from_its_item() -> None:
    error = cancelled("None", "ConditionalCheckFailed", "ConditionalCheckFailed", items={1: RAW})
    table, client = scripted(error)
    steps = [
        Step(Check(KEY, Item.pk.exists()), lambda _: ValueError("first")),
        Step(Check(KEY, Item.pk.exists()), lambda item: KeyError(item and item.pk)),
        Step(Check(KEY, Item.pk.exists()), lambda _: ValueError("third")),
    ]
    with pytest.raises(KeyError, match=KEY.pk):
        await table.commit(steps)
    assert len(client.calls) == 1


async def test_a_failed_condition_of_an_unconditional_step_is_a_bug() -> None:
    """The step was declared wrongly, and the error names the item."""
    table, _ = scripted(cancelled("ConditionalCheckFailed", items={0: RAW}))
    with pytest.raises(AssertionError, match="without a condition"):
        await table.commit([Step(Put(CLAIM))])


async def test_a_transaction_conflict_is_retried_with_the_same_token() -> None:
    """So a retry after a lost response is not applied twice (R6)."""
    table, client = scripted(cancelled("None", "TransactionConflict"), cancelled("TransactionConflict", "None"), {})
    await table.commit([Step(Put(CLAIM)), Step(Delete(KEY))])
    assert len(client.calls) == 3
    assert len({call["ClientRequestToken"] for call in client.calls}) == 1


async def test_a_snapshot_is_retried_during_a_transaction() -> None:
    """It becomes a conflict if the transactions never stop."""
    table, client = scripted(cancelled("TransactionConflict"), {"Responses": [{"Item": RAW}, {}]})
    found = await table.snapshot([KEY, keys.sku("other")])
    assert list(found) == [KEY]
    assert len(client.calls) == 2
    table, _ = scripted(cancelled("TransactionConflict"), deadline=0.02)
    with pytest.raises(Conflict):
        await table.snapshot([KEY])


async def test_a_snapshot_leaves_out_missing_items(table: Table) -> None:
    """The others are returned under the requested keys."""
    await table.put(Put(CLAIM))
    found = await table.snapshot([keys.sku("other"), KEY])
    assert {key: item.serialize() for key, item in found.items()} == {KEY: RAW}


async def test_lasting_conflicts_become_a_conflict_error() -> None:
    """That of the contended step, at the deadline; never a failed condition and never an outage."""
    table, client = scripted(cancelled("None", "TransactionConflict"), deadline=0.05)
    with pytest.raises(Conflict):
        await table.commit([Step(Put(CLAIM)), Step(Delete(KEY))])
    assert len(client.calls) > 5
    with pytest.raises(LookupError):
        await table.commit([Step(Put(CLAIM)), Step(Delete(KEY), busy=LookupError)])


async def test_a_conflict_about_a_claim_tells_who_holds_it() -> None:
    """It is read after the conflict. A holder that is the item itself was written by an earlier try (R6)."""
    other = SkuItem.keyed(KEY, product_id="2")
    steps = [Step(Put(CLAIM, ABSENT), lambda item: LookupError(item and item.serialize()))]
    table, client = scripted(cancelled("TransactionConflict"), {}, cancelled("TransactionConflict"), {"Item": RAW}, {})
    await table.commit(steps)
    assert len(client.calls) == 5
    table, client = scripted(cancelled("TransactionConflict"), {"Item": other.serialize()})
    with pytest.raises(LookupError) as raised:
        await table.commit(steps)
    assert raised.value.args == (other.serialize(),)
    assert client.calls[1]["ConsistentRead"]


async def test_a_failed_condition_takes_precedence_over_a_conflict() -> None:
    """A retry could not succeed."""
    table, client = scripted(cancelled("TransactionConflict", "ConditionalCheckFailed"))
    with pytest.raises(LookupError):
        await table.commit([Step(Put(CLAIM)), Step(Put(CLAIM), lambda _: LookupError())])
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        cancelled("None", "ThrottlingError"),
        cancelled("ProvisionedThroughputExceeded", "None"),
        cancelled("TransactionConflict", "ThrottlingError"),
        refusal("TransactionInProgressException"),
    ],
)
async def test_a_transaction_that_must_wait_is_sent_again_with_the_same_token(error: ClientError) -> None:
    """More often than a failed call; it is an outage if it must wait until the deadline."""
    table, client = scripted(*[error] * 9, {})
    await table.commit([Step(Put(CLAIM))] * 2)
    assert len(client.calls) == 10
    assert len({call["ClientRequestToken"] for call in client.calls}) == 1
    table, _ = scripted(error, deadline=0.02)
    with pytest.raises(TableUnavailable) as raised:
        await table.commit([Step(Put(CLAIM))] * 2)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [(cancelled("ThrottlingError"), TimePassed), (refusal("TransactionInProgressException"), TableUnavailable)],
)
async def test_no_try_of_a_transaction_is_sent_too_late(error: ClientError, expected: type[Exception]) -> None:
    """A feed is read by the times in its items; where a try may have succeeded, nobody may make new items."""
    table, client = scripted(error)
    with pytest.raises(expected):
        await table.commit([Step(Put(CLAIM))], within=0.1)
    assert len(client.calls) > 1
    with pytest.raises(TimePassed):
        await table.commit([Step(Put(CLAIM))], within=-1)


async def test_an_invalid_transaction_is_not_an_outage() -> None:
    """For example, one with an item that is too large."""
    table, _ = scripted(cancelled("ValidationError"))
    with pytest.raises(ClientError):
        await table.commit([Step(Put(CLAIM))])


async def test_only_unprocessed_keys_of_a_batch_are_requested_again() -> None:
    other = keys.sku("desk")
    desk = SkuItem.keyed(other, product_id="2")
    first = {
        "Responses": {"vitrina": [RAW]},
        "UnprocessedKeys": {"vitrina": {"Keys": [{"pk": {"S": other.pk}, "sk": {"S": other.sk}}]}},
    }
    table, client = scripted(first, {"Responses": {"vitrina": [desk.serialize()]}})
    found = await table.get_many([KEY, other], consistent=False)
    assert set(found) == {KEY, other}
    assert client.calls[1]["RequestItems"]["vitrina"] == {
        "Keys": [{"pk": {"S": other.pk}, "sk": {"S": other.sk}}],
        "ConsistentRead": False,
    }


async def test_a_batch_of_one_returns_what_a_batch_would(table: Table) -> None:
    """The item or its requested attributes, and nothing for a missing item."""
    other = keys.sku("desk")
    await table.put_many([CLAIM])
    assert set(await table.get_many([KEY], consistent=True)) == {KEY}
    for attributes, found in (((), RAW), (("product_id",), {"product_id": {"S": "1"}})):
        assert await table.get_many_raw([KEY], consistent=False, attributes=attributes) == [found]
        assert [found] == await table.get_many_raw([KEY, other], consistent=False, attributes=attributes)
        assert await table.get_many_raw([other], consistent=False, attributes=attributes) == []


async def test_a_batch_that_does_not_complete_within_the_deadline_is_an_outage() -> None:
    """Reading or writing."""
    unread = {"Responses": {}, "UnprocessedKeys": {"vitrina": {"Keys": [{"pk": {"S": KEY.pk}, "sk": {"S": KEY.sk}}]}}}
    table, client = scripted(unread, deadline=0.05)
    with pytest.raises(TableUnavailable):
        await table.get_many([KEY, keys.sku("desk")], consistent=True)
    assert len(client.calls) > 5
    table, client = scripted({"UnprocessedItems": {"vitrina": [{"PutRequest": {"Item": RAW}}]}}, deadline=0.05)
    with pytest.raises(TableUnavailable):
        await table.put_many([CLAIM])
    assert len(client.calls) > 5


async def test_only_unprocessed_items_of_a_batch_are_sent_again() -> None:
    left = [{"PutRequest": {"Item": RAW}}]
    table, client = scripted({"UnprocessedItems": {"vitrina": left}}, {"UnprocessedItems": {}})
    await table.put_many([CLAIM, EmailItem.keyed(keys.email("a@b.cd"), user_id="1")])
    assert [len(call["RequestItems"]["vitrina"]) for call in client.calls] == [2, 1]
    assert client.calls[1]["RequestItems"]["vitrina"] == left


async def test_an_empty_batch_makes_no_request() -> None:
    """DynamoDB refuses empty batches."""
    table, client = scripted({})
    await table.put_many([])
    await table.delete_many([])
    assert await table.get_many([], consistent=True) == {}
    assert client.calls == []


async def test_deletions_are_split_into_full_batches() -> None:
    table, client = scripted({})
    await table.delete_many(keys.sku(f"s{number}") for number in range(2 * MOST_PUTS + 1))
    assert [len(call["RequestItems"]["vitrina"]) for call in client.calls] == [25, 25, 1]


async def test_calls_and_units_are_counted_for_the_request_and_for_the_process() -> None:
    """Separately for reads and writes, in single operations, batches and transactions."""

    def units(operation: str, kind: str) -> float:
        labels = {"operation": operation, "kind": kind}
        return REGISTRY.get_sample_value("vitrina_dynamodb_capacity_units_total", labels) or 0.0

    before = units("Query", "read"), units("TransactWriteItems", "write")
    request = usage.start()
    table, _ = scripted(
        {"Items": [], "ConsumedCapacity": {"CapacityUnits": 0.5}},
        {"Responses": {}, "ConsumedCapacity": [{"CapacityUnits": 2.0}]},
        {"ConsumedCapacity": [{"CapacityUnits": 8.0}]},
        {"ConsumedCapacity": {"CapacityUnits": 1.0}},
        {},
    )
    await table.query(Query(condition=Item.pk == "x"), limit=1)
    await table.get_many([KEY], consistent=True)
    await table.commit([Step(Put(CLAIM))])
    await table.put(Put(CLAIM))
    await table.delete(Delete(KEY))
    assert (request.calls, request.read_units, request.write_units) == (5, 2.5, 9.0)
    assert (units("Query", "read") - before[0], units("TransactWriteItems", "write") - before[1]) == (0.5, 8.0)


async def test_work_that_belongs_to_no_request_is_counted_for_the_process_alone() -> None:
    """A flush of views serves many requests."""
    usage._current.set(None)
    table, client = scripted({"Items": [], "ConsumedCapacity": {"CapacityUnits": 0.5}})
    await table.scan(Scan(), limit=1)
    assert len(client.calls) == 1
    assert usage.current() is None


async def test_a_scan_returns_every_item_once_in_any_number_of_segments(table: Table) -> None:
    """Page by page, with and without a filter."""
    made = [SkuItem.keyed(keys.sku(f"s{number}"), product_id=str(number)) for number in range(30)]
    await table.put_many(made[:25])
    await table.put_many(made[25:])
    await table.put(Put(EmailItem.keyed(keys.email("a@b.cd"), user_id="1")))
    for segments in (1, 3):
        found: list[str] = []
        for segment in range(segments):
            scan = Scan(filter=Item.type.is_in(SkuItem), segment=segment, segments=segments, consistent=True)
            items, position = await table.scan(scan, limit=4)
            while position is not None:
                found += [item.pk for item in items]
                items, position = await table.scan(scan, limit=4, start=position)
            found += [item.pk for item in items]
        assert sorted(found) == sorted(item.pk for item in made)


async def test_a_scan_resumes_after_a_deleted_item(table: Table) -> None:
    """An interrupted migration does so."""
    await table.put_many(SkuItem.keyed(keys.sku(f"s{number}"), product_id=str(number)) for number in range(9))
    first, position = await table.scan(Scan(), limit=4)
    assert position is not None
    await table.delete(Delete(keys.Key(position["pk"], position["sk"])))
    rest, end = await table.scan(Scan(), limit=9, start=position)
    assert (len({item.pk for item in [*first, *rest]}), end) == (9, None)
