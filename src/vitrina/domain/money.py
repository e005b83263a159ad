"""Money: a decimal and its ISO 4217 currency, never a float."""

import re
from decimal import Decimal
from typing import Final

MAX_INTEGER_DIGITS: Final = 12
DEFAULT_CURRENCY: Final = "USD"
_PLAIN_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

_TWO_DECIMALS: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
""".split()
_NO_DECIMALS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()
_THREE_DECIMALS: Final = "BHD IQD JOD KWD LYD OMR TND".split()
_FOUR_DECIMALS: Final = "CLF UYW".split()

DECIMALS: Final[dict[str, int]] = (
    dict.fromkeys(_TWO_DECIMALS, 2)
    | dict.fromkeys(_NO_DECIMALS, 0)
    | dict.fromkeys(_THREE_DECIMALS, 3)
    | dict.fromkeys(_FOUR_DECIMALS, 4)
)
"""Decimals of each currency in force, funds included, from list one of ISO 4217; metals and bond units have none."""

MOST_DECIMALS: Final = max(DECIMALS.values())
MOST_AMOUNT: Final = Decimal(f"{'9' * MAX_INTEGER_DIGITS}.{'9' * MOST_DECIMALS}")


def check_currency(text: str) -> str:
    """Return `text` if it is a currency code; raises ValueError otherwise."""
    if text not in DECIMALS:
        raise ValueError("is not an ISO 4217 currency code such as USD")
    return text


def parse_amount(text: str) -> Decimal:
    """Parse a plain decimal; raises ValueError for signs, exponents, spaces, underscores and digits other than 0-9."""
    if not _PLAIN_DECIMAL.fullmatch(text):
        raise ValueError("is not a plain decimal number such as 19.99")
    integer, _, fraction = text.partition(".")
    if len(integer.lstrip("0")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"has more than {MAX_INTEGER_DIGITS} digits before the decimal point")
    return Decimal(f"{integer}.{fraction.rstrip('0')}" if fraction.rstrip("0") else integer)


def fit(amount: Decimal, currency: str) -> Decimal:
    """Return `amount` with exactly the decimals of its currency; raises ValueError if it has more."""
    decimals = DECIMALS[currency]
    # `normalize` would round to the 28 digits of the context first.
    if len(f"{amount:f}".partition(".")[2].rstrip("0")) > decimals:
        raise ValueError(f"has more than the {decimals} decimals of {currency}")
    return amount.quantize(Decimal(1).scaleb(-decimals))
