"""The rows of an import: how to parse them, what a file says in each, and what becomes of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vitrina.domain.product_rows import Texts
from vitrina.domain.products import FieldChange
from vitrina.services.imports.skus import Origin


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message says why."""


class Profile(StrEnum):
    """The shop system that wrote a file."""

    VITRINA = "vitrina"
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"


class DecimalMark(StrEnum):
    """What stands before the decimals of a price."""

    POINT = "point"
    COMMA = "comma"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How to parse a file.

    A row without a SKU gets a derived one unless `require_sku`; with `derive_skus` a row whose own is not allowed or
    repeated does too. Products that are not on sale in the other shop are skipped unless `unpublished`. `defaults`
    gives the text of fields that a row leaves empty. `columns` maps columns of the file to those of the profile.
    `decimal_mark` is that of the file's prices; None: its unambiguous prices tell.
    """

    profile: Profile = Profile.VITRINA
    require_sku: bool = False
    derive_skus: bool = False
    unpublished: bool = False
    defaults: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    decimal_mark: DecimalMark | None = None


class Outcome(StrEnum):
    """What the plan decided for a row and, in the end, what was done."""

    WAITING = "waiting"
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REFUSED = "refused"
    CREATED = "created"
    UPDATED = "updated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """One CSV row or JSON object, by column name; `line` is the line of the file on which it begins."""

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """A row that describes a product.

    `origin` is what another shop made it from; `is_derived` is said of its SKU. `product_id` is the id that an export
    has written beside the SKU.
    """

    line: int
    texts: Texts
    origin: Origin | None = None
    is_derived: bool = False
    product_id: str | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a row; `reason` says why it was skipped (never meant as a product), refused or failed.

    `changes` is what differs from the product in the catalogue, by field.
    """

    line: int
    outcome: Outcome
    reason: str
    sku: str = ""
    changes: dict[str, FieldChange] = field(default_factory=dict)


Row = ParsedRow | RowResult


def skipped(line: int, reason: str) -> RowResult:
    """Return a row that was not meant to be a product."""
    return RowResult(line, Outcome.SKIPPED, reason)


def refused(line: int, reason: str, sku: str = "") -> RowResult:
    """Return a row that has a mistake."""
    return RowResult(line, Outcome.REFUSED, reason, sku)
