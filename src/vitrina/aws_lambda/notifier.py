"""The notifier as two Lambda functions: `handler` on the queue, `mail` on a schedule of one minute.

The event source mapping needs `ReportBatchItemFailures`. Only the types of Powertools are used: its batch processor
handles one record after the other, while here the recipients of ten messages are read once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from vitrina.aws_lambda.containers import Container
from vitrina.errors import TableUnavailable
from vitrina.workers.notifier import Parts, open_parts

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

log = structlog.get_logger(__name__)

CONTAINER: Final = Container(open_parts)

_RESERVE_MS: Final = 15_000
"""Remaining milliseconds below which no mail is started: a mail takes up to `mail_timeout` and a few requests."""


def handler(event: Mapping[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Handle messages, then send due mail while time remains; Lambda redelivers the messages in the response."""
    return CONTAINER.run(lambda parts: _notify(event["Records"], parts, _time_remains(context)))


def mail(_event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Send the mail that is due, digests included; the next invocation sends what is left when time runs out.

    The log event `mail_left_to_schedule` counts the accounts that have to wait for that.
    """
    CONTAINER.run(lambda parts: _send(parts, _time_remains(context)))


def failures(records: Sequence[Mapping[str, Any]], done: set[str]) -> list[str]:
    """Return the ids of messages to redeliver: those not in `done`, and all behind one of them in its group."""
    stopped: set[str] = set()
    left: list[str] = []
    for record in records:
        group = record["attributes"]["MessageGroupId"]
        if record["messageId"] not in done or group in stopped:
            stopped.add(group)
            left.append(record["messageId"])
    return left


async def _notify(
    records: Sequence[Mapping[str, Any]], parts: Parts, go_on: Callable[[], bool]
) -> "PartialItemFailureResponse":
    outcome = await parts.handler.handle({record["messageId"]: record["body"] for record in records})
    if outcome.mail_is_due:
        try:
            await _send(parts, go_on)
        except TableUnavailable:
            # The inbox entries are written, and the scheduled function sends their mail.
            log.warning("mail_left_to_schedule", accounts=None)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failures(records, outcome.done)]}


async def _send(parts: Parts, go_on: Callable[[], bool]) -> None:
    more = True
    while more and go_on():
        more = await parts.mailer.send_due(go_on=go_on)
    if more:
        log.warning("mail_left_to_schedule", accounts=await parts.mailer.count_due())


def _time_remains(context: "LambdaContext") -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() > _RESERVE_MS
