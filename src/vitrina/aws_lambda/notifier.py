"""The notifier as two Lambda functions: `handler` on the queue, `mail` on a schedule of a minute.

The event source mapping has `ReportBatchItemFailures`. Powertools gives its types alone, to the type checker: its
batch processor handles one record after the other, where the recipients of ten are found by the calls of one.
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
"""Milliseconds of an invocation in which no mail is begun: one takes up to `mail_timeout` and a few calls."""


def handler(event: Mapping[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Tell of messages, then send what mail is due while time remains; what the answer names comes again."""
    return CONTAINER.run(lambda parts: _notify(event["Records"], parts, _time_remains(context)))


def mail(_event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Send what mail is due, that of digests among it; what remains when the time is over, the next one sends."""
    CONTAINER.run(lambda parts: _send(parts, _time_remains(context)))


def failures(records: Sequence[Mapping[str, Any]], done: set[str]) -> list[str]:
    """Return the ids of the messages to be delivered again: those not done, and all behind one of them in its group."""
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
    outcome = await parts.teller.tell({record["messageId"]: record["body"] for record in records})
    if outcome.mail_is_due:
        try:
            await _send(parts, go_on)
        except TableUnavailable:
            # What was told was told; the mail is due in the table, and the schedule sends it.
            log.warning("mail_left_to_schedule")
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failures(records, outcome.done)]}


async def _send(parts: Parts, go_on: Callable[[], bool]) -> None:
    more = True
    while more and go_on():
        more = await parts.mailer.send_due(go_on=go_on)


def _time_remains(context: "LambdaContext") -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() > _RESERVE_MS
