"""The notifier as Lambda functions, on events of SQS."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from scripts.devstack.mails import caught_mails
from tests.mail.samples import notice
from tests.store.samples import HASH, user
from vitrina.aws import connect
from vitrina.aws_lambda.notifier import CONTAINER, failures, handler, mail
from vitrina.config import Settings
from vitrina.domain.users import Role, User
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.queue.messages import encode
from vitrina.store.definition import create_table_arguments
from vitrina.store.table import Table
from vitrina.store.users import UserStore


@pytest.fixture
def settings(
    dynamodb_local: str, table_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """The environment of a function that catches its mail; its container is a new one."""
    chosen = {"TABLE_NAME": table_name, "WRITER_ENDPOINT": dynamodb_local, "ENVIRONMENT": "development"}
    chosen |= {"CONNECT_TIMEOUT": "10", "READ_TIMEOUT": "20", "LOG_LEVEL": "error"}
    chosen |= {"MAIL_TRANSPORT": "directory", "MAIL_DIRECTORY": str(tmp_path), "METRICS_NAMESPACE": "shop"}
    for name, value in chosen.items():
        monkeypatch.setenv(f"VITRINA_{name}", value)
    yield Settings()
    CONTAINER.close()


def left(milliseconds: int) -> Any:  # noqa: ANN401 - Lambda's own
    """A context with this much time left."""

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return milliseconds

    return cast("Any", Context())


def record(body: str, *, group: str = "g", message_id: str | None = None) -> dict[str, Any]:
    """A record of an event of a FIFO queue, as the Lambda developer guide shows it."""
    return {
        "messageId": message_id or new_id(),
        "receiptHandle": "AQEBBX8nesZEXmkhsmZeyIE8iQAMig7qw",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1573251510774",
            "SequenceNumber": "18849496460467696128",
            "MessageGroupId": group,
            "SenderId": "AIDAIO23YVJENQZJOL4VO",
            "MessageDeduplicationId": "1",
            "ApproximateFirstReceiveTimestamp": "1573251510774",
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:fifo.fifo",
        "awsRegion": "us-east-2",
    }


async def admins(settings: Settings) -> list[User]:
    """Create the table and two admins."""
    async with connect(settings) as clients:
        await clients.writer.create_table(**create_table_arguments(settings))
        made = [user(role=Role.ADMIN), user(role=Role.ADMIN)]
        for each in made:
            await UserStore(Table(clients, name=settings.table_name, deadline=30)).create(each, HASH)
        return made


def test_behind_a_failure_its_group_fails_too() -> None:
    """Otherwise a redelivery would break the order within a product."""
    records = [record("", group=group, message_id=message_id) for group, message_id in ("ax", "by", "az", "bw")]
    assert failures(records, {"x", "y", "z", "w"}) == []
    assert failures(records, {"y", "z", "w"}) == ["x", "z"]
    assert failures(records, {"x", "y", "z"}) == ["w"]


def test_poison_and_its_group_are_redelivered_and_the_rest_is_mailed(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A redelivery finds its entries and mails nothing twice. Only the first invocation has metrics to print."""
    ana, luis = asyncio.run(admins(settings))
    bodies = [encode(notice(number, changed_by=ana.id).change) for number in (1, 2)]
    event = {
        "Records": [
            record(bodies[0], group="a"),
            record("garbage", group="b", message_id="poison"),
            record(bodies[1], group="b", message_id="behind"),
        ]
    }
    again = {"batchItemFailures": [{"itemIdentifier": "poison"}, {"itemIdentifier": "behind"}]}
    for _ in range(2):
        assert handler(event, left(30_000)) == again
    mails = caught_mails(tmp_path, most=9)
    assert len(mails) == 2
    assert all(luis.email in each.recipient for each in mails)
    assert orjson.loads(capfd.readouterr().out)["Mails"] == 2


def test_without_time_mail_is_left_to_the_schedule(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduled function, too, leaves mail to its next run when time is short; the log counts who has to wait."""
    monkeypatch.setenv("VITRINA_LOG_LEVEL", "warning")
    ana, _ = asyncio.run(admins(settings))
    event = {"Records": [record(encode(notice(changed_by=ana.id).change))]}
    assert handler({"Records": []}, left(14_000)) == {"batchItemFailures": []}
    with capture_logs() as logs:
        assert handler(event, left(14_000)) == {"batchItemFailures": []}
        mail({}, left(14_000))
    assert caught_mails(tmp_path, most=9) == []
    assert [(line["event"], line["accounts"]) for line in logs] == [("mail_left_to_schedule", 1)] * 2
    mail({}, left(60_000))
    assert len(caught_mails(tmp_path, most=9)) == 1


def test_without_a_table_the_whole_batch_is_redelivered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduled function fails, so that its metrics show it. Written entries stay when only the mail fails."""
    monkeypatch.setenv("VITRINA_WRITER_ENDPOINT", "http://127.0.0.1:9")
    event = {"Records": [record(encode(notice().change), message_id="a")]}
    assert handler(event, left(30_000)) == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    with pytest.raises(TableUnavailable):
        mail({}, left(30_000))
    CONTAINER.close()
    monkeypatch.setenv("VITRINA_WRITER_ENDPOINT", str(settings.writer_endpoint))
    asyncio.run(admins(settings))

    async def fail(*_: object, **__: object) -> bool:
        raise TableUnavailable

    monkeypatch.setattr("vitrina.services.notifications.mailer.Mailer.send_due", fail)
    assert handler(event, left(30_000)) == {"batchItemFailures": []}
