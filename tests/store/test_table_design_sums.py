"""The arithmetic of table_design.md: the throughput of partitions, and the cost of routes and views (R15)."""

import math
import re
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.store.design.capacity import item_size
from tests.store.design.cells import PAGE, number_of, rows
from tests.store.design.page import ROUTES
from vitrina.domain.views import MOST_IN_SEGMENT, View
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.views import ViewStore


def _price(unit: str) -> float:
    match = re.search(rf"`\$([\d.]+)`\s+a\s+million\s+{unit}\s+units", PAGE)
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize(
    "cells", [cells for _, cells in rows("route or command", "RCU", "WCU", "$ a million")], ids=lambda it: str(it[0])
)
def test_a_routes_price_follows_from_its_units(cells: list[str]) -> None:
    """The units are those of the table of routes."""
    route = ROUTES[cells[0].replace("`", "")]
    assert (cells[1], cells[2]) == (route.read_units, route.write_units)
    dollars = float(cells[1]) * _price("read") + float(cells[2]) * _price("write")
    assert cells[3] == f"{dollars + 1e-9:.2f}"


@pytest.mark.parametrize(
    "cells",
    [cells for _, cells in rows("key", "where", "a second", "one call takes", "calls a second")],
    ids=lambda it: f"{it[0]} {it[3]}",
)
def test_a_partitions_throughput_is_its_limit_divided_by_the_cost(cells: list[str]) -> None:
    """Rounded down."""
    limit = {"RCU": 3_000, "WCU": 1_000}[cells[2].split()[1]]
    assert number_of(cells[2]) == limit
    assert number_of(cells[4]) == math.floor(limit / float(cells[3].partition(",")[0]))


VIEWS_HEADER = (
    "views in a flush", "WCU, one product", "WCU a view", "$ a million views", "MB a million",
    "WCU, many products", "WCU a view", "$ a million views", "MB a million",
)  # fmt: skip


@pytest.mark.parametrize("cells", [cells for _, cells in rows(*VIEWS_HEADER)], ids=lambda it: str(it[0]))
def test_views_cost_what_the_formula_says(cells: list[str]) -> None:
    """One product by the segments that the code makes; many by a binomial distribution over shards unless mixed."""
    views, price = int(cells[0]), _price("write")
    one = sum(map(_units, _segment_sizes([new_id()] * views)))
    many = keys.VIEW_SHARDS * sum(
        math.comb(views, k) * 7 ** (views - k) / 8**views * _units(76 + 35 * k) for k in range(1, views + 1)
    )
    segments = keys.VIEW_SHARDS * (1 - (7 / 8) ** views)  # Shards without views have no segment.
    bare = 76
    if 2 * (mixed := _units(82 + 35 * views)) <= many:
        many, segments, bare = mixed, 1, 82
    assert cells[1:4] == [str(one), f"{one / views + 1e-9:.3f}", f"{one / views * price + 1e-9:.2f}"]
    bare_one = 82 if views > 1 and _units(82 + 35 * views) == 1 else 76
    assert cells[4] == f"{(bare_one + 100) / views + 35 + 1e-9:.1f}"
    assert cells[5:8] == [f"{many:.2f}", f"{many / views + 1e-9:.3f}", f"{many / views * price + 1e-9:.2f}"]
    assert cells[8] == f"{segments / views * (bare + 100) + 35 + 1e-9:.1f}"


def test_a_segment_is_as_large_as_the_formula_says() -> None:
    """76 bytes, six more if it is mixed, and 35 for each view."""
    for views in (1, 27, MOST_IN_SEGMENT):
        assert _segment_sizes([new_id()] * views) == [76 + 35 * views]
    for views in (2, 26):
        assert _segment_sizes([new_id()] * views) == [82 + 35 * views]
    many = [new_id() for _ in range(90)]
    assert _segment_sizes(many) == [82 + 35 * 90]
    assert _units(76 + 35 * 27) == 1 < _units(76 + 35 * 28)
    for figure in ("76 + 35 n", f"{MOST_IN_SEGMENT} at most ({76 + 35 * MOST_IN_SEGMENT:,} bytes)"):
        assert figure in " ".join(PAGE.split())


def _segment_sizes(product_ids: Sequence[str]) -> list[int]:
    store = ViewStore(cast("Any", None))  # Nothing is stored.
    views = [View(product_id, 0, bytes(12), None, bot=False) for product_id in product_ids]
    return [item_size(segment.serialize()) for segment in store.segments(views)]


def _units(size: int) -> int:
    return math.ceil(size / 1024)
