"""So many transactions of a process are in flight at once; the others wait for a slot, and not for long."""

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from vitrina.aws import Clients
from vitrina.errors import Overloaded, TableUnavailable
from vitrina.store import keys
from vitrina.store.items import SkuItem
from vitrina.store.operations import Put, Step
from vitrina.store.retries import TimePassed
from vitrina.store.table import Table
from vitrina.store.transaction_slots import AT_ONCE

STEPS = [Step(Put(SkuItem.keyed(keys.sku("lamp"), product_id="1")))]


class SlowClient:
    """A fake client that completes transactions when `done` is set."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.calls = 0
        self.is_lost = False
        """Whether the response to the next call is lost."""

    async def transact_write_items(self, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - as the client's
        self.calls += 1
        if self.is_lost:
            self.is_lost = False
            raise ConnectionResetError
        await self.done.wait()
        return {}


def slow_table(*, deadline: float = 2.5, patience: float | None = None) -> tuple[Table, SlowClient]:
    """Return a table over a slow client."""
    client = SlowClient()
    clients = Clients(reader=cast("Any", client), writer=cast("Any", client))
    return Table(clients, name="vitrina", deadline=deadline, patience=patience), client


def counted_calls() -> float:
    """Return the number of transactions in the metric of calls."""
    name, labels = "vitrina_dynamodb_calls_total", {"operation": "TransactWriteItems"}
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_transaction_waits_for_a_slot() -> None:
    table, client = slow_table()
    commits = [asyncio.create_task(table.commit(STEPS)) for _ in range(3 * AT_ONCE)]
    await asyncio.sleep(0.01)
    assert client.calls == AT_ONCE
    client.done.set()
    await asyncio.gather(*commits)
    assert client.calls == 3 * AT_ONCE


async def test_those_that_wait_too_long_are_refused_unsent() -> None:
    """By a 503 with `Retry-After`; nothing was written, and the next one is sent again."""
    table, client = slow_table(deadline=1)
    before = counted_calls()
    sent = [asyncio.create_task(table.commit(STEPS)) for _ in range(AT_ONCE)]
    refused = await asyncio.gather(*(table.commit(STEPS) for _ in range(AT_ONCE)), return_exceptions=True)
    assert {type(each) for each in refused} == {Overloaded}
    assert client.calls == counted_calls() - before == AT_ONCE
    client.done.set()
    await asyncio.gather(*sent)
    await table.commit(STEPS)


async def test_a_transaction_that_may_have_been_written_is_not_called_refused() -> None:
    """Its response was lost, and its next try got no slot."""
    table, client = slow_table(deadline=1)
    client.is_lost = True
    first, *others = [asyncio.create_task(table.commit(STEPS)) for _ in range(1 + AT_ONCE)]
    with pytest.raises(TableUnavailable):
        await first
    client.done.set()
    await asyncio.gather(*others)


async def test_a_transaction_whose_time_has_passed_in_the_queue_is_not_sent() -> None:
    """Its items have the time at which it was made, by which readers of the feed tell what is complete."""
    table, client = slow_table()
    sent = [asyncio.create_task(table.commit(STEPS)) for _ in range(AT_ONCE)]
    late = asyncio.create_task(table.commit(STEPS, within=0.02))
    await asyncio.sleep(0.05)
    client.done.set()
    with pytest.raises(TimePassed):
        await late
    await asyncio.gather(*sent)
    assert client.calls == AT_ONCE


async def test_bulk_work_waits_for_no_slot() -> None:
    """It limits itself."""
    table, client = slow_table(patience=60)
    commits = [asyncio.create_task(table.commit(STEPS)) for _ in range(2 * AT_ONCE)]
    await asyncio.sleep(0.01)
    assert client.calls == 2 * AT_ONCE
    client.done.set()
    await asyncio.gather(*commits)
