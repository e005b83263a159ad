"""The relay as a Lambda function on the table's stream: Lambda reads the shards, keeps checkpoints and retries.

The event source mapping needs the filter `vitrina.store.stream.FILTER` and `ReportBatchItemFailures`. Only the types of
Powertools are used: its batch processor handles one record after the other, a request to SQS each, where ten fit into
one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from vitrina.aws_lambda.containers import Container
from vitrina.bootstrap import open_queue
from vitrina.errors import QueueUnavailable
from vitrina.queue.notices import NoticeQueue
from vitrina.store.stream import Record, passes, sequence_number
from vitrina.workers.relay_shard import changes_in, deliver

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

log = structlog.get_logger(__name__)


CONTAINER: Final = Container(open_queue)


def handler(event: Mapping[str, Any], _context: "LambdaContext") -> "PartialItemFailureResponse":
    """Send the price changes in the records; Lambda redelivers from the record in the response on."""
    return CONTAINER.run(lambda queue: _relay(event["Records"], queue))


async def _relay(records: Sequence[Record], queue: NoticeQueue) -> "PartialItemFailureResponse":
    wanted = [record for record in records if passes(record)]
    try:
        await deliver(changes_in(wanted), queue)
    except QueueUnavailable:
        # Changes that were already sent are sent again; the queue drops them by their deduplication ids.
        first = sequence_number(wanted[0])
        log.warning("stream_records_not_sent", sequence_number=first, waiting=len(wanted))
        return {"batchItemFailures": [{"itemIdentifier": first}]}
    return {"batchItemFailures": []}
