"""Money is a decimal from parsing to display."""

import contextlib
from decimal import Decimal

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


def test_currencies_have_their_decimals() -> None:
    """Samples from ISO 4217."""
    assert [DECIMALS[currency] for currency in ("USD", "EUR", "JPY", "KRW", "BHD", "KWD")] == [2, 2, 0, 0, 3, 3]
    assert "XAU" not in DECIMALS
