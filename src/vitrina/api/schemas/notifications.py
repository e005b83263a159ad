"""Inboxes over HTTP: requests and responses."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from vitrina.api.http.pagination import PageOf, PageQuery
from vitrina.api.http.responses import Resource
from vitrina.api.http.validation import BodyModel
from vitrina.api.schemas.fields import Time, WholeNumber
from vitrina.domain.notices import EmailMode, Language, Notice

_AMOUNT = Field(json_schema_extra={"pattern": r"^[0-9]+(\.[0-9]+)?$"}, examples=["19.99"])


def _true_or_false(value: object) -> object:
    """Accept these two words alone: pydantic itself also accepts `1`, `yes` and `on`."""
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError("must be true or false")
        return value == "true"
    return value


class NotificationQuery(PageQuery):
    """Parameters of the inbox; without `unread` it is all of it."""

    unread: Annotated[bool, BeforeValidator(_true_or_false), Field(description="Unread notices alone.")] = False


class NotifiedProduct(Resource):
    """The product of a notice, as it was called then."""

    id: str
    sku: str
    name: str


class NotifiedActor(Resource):
    """Who changed it; the name is null when that account was gone before the notice was written."""

    id: str
    name: str | None


class NotificationResource(Resource):
    """A notice of a changed price; `read_at` is null while it is unread."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    event: Literal["product.price_changed"] = "product.price_changed"
    product: NotifiedProduct
    old_price: Annotated[str, _AMOUNT]
    new_price: Annotated[str, _AMOUNT]
    old_currency: str
    currency: str
    changed_by: NotifiedActor
    changed_at: Time
    request_id: str
    read_at: Time | None


class NotificationPage(PageOf[NotificationResource]):
    """A page of the inbox; `unread_count` is of all of it."""

    unread_count: int


class NotificationPreferences(Resource):
    """How notices are mailed."""

    email: EmailMode
    digest_minutes: int
    language: Language


class NotificationPreferencesPut(BodyModel):
    """How notices are to be mailed, as a whole: what is left out is the installation's default.

    `each`: one by one. `digest`: the first of a window one by one, the others together when it closes. `off`: not at
    all. The inbox has them in any case.
    """

    email: Annotated[EmailMode, Field(strict=False)]
    digest_minutes: (
        Annotated[WholeNumber, Field(ge=1, le=1_440, description="Minutes of a digest's window.")] | None
    ) = None
    language: Annotated[Language, Field(strict=False)] | None = None


def notification_resource(notice: Notice) -> NotificationResource:
    """Return a notice of an inbox."""
    change = notice.change
    return NotificationResource(
        id=notice.id,
        product=NotifiedProduct(id=change.product_id, sku=change.sku, name=change.name),
        old_price=change.old_price,
        new_price=change.price,
        old_currency=change.old_currency,
        currency=change.currency,
        changed_by=NotifiedActor(id=change.changed_by, name=notice.changed_by_name),
        changed_at=change.changed_at,
        request_id=change.request_id,
        read_at=notice.read_at,
    )
