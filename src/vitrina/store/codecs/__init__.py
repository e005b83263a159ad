"""Conversions between the domain's entities and their items, one module for each family.

What is no entity of the domain (a lease, a stored response, an entry of the ledger) is converted by its own store.
"""

from dataclasses import fields
from typing import Any

from vitrina.store.items import Item


def attributes(item: Item, entity: type) -> dict[str, Any]:
    """Return the attributes of an item that have the names of the fields of `entity`, a dataclass."""
    return {field.name: getattr(item, field.name) for field in fields(entity)}
