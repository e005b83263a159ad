"""The geometry of plots in percent of their frame, so that lines stretch with the page and labels keep their size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_TICKS: Final = 4
_STEPS: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Factors that make a round number from a power of ten."""
_LEAST_STEP: Final = 0.1


class Bar(NamedTuple):
    """A bar: left edge, upper edge, width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A frame with `slots` values side by side, on a scale from 0 to `top`."""

    slots: int
    top: float

    def x(self, place: int) -> float:
        """Return the horizontal middle of a slot."""
        return round(100 * (place + 0.5) / self.slots, 2)

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        return round(100 * (1 - value / self.top), 2) if self.top else 100.0

    def ticks(self) -> list[float]:
        """Return the values of the grid's lines, which are round numbers."""
        return [self.top * number / _TICKS for number in range(_TICKS + 1)]

    def line(self, values: Sequence[float]) -> str:
        """Return the SVG path through the values."""
        points = [f"{self.x(place)},{self.y(value)}" for place, value in enumerate(values)]
        return f"M{'L'.join(points)}" if points else ""

    def area(self, values: Sequence[float]) -> str:
        """Return the SVG path of the area below the line."""
        return f"{self.line(values)}L{self.x(len(values) - 1)},100L{self.x(0)},100Z" if values else ""

    def bar(self, place: int, value: float, *, on: float = 0, gap: float = 0.25) -> Bar:
        """Return the bar of a value, stacked on the value `on`; `gap` is the part of the slot that stays empty."""
        y, width = self.y(on + value), 100 * (1 - gap) / self.slots
        return Bar(round(self.x(place) - width / 2, 2), y, round(width, 2), round(self.y(on) - y, 2))


def round_top(values: Sequence[float], *, whole: bool = True) -> float:
    """Return a number, at least the largest of `values`, that `Plot.ticks` divides into round (or `whole`) numbers."""
    least = max(1 if whole else _LEAST_STEP, max(values, default=0) / _TICKS)
    magnitude = 10.0 ** math.floor(math.log10(least))
    steps = (step * magnitude for step in _STEPS)
    return _TICKS * next(step for step in steps if step >= least and (not whole or step.is_integer()))


def labelled(slots: int, *, most: int) -> range:
    """Return the slots that get a label: few enough that the labels do not overlap."""
    return range(0, slots, max(1, -(-slots // most)))
