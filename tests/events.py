"""Sample price changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vitrina.domain.notices import PriceChanged
from vitrina.ids import new_id

START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


def price_changed(**fields: Any) -> PriceChanged:  # noqa: ANN401 - each field has its own type
    """Return a price change."""
    version = fields.get("version", 2)
    values: dict[str, Any] = {
        "product_id": new_id(),
        "version": version,
        "sku": "LAMP-1",
        "name": "Lámpara \u2028 de pie",
        "old_price": "19.99",
        "old_currency": "USD",
        "price": "24.50",
        "currency": "USD",
        "changed_at": START + timedelta(seconds=version),
        "changed_by": "ana",
        "request_id": "test",
    }
    return PriceChanged(**values | fields)
