"""View reports over HTTP: requests and responses."""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from vitrina.api.http.responses import Resource
from vitrina.api.http.validation import QueryInt, QueryModel
from vitrina.api.schemas.products import DeletedProduct, ManagedProduct
from vitrina.domain.pages import DEFAULT_LIMIT, MAX_LIMIT
from vitrina.domain.reports import MOST_DAYS

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _read_day(value: object) -> object:
    """Accept a calendar day alone: pydantic itself also accepts times, and seconds since 1970."""
    if value is None or isinstance(value, date):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a date such as 2026-11-24")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar") from None


Day = Annotated[
    date,
    BeforeValidator(_read_day),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-24"]}),
]
"""A day, UTC."""


class PeriodQuery(QueryModel):
    """Days of a report, UTC, both included."""

    first: Day | None = Field(None, alias="from", description="The first day; 29 days before the last by default.")
    last: Day | None = Field(
        None, alias="to", description=f"The last day; today by default. {MOST_DAYS} days are the most."
    )


class LeadersQuery(PeriodQuery):
    """Parameters of the top products."""

    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT, description="The most products.")] = DEFAULT_LIMIT


class DayEntry(Resource):
    """A day of a product; `views` and `unique_visitors` leave bots out."""

    day: Day
    views: int
    unique_visitors: int
    bots: int


class ViewReport(Resource):
    """A product's views, every day of the period; `unique_visitors` is the sum of the days', as hashes turn daily."""

    product_id: str
    first: Day = Field(serialization_alias="from")
    last: Day = Field(serialization_alias="to")
    total: int
    unique_visitors: int
    bots: int
    days: list[DayEntry]


class LeaderEntry(Resource):
    """A product, live or deleted, and its views without bots."""

    product: DeletedProduct | ManagedProduct
    views: int
    unique_visitors: int


class LeaderReport(Resource):
    """Products by their views, the most viewed first; none without a view."""

    items: list[LeaderEntry]
