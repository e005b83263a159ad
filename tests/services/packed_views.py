"""A hypothesis strategy for the views of one day."""

import uuid
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

from vitrina.domain.views import View

MIDNIGHT_MS: Final = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
PRODUCTS: Final = [str(uuid.UUID(int=number << 64 | number)) for number in (1, 2, 3)]
VIEWS: Final = st.builds(
    View,
    product_id=st.sampled_from(PRODUCTS),
    at_ms=st.integers(min_value=MIDNIGHT_MS, max_value=MIDNIGHT_MS + 86_399_999),
    # Few visitors, some of whose bytes equal those of a product.
    visitor=st.sampled_from([bytes(11) + bytes([number]) for number in range(4)]) | st.binary(min_size=12, max_size=12),
    referrer_host=st.none() | st.sampled_from(["a.example", "b.example"]),
    bot=st.booleans(),
)
