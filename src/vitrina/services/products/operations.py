"""The operations of a batch, and which of them must be done one after the other."""

from collections.abc import Callable, Mapping, Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple, Self

from vitrina.domain.products import Product, ProductDraft, is_sku
from vitrina.domain.text import fold
from vitrina.domain.versions import Expected
from vitrina.errors import ValidationFailed
from vitrina.store.idempotency import StoredResponse


class Name(NamedTuple):
    """What names a product: its id, or a SKU in its folded form; a text that is neither names none."""

    kind: Literal["id", "sku"]
    text: str

    @classmethod
    def of_sku(cls, sku: str) -> Self:
        """Return the name that is a SKU; what is no SKU stays as it is, since folded it could become one."""
        return cls("sku", fold(sku) if is_sku(sku) else sku)


@dataclass(frozen=True, slots=True)
class Upsert:
    """Creates or replaces the product with a SKU."""

    draft: ProductDraft
    expected: Expected = None

    @property
    def name(self) -> Name:
        """The product that it writes."""
        return Name.of_sku(self.draft.sku)

    @property
    def names(self) -> AbstractSet[Name]:
        """All products that it names."""
        return {self.name}


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes fields of a product."""

    name: Name
    fields: Mapping[str, Any]
    expected: Expected = None

    @property
    def names(self) -> AbstractSet[Name]:
        """All products that it names; the SKU that it claims may be another's."""
        return {self.name, *(Name.of_sku(sku) for sku in (self.fields.get("sku"),) if sku is not None)}


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a product softly."""

    name: Name
    expected: Expected = None

    @property
    def names(self) -> AbstractSet[Name]:
        """All products that it names."""
        return {self.name}


@dataclass(frozen=True, slots=True)
class Invalid:
    """An operation that cannot be done, because its fields are not valid."""

    error: ValidationFailed


Valid = Upsert | Patch | Delete
Operation = Valid | Invalid


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation made: the product, None for a deletion, and whether it is new."""

    product: Product | None = None
    created: bool = False


Respond = Callable[[int, Done | Exception], StoredResponse]
"""Renders the result of the operation at a position, the same each time; of an unexpected exception it says nothing."""


def in_order(names: Mapping[int, AbstractSet[Name]]) -> list[list[int]]:
    """Return the numbers in groups, each in order: those that have a name in common, directly or through others."""
    groups: list[tuple[AbstractSet[Name], list[int]]] = []
    for number, own in names.items():
        joined = [group for group in groups if not group[0].isdisjoint(own)]
        groups = [group for group in groups if group[0].isdisjoint(own)]
        numbers = sorted(chain([number], *(group[1] for group in joined)))
        groups.append((frozenset(own).union(*(group[0] for group in joined)), numbers))
    return [numbers for _, numbers in groups]
