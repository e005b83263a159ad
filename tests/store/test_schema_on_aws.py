"""`ensure` on a control plane as slow as AWS's, and interrupted at each change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.proxy import Forward, ManualClock, Request, Response, simulate
from vitrina.aws import Clients, connect
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.store import schema
from vitrina.store.definition import WarmThroughput
from vitrina.store.schema import SchemaError, ensure, status

pytestmark = pytest.mark.requires_dynamodb_local("the simulator adds the backups that it lacks")


class Recorder:
    """Records the calls that change something; each DescribeTable moves the clock by 10 s.

    `process` is cancelled when such a call has had its effect, before it gets the response.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.changes: list[Request] = []
        self.process: asyncio.Task[bool] | None = None

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Forward a request."""
        if request.operation == "DescribeTable":
            self.clock.advance(10)
        response = await forward(request)
        if not request.operation.startswith("Describe"):
            self.changes.append(request)
            if self.process is not None:
                self.process.cancel()
        return response


@pytest.fixture
def recorder() -> Recorder:
    """A recorder with a clock of its own."""
    return Recorder(ManualClock())


@pytest.fixture
def production(settings: Settings) -> Settings:
    """Settings for production, which requires backups and deletion protection."""
    return settings.model_copy(update={"environment": "production"})


@pytest.fixture
async def aws(
    recorder: Recorder, clients: Clients, production: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Clients]:
    """Clients of AWS: 20 s for a table, two minutes more for its backups. The client polls without pauses."""
    monkeypatch.setattr(schema, "_POLLING", Backoff(first=0, longest=0))
    slow = ControlPlane(recorder.clock, creating=20, backups=120, updating=5)
    async with simulate(production.writer_endpoint or "", [recorder, slow]) as urls:
        async with connect(production.model_copy(update={"writer_endpoint": urls.dynamodb})) as opened:
            yield opened
        await clients.writer.delete_table(TableName=production.table_name)


async def test_a_table_of_production_waits_for_its_backups(
    aws: Clients, production: Settings, recorder: Recorder
) -> None:
    """UpdateContinuousBackups is refused for minutes; the operator reads why, once and not at each poll."""
    said: list[str] = []
    assert await ensure(aws.writer, production, said.append)
    waiting = f"not yet: Backups are being enabled for the table: {production.table_name}. Please retry later"
    assert said.count(waiting) == 1
    assert "point-in-time recovery is off: putting that right" in said
    found = await status(aws.writer, production)
    assert (found.point_in_time_recovery, found.deletion_protection) == ("ENABLED", "ENABLED")
    assert found.differences == ()
    refused = [change for change in recorder.changes if change.operation == "UpdateContinuousBackups"][:-1]
    assert refused


async def test_a_table_of_production_is_protected_from_its_creation(
    aws: Clients, production: Settings, recorder: Recorder
) -> None:
    """CreateTable asks for it, so that no interruption leaves the table unprotected."""
    await ensure(aws.writer, production, lambda _: None)
    created, *others = recorder.changes
    assert (created.operation, created.body["DeletionProtectionEnabled"]) == ("CreateTable", True)
    assert {change.operation for change in others} == {"UpdateTimeToLive", "UpdateContinuousBackups"}


async def test_a_run_that_is_killed_at_each_change_ends_the_same(
    aws: Clients, production: Settings, recorder: Recorder
) -> None:
    """Between two changes a run only looks, so these are all the states that it can leave behind."""
    killed = 0
    while True:
        recorder.process = asyncio.create_task(ensure(aws.writer, production, lambda _: None))
        with suppress(asyncio.CancelledError):
            await recorder.process
            break
        killed += 1
    assert killed == len(recorder.changes)
    operations = [change.operation for change in recorder.changes]
    assert list(dict.fromkeys(operations)) == ["CreateTable", "UpdateTimeToLive", "UpdateContinuousBackups"]
    found = await status(aws.writer, production)
    assert found.differences == ()
    assert (found.state, found.ttl, found.deletion_protection) == ("ACTIVE", "ENABLED on expires_at", "ENABLED")


async def test_warm_throughput_is_raised_and_never_lowered(
    aws: Clients, production: Settings, recorder: Recorder
) -> None:
    """A new table gets it at its creation; an older one keeps the higher of both figures."""
    await ensure(aws.writer, production, lambda _: None, warm=WarmThroughput(40_000, 4_000))
    assert recorder.changes[0].body["WarmThroughput"] == {"ReadUnitsPerSecond": 40_000, "WriteUnitsPerSecond": 4_000}
    said: list[str] = []
    for _ in range(2):
        await ensure(aws.writer, production, said.append, warm=WarmThroughput(12_000, 10_000))
    assert said[0] == "warm throughput is 40,000 read and 4,000 write units a second: putting that right"
    assert [change.operation for change in recorder.changes].count("UpdateTable") == 1
    found = await status(aws.writer, production)
    assert found.warm_throughput == "40,000 read and 10,000 write units a second"


async def test_an_engine_without_warm_throughput_is_refused(clients: Clients, settings: Settings) -> None:
    """The table is created, and the message says what the engine lacks."""
    with pytest.raises(SchemaError, match="warm throughput is not supported by this engine"):
        await ensure(clients.writer, settings, lambda _: None, warm=WarmThroughput(40_000, 10_000))
    assert (await status(clients.writer, settings)).warm_throughput == "not supported by this engine"
    await clients.writer.delete_table(TableName=settings.table_name)
