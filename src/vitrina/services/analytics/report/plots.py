"""The geometry of plots in the units of an SVG view box; the page's template has the style."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_TICKS: Final = 4
_STEPS: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Factors that make a round number from a power of ten."""


class Bar(NamedTuple):
    """A bar: left edge, upper edge, width and height."""

    x: float
    y: float
    width: float
    height: float


class Tick(NamedTuple):
    """A line of the grid and the value that it marks."""

    y: float
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A frame with `slots` values side by side, on a scale from 0 to `top`."""

    width: float
    height: float
    slots: int
    top: int
    left: float = 0
    margin: float = 0

    @property
    def _slot(self) -> float:
        return (self.width - self.left) / max(self.slots, 1)

    def x(self, place: int) -> float:
        """Return the horizontal middle of a slot."""
        return round(self.left + self._slot * (place + 0.5), 1)

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        return round(self.margin + (self.height - self.margin) * (1 - value / max(self.top, 1)), 1)

    def ticks(self) -> list[Tick]:
        """Return the lines of the grid, at a few round numbers."""
        step = max(1, self.top // _TICKS)
        return [Tick(self.y(value), value) for value in range(0, self.top + 1, step)]

    def line(self, values: Sequence[int]) -> str:
        """Return the SVG path through the values."""
        points = [f"{self.x(place)},{self.y(value)}" for place, value in enumerate(values)]
        return "M" + "L".join(points) if points else ""

    def area(self, values: Sequence[int]) -> str:
        """Return the SVG path of the area below the line."""
        if not values:
            return ""
        return f"{self.line(values)}L{self.x(len(values) - 1)},{self.height}L{self.x(0)},{self.height}Z"

    def bar(self, place: int, value: int, *, on: int = 0, gap: float = 0.25) -> Bar:
        """Return the bar of a value, stacked on the value `on`; `gap` is the part of the slot that stays empty."""
        y, base = self.y(on + value), self.y(on)
        width = self._slot * (1 - gap)
        return Bar(round(self.x(place) - width / 2, 1), y, round(width, 1), round(base - y, 1))

    def band(self, place: int) -> Bar:
        """Return a bar that covers a whole slot, as a target for the pointer."""
        return Bar(round(self.left + self._slot * place, 1), 0, round(self._slot, 1), self.height)


def round_top(values: Sequence[int]) -> int:
    """Return a round number, at least the largest of `values`, that `Plot.ticks` divides well."""
    least = max(1, -(-max(values, default=0) // _TICKS))
    magnitude = 10 ** (len(str(least)) - 1)
    steps = (step * magnitude for step in _STEPS)
    return _TICKS * next(int(step) for step in steps if step >= least and step % 1 == 0)


def labelled(slots: int, *, most: int) -> range:
    """Return the slots that get a label: few enough that the labels do not overlap."""
    return range(0, slots, max(1, -(-slots // most)))
