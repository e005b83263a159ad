"""The report page: self-contained, escaped, and correct in its geometry."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, strategies as st

from tests.store.samples import product
from vitrina.domain.reports import Counts, DaySummary, HourViews, Period
from vitrina.services.analytics.report.data import LeaderTrend, ReportData
from vitrina.services.analytics.report.page import render
from vitrina.services.analytics.report.plots import Plot, labelled, round_top

MADE_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def day(number: int, *, views: int = 10, bots: int = 5, **fields: object) -> DaySummary:
    quiet = DaySummary(
        day=date(2026, 11, number),
        total=Counts(views, views // 2, bots),
        products=3,
        hours=[HourViews(views, bots), *[HourViews(0, 0)] * 23],
        referrers=[],
        direct=views,
        other=0,
    )
    return replace(quiet, **fields)  # type: ignore[arg-type]


def report(*days: DaySummary, leaders: list[LeaderTrend] | None = None) -> ReportData:
    return ReportData(period=Period(days[0].day, days[-1].day), days=days, leaders=leaders or [])


class _Page(HTMLParser):
    """Checks that tags are closed in order, and collects text and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_a_page_is_self_contained() -> None:
    """It is well-formed, has no script, loads nothing, and its policy allows nothing to be loaded."""
    shown = product(name="Oak Lamp")
    leaders = [LeaderTrend(product=shown, counts=Counts(7, 5), trend=[3, 4])]
    text = render(report(day(1), day(2, referrers=[("a.example", 6)], direct=4), leaders=leaders), made_at=MADE_AT)
    page = _Page(text)
    assert page.open == []
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "onload", "xlink:href"}
    assert "<script" not in text
    assert "url(" not in text
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    for expected in ("Oak Lamp", "a.example", "no referrer", "20", "33.3 % of all views", "1 Nov", "10 a day"):
        assert expected in page.text, expected


def test_a_deleted_product_is_shown_with_its_original_sku() -> None:
    gone = product(sku="OAK-1").deleted(by="somebody", at=MADE_AT)
    text = render(report(day(1), leaders=[LeaderTrend(product=gone, counts=Counts(1, 1), trend=[1])]), made_at=MADE_AT)
    assert "OAK-1 · deleted" in text
    assert "_delete_" not in text


def test_names_and_hosts_are_escaped() -> None:
    nasty = "<script>alert('x')</script>\"&"
    shown = product(name=nasty, brand=nasty)
    leaders = [LeaderTrend(product=shown, counts=Counts(1, 1), trend=[1])]
    text = render(report(day(1, referrers=[(nasty, 2)]), leaders=leaders), made_at=MADE_AT)
    assert "<script" not in text
    assert _Page(text).text.count(nasty) == 2


def test_a_page_without_views_says_so() -> None:
    hours = [HourViews(0, 0)] * 24
    text = render(report(*(day(number, views=0, bots=0, direct=0, hours=hours) for number in (1, 2))), made_at=MADE_AT)
    page = _Page(text)
    assert page.open == []
    assert "Nobody has looked at a product in these days." in page.text
    assert "No views, so no referrers." in page.text
    assert "nan" not in text


def test_less_frequent_hosts_share_one_line() -> None:
    """That line includes the hosts that the rollups do not name."""
    hosts = [(f"host-{number:02}.example", 50 - number) for number in range(20)]
    page = _Page(render(report(day(1, referrers=hosts, direct=0, other=3)), made_at=MADE_AT))
    assert "host-11.example" in page.text
    assert "host-12.example" not in page.text
    assert page.text[page.text.index("other hosts") :].count(f"{sum(n for _, n in hosts[12:]) + 3:,}") == 1


def test_a_long_period_has_no_dots_and_few_labels() -> None:
    days = [replace(day(1), day=date.fromordinal(date(2026, 1, 1).toordinal() + number)) for number in range(366)]
    text = render(report(*days), made_at=MADE_AT)
    assert "<circle" not in text
    assert len(re.findall(r">\d+ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)</text>", text)) <= 18


@given(st.lists(st.integers(min_value=0, max_value=10**9)))
def test_a_scale_ends_at_a_round_number_above_all_values(values: list[int]) -> None:
    top = round_top(values)
    assert top % 4 == 0
    assert max(values, default=0) <= top <= max(4, 2 * max(values, default=0) + 4)
    assert len(Plot(width=10, height=10, slots=1, top=top).ticks()) == 5


@pytest.mark.parametrize(("slots", "most", "expected"), [(5, 10, 5), (30, 10, 10), (366, 6, 6), (1, 6, 1)])
def test_a_few_slots_including_the_first_are_labelled(slots: int, most: int, expected: int) -> None:
    places = labelled(slots, most=most)
    assert (places[0], len(places)) == (0, expected)


def test_a_plot_puts_values_side_by_side() -> None:
    plot = Plot(width=110, height=50, slots=2, top=40, left=10, margin=10)
    assert [plot.x(0), plot.x(1)] == [35, 85]
    assert [plot.y(0), plot.y(20), plot.y(40)] == [50, 30, 10]
    assert plot.line([0, 40]) == "M35.0,50.0L85.0,10.0"
    assert plot.area([0, 40]) == "M35.0,50.0L85.0,10.0L85.0,50L35.0,50Z"
    assert (plot.line([]), plot.area([])) == ("", "")
    assert plot.bar(1, 20, on=20, gap=0) == (60, 10, 50, 20)
    assert plot.band(0) == (10, 0, 50, 50)
