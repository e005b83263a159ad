"""Money is a decimal from parsing to display."""

import contextlib
import csv
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from vitrina.domain.money import DECIMALS, fit, parse_amount

CURRENCIES = st.sampled_from(sorted(DECIMALS))


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", "0"), ("10", "10"), ("10.00", "10"), ("19.90", "19.9"), ("007", "7"), ("0.0001", "0.0001"),
     ("999999999999", "999999999999"), ("000999999999999.5", "999999999999.5")],
)  # fmt: skip
def test_a_plain_decimal_is_read_exactly(text: str, amount: str) -> None:
    """Without insignificant zeros."""
    assert parse_amount(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    ["", ".", ".5", "5.", "-1", "+1", " 1", "1 ", "1e2", "1E2", "1_000", "1,000", "1.2.3", "0x10", "NaN", "Infinity",
     "-0", "٣", "\uff11", "1\n", "1000000000000"],
)  # fmt: skip
def test_signs_exponents_spaces_other_digits_and_large_amounts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        parse_amount(text)


@given(st.text())
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_amount(text) >= 0


@given(CURRENCIES, st.integers(min_value=0, max_value=10**12 - 1), st.data())
def test_an_amount_is_shown_with_all_decimals_of_its_currency(currency: str, whole: int, data: st.DataObject) -> None:
    decimals = DECIMALS[currency]
    fraction = data.draw(st.integers(min_value=0, max_value=10**decimals - 1))
    text = f"{whole}.{fraction:0{decimals}d}" if decimals else str(whole)
    fitted = fit(parse_amount(text), currency)
    assert str(fitted) == text
    assert fit(parse_amount(text + ("0" if "." in text else ".0")), currency) == fitted
    assert fit(fitted, currency) == fitted


@given(CURRENCIES, st.integers(min_value=0, max_value=10**12 - 1))
def test_an_excess_decimal_is_refused_and_not_rounded(currency: str, whole: int) -> None:
    with pytest.raises(ValueError, match=currency):
        fit(parse_amount(f"{whole}.{'0' * DECIMALS[currency]}1"), currency)


@pytest.mark.parametrize("text", ["19.99" + "0" * 30 + "1", "999999999999." + "9" * 21, "0." + "0" * 400 + "1"])
def test_no_decimal_is_rounded_away(text: str) -> None:
    """The 28 digits of the decimal context are not a limit."""
    with pytest.raises(ValueError, match="decimals of USD"):
        fit(parse_amount(text), "USD")


def test_every_currency_in_force_has_its_decimals() -> None:
    """iso4217.csv is list one of ISO 4217 of 2026-01-01, without what has no decimals (metals, bond units)."""
    with Path(__file__).with_name("iso4217.csv").open(newline="") as file:
        listed = {row["code"]: int(row["decimals"]) for row in csv.DictReader(file)}
    assert listed == DECIMALS
    assert [DECIMALS[currency] for currency in ("JPY", "USD", "KWD", "CLF", "UYW")] == [0, 2, 3, 4, 4]
