"""Pages of a listing."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")
DEFAULT_LIMIT: Final = 25
MAX_LIMIT: Final = 100

Position = dict[str, str]
"""The position at which a page ended: the key attributes of its last item, by name."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page, full unless it is the last; `next` is where the following page starts, or None."""

    items: list[T]
    next: Position | None
