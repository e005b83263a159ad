"""All Prometheus metrics. Ids, SKUs and unknown paths are never labels, since their number is unbounded."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DYNAMODB_CALLS: Final = Counter("vitrina_dynamodb_calls", "Calls to DynamoDB.", ["operation"])
DYNAMODB_ERRORS: Final = Counter("vitrina_dynamodb_errors", "Calls to DynamoDB that failed.", ["operation", "code"])
DYNAMODB_UNITS: Final = Counter("vitrina_dynamodb_capacity_units", "Capacity units used.", ["operation", "kind"])

HTTP_REQUESTS: Final = Counter("vitrina_http_requests", "HTTP requests.", ["route", "method", "status"])
HTTP_SECONDS: Final = Histogram(
    "vitrina_http_request_seconds",
    "Time to the response.",
    ["route", "method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

VIEWS_STORED: Final = Counter("vitrina_views_stored", "Anonymous views stored.")
VIEWS_LATE: Final = Counter("vitrina_views_late", "Views stored only after their response was sent.")
VIEWS_UNANSWERED: Final = Counter("vitrina_views_unanswered", "Views stored whose requests ended without a response.")
VIEWS_LOST: Final = Counter("vitrina_views_lost", "Views that the table rejected, or that a process left at its end.")
VIEWS_REFUSED: Final = Counter("vitrina_views_refused", "Reads rejected because the queue of views was full.")
VIEWS_QUEUED: Final = Gauge("vitrina_views_queued", "Views waiting to be stored.", multiprocess_mode="livesum")
VIEWS_BATCH: Final = Histogram(
    "vitrina_views_batch_size", "Views stored by one flush.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
)
CACHE_LOOKUPS: Final = Counter("vitrina_product_cache_lookups", "Cache lookups of anonymous reads.", ["result"])
PAGE_LOOKUPS: Final = Counter("vitrina_page_cache_lookups", "Cache lookups of anonymous lists.", ["result"])

STREAM_RECORDS: Final = Counter("vitrina_stream_records", "Records read from the table's stream.", ["result"])
STREAM_LAG: Final = Gauge("vitrina_stream_lag_seconds", "Age of the last relayed change at that time.")
STREAM_LOST: Final = Counter("vitrina_stream_lost", "Losses of records that the stream trimmed before they were read.")
NOTICES: Final = Counter("vitrina_notices", "Inbox entries by result.", ["result"])
MESSAGES: Final = Counter("vitrina_queue_messages", "Messages received from the queue.", ["result"])
QUEUE_AGE: Final = Gauge("vitrina_queue_age_seconds", "Age of the last handled message at that time.")
MAILS: Final = Counter("vitrina_mails", "Mails by result.", ["result"])
MAILS_HELD_BACK: Final = Counter("vitrina_mails_held_back", "Mails kept for an operator or time to mend it.", ["code"])
WORKER_FAILURES: Final = Counter(
    "vitrina_worker_failures",
    "Tries of relay and notifier that failed because the table or SQS did not answer.",
    ["work"],
)

# Prometheus sees no increase in a series that begins with its first event, so what alerts count begins at 0.
STREAM_RECORDS.labels("parked")
MESSAGES.labels("poison")
MAILS.labels("given_up")
MAILS.labels("retried")
MAILS.labels("sent")
