"""The messages of the queue: versioned events as JSON.

To change the meaning of a message, write a model with the next `v` and decode both for as long as old messages may
exist: 14 days in the queue, and as long among the dead letters.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_serializer

from vitrina.clock import rfc3339
from vitrina.domain.notices import PriceChanged


class MessageUnreadable(Exception):
    """A message is not a known event; the text gives the reason and quotes nothing of the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeUnread:
    """A change that the relay could not decode from the stream; the consumer reads it from the table."""

    product_id: str
    version: int
    reason: str

    @property
    def id(self) -> str:
        """The change's id, as in `PriceChanged.id`."""
        return f"{self.product_id}-{self.version}"


Event = PriceChanged | ChangeUnread


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    v: Literal[1] = 1
    product_id: str = Field(min_length=1)
    version: int = Field(ge=1)


class PriceChangedMessage(_Message):
    """The price of a live product changed (R8). Amounts are text with their currency's decimals."""

    event: Literal["product.price_changed"] = "product.price_changed"
    sku: str
    name: str
    old_price: str
    old_currency: str
    price: str
    currency: str
    changed_at: AwareDatetime
    changed_by: str
    request_id: str
    traceparent: str | None = None

    @field_serializer("changed_at")
    def _write_time(self, changed_at: datetime) -> str:
        return rfc3339(changed_at)

    def value(self) -> PriceChanged:
        """Return the event that the message carries."""
        fields = self.model_dump(exclude={"event", "v", "changed_at"})
        return PriceChanged(**fields, changed_at=self.changed_at.astimezone(UTC))


class ChangeUnreadMessage(_Message):
    """A change that the relay could not decode."""

    event: Literal["product.change_unread"] = "product.change_unread"
    reason: str = ""

    def value(self) -> ChangeUnread:
        """Return the event that the message carries."""
        return ChangeUnread(**self.model_dump(exclude={"event", "v"}))


_MESSAGE: TypeAdapter[PriceChangedMessage | ChangeUnreadMessage] = TypeAdapter(
    Annotated[PriceChangedMessage | ChangeUnreadMessage, Field(discriminator="event")]
)


def encode(event: Event) -> str:
    """Encode an event as JSON in ASCII, which every SQS implementation accepts."""
    message: _Message
    if isinstance(event, PriceChanged):
        message = PriceChangedMessage(**asdict(event))
    else:
        message = ChangeUnreadMessage(**asdict(event))
    return json.dumps(message.model_dump(mode="json", exclude_none=True))


def decode(body: str) -> Event:
    """Decode a message. Raises MessageUnreadable if it is not JSON or its event or version is unknown."""
    try:
        return _MESSAGE.validate_json(body).value()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'message'}: {each['type']}" for each in error.errors()
        )
        raise MessageUnreadable(problems) from None
