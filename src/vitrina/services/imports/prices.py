"""Prices as people and other programs write them; whether the point or the comma marks decimals, the file decides."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

from vitrina.domain.money import DECIMALS, parse_amount
from vitrina.services.imports.rows import DecimalMark

_SYMBOLS: Final = {
    "€": "EUR", "₹": "INR", "₩": "KRW KPW", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₫": "VND", "₱": "PHP", "₪": "ILS",
    "₦": "NGN", "₡": "CRC SVC", "₲": "PYG", "₵": "GHS", "₸": "KZT", "₼": "AZN", "₾": "GEL", "฿": "THB", "¥": "JPY CNY",
    "£": "GBP EGP FKP GIP LBP SDG SHP SSP SYP", "kr": "DKK ISK NOK SEK", "kr.": "DKK ISK NOK SEK", "zł": "PLN",
    "kč": "CZK", "ft": "HUF", "lei": "RON MDL", "fr.": "CHF", "rs": "INR LKR MUR NPR PKR SCR", "rs.": "INR LKR NPR PKR",
    "r$": "BRL", "us$": "USD", "a$": "AUD", "c$": "CAD NIO", "ca$": "CAD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD",
    "nt$": "TWD", "mx$": "MXN", "$": "USD ARS AUD BBD BMD BND BSD BZD CAD CLP COP CUP CVE DOP FJD GYD HKD JMD KYD LRD"
    " MOP MXN NAD NIO NZD SBD SGD SRD TOP TTD TWD UYU WST XCD",
}  # fmt: skip
"""The currencies that a symbol may mean. A code of ISO 4217 means itself."""
_SPACE: Final = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_APOSTROPHE: Final = "'\N{RIGHT SINGLE QUOTATION MARK}"
_PRICE: Final = re.compile(r"([^0-9]*)([0-9](?:.*[0-9])?)([^0-9]*)", re.DOTALL)
_ADVICE: Final = "give --decimal-mark point or comma"
_SHOWN: Final = 40
"""Characters of a text that a message shows."""
_PLAIN: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


_INDIAN: Final = "[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"


def _thousands(separators: str) -> str:
    return rf"[1-9][0-9]{{0,2}}([{separators}{_SPACE}{_APOSTROPHE}])[0-9]{{3}}(?:\2[0-9]{{3}})*"


_AMOUNTS: Final = {
    DecimalMark.POINT: re.compile(rf"([0-9]+|{_thousands(',')}|{_INDIAN})(?:\.([0-9]+))?"),
    DecimalMark.COMMA: re.compile(rf"([0-9]+|{_thousands('.')})(?:,([0-9]+))?"),
}
"""The digits before the mark, whose groups have the same separator, and those after it."""


class PriceReader:
    """Reads the prices of one file.

    `1,800` and `1.800` have two readings, of which the decimal mark of the file selects one: `mark`, or else that of
    the file's prices that have one reading, which `note` gets. `plain` says that a program wrote the file: a plain
    decimal with a point is one, unless another price has a decimal comma. In most files no price depends on another
    one; while that `is_settled`, prices can be read before all are noted.
    """

    def __init__(self, *, mark: DecimalMark | None = None, plain: bool = False) -> None:
        self._mark = mark
        self._plain = plain
        self._lines: dict[DecimalMark, int] = {}
        self._depends = False

    @property
    def is_settled(self) -> bool:
        """Whether each price so far has one reading, and all have the same decimal mark, or the mark was given."""
        return self._mark is not None or (not self._depends and len(self._lines) < 2)  # noqa: PLR2004 - marks

    def note(self, line: int, text: str) -> None:
        """Note the decimal mark of a price, if it can have only one."""
        amounts = _amounts(_parts(text)[1])
        if len(amounts) == 1:
            self._lines.setdefault(next(iter(amounts)), line)
        self._depends |= len(set(amounts.values())) > 1

    def read(self, text: str, *, currency: str) -> Decimal:
        """Return the amount of a price in a currency. Raises ValueError for a text that has none, or more than one."""
        before, amount, after = _parts(text)
        amounts = _amounts(amount)
        symbols = [symbol for symbol in (before, after) if symbol]
        if not amounts or not all(map(_currencies, symbols)):
            raise ValueError(f"{text[:_SHOWN]!r} is not a plain decimal number such as 19.99")
        if any(currency not in _currencies(symbol) for symbol in symbols):
            raise ValueError(f"{text!r} is not in {currency}: give its currency in the file or by --currency")
        return parse_amount(self._selected(text, amounts, currency))

    def _selected(self, text: str, amounts: dict[DecimalMark, str], currency: str) -> str:
        if self._mark:
            if self._mark not in amounts:
                raise ValueError(f"{text!r} is not a number with a decimal {self._mark}, as --decimal-mark says")
            return amounts[self._mark]
        values = list(dict.fromkeys(amounts.values()))
        if len(amounts) > len(values):  # Without a mark, or with spaces only.
            return values[0]
        if len(self._lines) > 1:
            lines = " and ".join(f"a decimal {mark} on line {line}" for mark, line in self._lines.items())
            raise ValueError(f"{text!r} is uncertain, because the file has {lines}: {_ADVICE}")
        if len(values) == 1:
            return values[0]
        mark = next(iter(self._lines), DecimalMark.POINT if self._plain and _PLAIN.fullmatch(text) else None)
        exact = mark is DecimalMark.POINT and self._plain
        if mark is None or not (exact or len(amounts[mark].partition(".")[2]) <= DECIMALS[currency]):
            why = f"{currency} has {DECIMALS[currency]} decimals" if mark else "no other price of the file tells"
            raise ValueError(f"{text!r} may mean {' or '.join(values)}, and {why}: {_ADVICE}")
        return amounts[mark]


def _parts(text: str) -> tuple[str, str, str]:
    """Return what stands before the amount, the amount, and what stands after it."""
    match = _PRICE.fullmatch(text.strip())
    return (match[1].strip(), match[2], match[3].strip()) if match else ("", "", "")


def _amounts(text: str) -> dict[DecimalMark, str]:
    """Return the plain decimals that an amount may mean, by decimal mark."""
    found = ((mark, pattern.fullmatch(text)) for mark, pattern in _AMOUNTS.items())
    digits = {mark: (re.sub(r"[^0-9]", "", match[1]), match[3]) for mark, match in found if match}
    return {mark: f"{integer}.{fraction}" if fraction else integer for mark, (integer, fraction) in digits.items()}


def _currencies(symbol: str) -> Collection[str]:
    """Return the currencies that a symbol or code may mean; none if it is neither."""
    code = symbol.upper()
    return (code,) if code in DECIMALS else _SYMBOLS.get(symbol.casefold(), "").split()
