"""Helpers for tests of views: the stored views of a product and the metrics of a process."""

import itertools
import re
from datetime import UTC, datetime

from tests.api.client import Client
from tests.service import Service
from tests.stored_views import StoredView, read
from vitrina.store import keys
from vitrina.store.views import ViewStore

_DAY = 86_400_000


async def stored_views(service: Service, product_id: str, *, days_on: int = 0) -> list[StoredView]:
    """Return every view of a product on today's date, or `days_on` days later, in the order of storage."""
    store = ViewStore(service.services.table)
    day = datetime.fromtimestamp((_now_ms(service) + days_on * _DAY) / 1000, UTC).date()
    shards = [[view async for view in read(store, day, shard)] for shard in range(keys.VIEW_SHARDS)]
    return [stored for stored in itertools.chain(*shards) if stored.view.product_id == product_id]


def _now_ms(service: Service) -> int:
    return service.services.views._now_ms()


async def count(client: Client, name: str) -> float:
    """Return the value of a metric of the process."""
    text = (await client.get("/metrics")).body.decode()
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else 0.0
