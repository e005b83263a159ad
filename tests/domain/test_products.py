"""Versions of a product, and the change from one version to the next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.store.samples import START, at, product
from vitrina.domain.products import (
    Action,
    Change,
    FieldChange,
    PricePeriod,
    check_sku,
    describe,
    is_sku,
    lowest_before_reduction,
    lowest_price,
    price_periods,
)

LATER = START + timedelta(minutes=5)


def test_the_first_version_changes_every_field_that_has_a_value() -> None:
    """The first price is not a price change (R9)."""
    made = product(description=None)
    change = describe(None, made, action=Action.CREATED, request_id="r1")
    assert change.changes == {
        "sku": FieldChange(before=None, after=made.sku),
        "name": FieldChange(before=None, after="Lamp"),
        "brand": FieldChange(before=None, after="Brightwell"),
        "price": FieldChange(before=None, after="19.99"),
        "currency": FieldChange(before=None, after="USD"),
    }
    assert (change.product_id, change.version, change.by, change.at) == (made.id, 1, "ana", START)
    assert not change.moves_price


@pytest.mark.parametrize(
    ("fields", "moves"),
    [
        ({"name": "Desk Lamp"}, False),
        ({"description": "Warm."}, False),
        ({"price": Decimal("18.99")}, True),
        ({"currency": "EUR"}, True),
        ({"price": Decimal("18.99"), "brand": "Alder"}, True),
    ],
)
def test_a_change_has_the_fields_that_differ(fields: dict[str, object], moves: bool) -> None:  # noqa: FBT001
    """The price moves with its amount or its currency (R8)."""
    before = product()
    values = {name: getattr(before.drafted(), name) for name in ("sku", "name", "brand", "description", "price")}
    draft = type(before.drafted())(**{**values, "currency": before.currency, **fields})
    after = before.edited(draft, by="luis", at=LATER)
    change = describe(before, after, action=Action.UPDATED, request_id="r2")
    assert change.changes.keys() == fields.keys()
    for name, value in fields.items():
        old = getattr(before, name)
        assert change.changes[name] == FieldChange(before=None if old is None else str(old), after=str(value))
    assert change.moves_price is moves
    assert (change.version, change.by, change.at, change.request_id) == (2, "luis", LATER, "r2")


def test_a_deletion_renames_the_sku_and_keeps_who_and_when() -> None:
    """The new name is not a valid SKU (R7); the change still has the original one."""
    before = product(sku="LAMP-1")
    after = before.deleted(by="luis", at=datetime(2026, 11, 24, 7, 1, 34, 120_000, UTC))
    assert after.sku == "LAMP-1_delete_2026-11-24T07:01:34.120Z"
    assert not is_sku(after.sku)
    assert (after.original_sku, after.deleted_by, after.deleted_at, after.version) == (
        "LAMP-1",
        "luis",
        after.updated_at,
        2,
    )
    change = describe(before, after, action=Action.DELETED, request_id="r")
    assert change.changes == {"sku": FieldChange(before="LAMP-1", after=after.sku)}
    assert change.sku == "LAMP-1"


@pytest.mark.parametrize("sku", ["LAMP-1", "LAMP-2"])
def test_a_restored_product_is_live_under_the_given_sku(sku: str) -> None:
    before = product(sku="LAMP-1")
    restored = before.deleted(by="luis", at=LATER).restored(sku, by="eva", at=LATER)
    assert (restored.sku, restored.original_sku, restored.deleted_at, restored.deleted_by) == (sku, None, None, None)
    assert (restored.version, restored.updated_by) == (3, "eva")
    assert (restored.created_by, restored.created_at) == (before.created_by, before.created_at)


@pytest.mark.parametrize("sku", ["A", "a.b_c-D9", "...", "x" * 64, "-", "_"])
def test_a_sku_has_1_to_64_characters_of_its_alphabet(sku: str) -> None:
    assert check_sku(sku) == sku


@pytest.mark.parametrize("sku", ["", ".", "..", "a b", "a/b", "é", "x" * 65, "a\n", "a:b", "٣"])
def test_invalid_skus_are_refused(sku: str) -> None:
    """Dot segments are removed from the end of a path (RFC 3986 section 5.2.4)."""
    with pytest.raises(ValueError, match="not a SKU"):
        check_sku(sku)


def prices(*began: tuple[float, str, str]) -> list[PricePeriod]:
    """Return periods, newest first, from the day on which each price began, its amount and its currency."""
    ends = [*(START + timedelta(days=day) for day, _, _ in began[1:]), None]
    periods = [
        PricePeriod(price=Decimal(price), currency=currency, since=START + timedelta(days=day), until=until)
        for (day, price, currency), until in zip(began, ends, strict=True)
    ]
    return periods[::-1]


MONTH = timedelta(days=30)
USD, EUR = "USD", "EUR"


@pytest.mark.parametrize(
    ("began", "lowest"),
    [
        ([(0, "10", USD)], None),
        ([(0, "10", USD), (50, "12", USD)], None),
        ([(0, "10", USD), (50, "8", USD)], "10"),
        ([(0, "5", USD), (10, "10", USD), (40, "8", USD)], "10"),
        ([(0, "5", USD), (10.01, "10", USD), (40, "8", USD)], "5"),
        ([(0, "6", USD), (35, "10", USD), (40, "8", USD)], "6"),
        ([(0, "100", USD), (50, "80", USD), (55, "60", USD)], "80"),
        ([(0, "10", USD), (50, "8", EUR)], None),
        ([(0, "10", USD), (40, "9", EUR), (50, "8", USD)], None),
        ([(0, "10", USD), (35, "1", EUR), (40, "12", USD), (50, "11", USD)], "10"),
        ([(0, "3", EUR), (40, "12", USD), (50, "11", USD)], "12"),
    ],
    ids=[
        "the first price is no reduction",
        "a rise",
        "a reduction",
        "a price that ended 30 days before",
        "a price that was in force 30 days before",
        "a rise shortly before the reduction",
        "successive reductions are compared with the one before",
        "another currency",
        "back from another currency",
        "a currency in between is not compared",
        "a currency before is not compared",
    ],
)
def test_a_reduction_is_compared_with_the_lowest_price_of_the_month_before(
    began: list[tuple[float, str, str]], lowest: str | None
) -> None:
    """Directive 98/6/EC, article 6a(2): a price that is raised before it is reduced does not count as the prior one."""
    assert lowest_before_reduction(prices(*began), MONTH) == (lowest and Decimal(lowest))


def test_the_lowest_price_is_among_those_in_force_since_then() -> None:
    """The newest one is in force, however long ago it began."""
    found = prices((0, "1", USD), (10, "3", USD), (20, "2", EUR), (30, "5", USD))
    lowest = [lowest_price(found, START + timedelta(days=day)) for day in (9.9, 10, 19.9, 20, 99)]
    assert lowest == [1, 3, 3, 5, 5]


def change(action: Action, minutes: float, price: str = "19.99", currency: str = "USD") -> Change:
    """Return a change some minutes after `START`, after which a product has a price."""
    return replace(
        describe(None, product(), action=action, request_id="r"), at=at(minutes), price=price, currency=currency
    )


def test_a_price_is_in_force_from_its_change_to_the_next_or_to_the_deletion() -> None:
    """A change of anything else changes no price, and a restoration begins one."""
    changes = [
        change(Action.CREATED, 0),
        change(Action.UPDATED, 1),
        change(Action.UPDATED, 2, "19"),
        change(Action.UPDATED, 3, "19", "JPY"),
        change(Action.DELETED, 4, "19", "JPY"),
        change(Action.RESTORED, 6, "19", "JPY"),
        change(Action.UPDATED, 7, "20", "JPY"),
    ]
    found = [(str(one.price), one.currency, one.since, one.until) for one in price_periods(changes)]
    assert found == [
        ("19.99", "USD", at(0), at(2)),
        ("19.00", "USD", at(2), at(3)),
        ("19", "JPY", at(3), at(4)),
        ("19", "JPY", at(6), at(7)),
        ("20", "JPY", at(7), None),
    ]
    assert price_periods([]) == []


def test_periods_of_prices_do_not_overlap_even_if_a_clock_was_behind() -> None:
    """A view belongs to one price at most."""
    changes = [change(Action.CREATED, 0), change(Action.UPDATED, 5, "2"), change(Action.UPDATED, 3, "3")]
    assert [(one.since, one.until) for one in price_periods(changes)] == [
        (at(0), at(5)), (at(5), at(5)), (at(5), None),
    ]  # fmt: skip
