"""The report page: self-contained, escaped, and correct in its geometry."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given, strategies as st

from tests.store.samples import product
from vitrina.domain.products import PricePeriod, Product
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


def report(*days: DaySummary, at: datetime = MADE_AT, leaders: Sequence[LeaderTrend] = ()) -> ReportData:
    return ReportData(period=Period(days[0].day, days[-1].day), at=at, days=days, leaders=leaders)


def leader(shown: Product, *prices: tuple[str, str, datetime], trend: Sequence[int] = (3, 4)) -> LeaderTrend:
    """Return a product with its prices, oldest first: amount, currency, and when it took effect."""
    periods = [
        PricePeriod(price=Decimal(price), currency=currency, since=since, until=None)
        for price, currency, since in reversed(prices)
    ]
    return LeaderTrend(product=shown, counts=Counts(sum(trend), 2), trend=trend, prices=periods)


class _Page(HTMLParser):
    """Checks that tags are closed in order, and collects texts, attributes by element, and the rows of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    @property
    def attributes(self) -> list[tuple[str, str]]:
        return [attribute for _, attributes in self.elements for attribute in attributes.items()]

    def row(self, first: str) -> list[str]:
        """Return the texts of the row that begins with `first`."""
        (found,) = (row for row in self.rows if row[0] == first)
        return found

    def after(self, text: str) -> str:
        """Return the text that follows another."""
        texts = list(filter(None, self.text))
        return texts[texts.index(text) + 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())
        if data.strip() and "tr" in self.open:
            self.rows[-1].append(data.strip())


def test_a_page_is_self_contained() -> None:
    """It is well-formed, has no script, loads nothing, and its policy allows nothing to be loaded."""
    leaders = [leader(product(name="Oak Lamp"))]
    text = render(report(day(1), day(2, referrers=[("a.example", 6)], direct=4), leaders=leaders))
    page = _Page(text)
    assert page.open == []
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "onload", "xlink:href"}
    assert "<script" not in text
    assert "url(" not in text
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    for expected in ("Oak Lamp", "a.example", "no referrer", "20 in all", "33.3 %", "1 Nov"):
        assert expected in page.text, expected


def test_averages_leave_out_today_and_days_without_views() -> None:
    """Today is named as not over, and its values are drawn as rings and pale bars."""
    empty = DaySummary(day=date(2026, 11, 21), total=Counts())
    text = render(report(empty, day(22, views=100), day(23, views=200, bots=0), day(24, views=7)))
    page = _Page(text)
    assert (page.after("Views a day"), page.after("Visitors a day")) == ("150", "75")
    assert "Averages are over the finished days with views: 2." in page.text
    assert (
        "24 Nov is not over: it is counted until 12:00, drawn as a ring or a pale bar, and left out of averages."
        in (page.text)
    )
    assert page.row("2026-11-24")[:3] == ["2026-11-24", "until 12:00", "7"]
    classes = [attributes.get("class", "") for _, attributes in page.elements]
    assert {"dots ring people", "dots ring visitors", "people open", "bots open"} <= set(classes)


def test_days_that_may_lack_late_views_are_named() -> None:
    data = replace(report(day(21), day(22), day(23)), incomplete=[date(2026, 11, 21), date(2026, 11, 23)])
    assert any(
        text.startswith("21 Nov, 23 Nov: these days may have had more views") for text in _Page(render(data)).text
    )


def test_a_report_of_past_days_has_no_unfinished_day() -> None:
    text = render(report(day(22), day(23)))
    assert "not over" not in text
    assert "may have had more" not in text
    assert 'class="people open"' not in text
    assert 'class="dots ring' not in text


def test_a_report_of_today_alone_has_no_averages() -> None:
    page = _Page(render(report(day(24))))
    assert (page.after("Views a day"), page.after("Visitors a day")) == ("\N{EN DASH}", "\N{EN DASH}")
    assert page.after("Busiest day") == "24 Nov"
    assert "No day with views has finished yet, so there are no averages." in page.text


def test_the_average_of_an_hour_is_over_the_days_on_which_it_has_passed() -> None:
    """The current hour of today has not passed; a day without views does not lower the average."""
    empty = DaySummary(day=date(2026, 11, 21), total=Counts())
    days = (day(number, hours=[HourViews(6, 1)] * 24) for number in (22, 23))
    hours = [*[HourViews(9, 1)] * 12, HourViews(2, 0), *[HourViews(0, 0)] * 11]
    page = _Page(render(report(empty, *days, day(24, hours=hours))))
    assert page.row("11:00") == ["11:00", "7", "1", "3"]
    assert page.row("12:00") == ["12:00", "6", "1", "2"]
    assert page.row("23:00") == ["23:00", "6", "1", "2"]
    page = _Page(render(report(day(24, hours=hours))))
    assert [page.row(f"{hour}:00")[1:] for hour in (11, 12, 23)] == [["9", "1", "1"], ["0", "0", "0"], ["0", "0", "0"]]


def test_price_changes_are_marked_on_the_line_of_their_product() -> None:
    """The latest two are written out; the first price and changes before the period are no marks."""
    prices = [
        ("1", "USD", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2.00", "USD", datetime(2026, 10, 31, 23, 59, tzinfo=UTC)),
        ("3.00", "USD", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2.50", "USD", datetime(2026, 11, 2, 23, tzinfo=UTC)),
        ("2.70", "EUR", datetime(2026, 11, 4, 12, tzinfo=UTC)),
    ]
    days = [day(number) for number in range(1, 5)]
    page = _Page(render(report(*days, leaders=[leader(product(), *prices, trend=[1, 2, 3, 4])])))
    marks = [
        (attributes["class"], attributes["style"])
        for tag, attributes in page.elements
        if tag == "i" and "style" in attributes
    ]
    assert marks == [("mark other", "left: 87.5%"), ("mark cut", "left: 37.5%"), ("mark rise", "left: 12.5%")]
    written = [text for text in page.text if "→" in text]
    assert written == ["4 Nov: 2.50 USD → 2.70 EUR", "2 Nov: 3.00 → 2.50 USD"]
    assert "and 1 earlier" in page.text
    assert {"price raised", "price cut", "other currency"} <= set(page.text)
    plain = render(report(*days, leaders=[leader(product(), prices[0], trend=[1, 2, 3, 4])]))
    assert "price raised" not in plain


def test_plots_have_a_text_and_tables_have_a_caption() -> None:
    """A screen reader is told what a plot shows and finds its numbers in a table (WCAG 2.2, 1.1.1 and 1.3.1)."""
    page = _Page(render(report(day(1), day(2), leaders=[leader(product())])))
    plots = [attributes for tag, attributes in page.elements if tag == "svg" and "role" in attributes]
    assert [bool(plot["aria-label"]) for plot in plots] == [True] * 3
    tags = [tag for tag, _ in page.elements]
    assert tags.count("caption") == tags.count("table") == 4
    assert all(attributes.get("scope") == "col" for tag, attributes in page.elements if tag == "th")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_enough_contrast(scheme: str) -> None:
    """4.5 to 1 for text, 3 to 1 for lines and bars (WCAG 2.2, 1.4.3 and 1.4.11)."""
    text = render(report(day(1)))
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root {(.*?)}", text, re.DOTALL)[:2]
    )
    colours = light if scheme == "light" else dark
    assert len(colours) == 10
    for ground in ("page", "card"):
        for name, least in {
            "ink": 4.5,
            "soft": 4.5,
            "people": 3,
            "visitors": 3,
            "bots": 3,
            "rise": 3,
            "cut": 3,
        }.items():
            assert contrast(colours[name], colours[ground]) >= least, (name, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours such as `#1d1c1a` (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_deleted_product_is_shown_with_its_original_sku() -> None:
    gone = product(sku="OAK-1").deleted(by="somebody", at=MADE_AT)
    text = render(report(day(1), leaders=[leader(gone, trend=[1])]))
    assert "OAK-1 · deleted" in text
    assert "_delete_" not in text


def test_names_and_hosts_are_escaped() -> None:
    nasty = "<script>alert('x')</script>\"&"
    leaders = [leader(product(name=nasty, brand=nasty), trend=[1])]
    text = render(report(day(1, referrers=[(nasty, 2)]), leaders=leaders))
    assert "<script" not in text
    assert _Page(text).text.count(nasty) == 2


def test_a_page_without_views_says_so() -> None:
    hours = [HourViews(0, 0)] * 24
    text = render(report(*(day(number, views=0, bots=0, direct=0, hours=hours) for number in (1, 2))))
    page = _Page(text)
    assert page.open == []
    assert "Nobody has viewed a product in these days." in page.text
    assert "No views, so no referrers." in page.text
    assert "nan" not in text


def test_less_frequent_hosts_share_one_line() -> None:
    """That line includes the hosts that the rollups do not name."""
    hosts = [(f"host-{number:02}.example", 50 - number) for number in range(20)]
    page = _Page(render(report(day(1, referrers=hosts, direct=0, other=3))))
    assert "host-11.example" in page.text
    assert "host-12.example" not in page.text
    assert page.text[page.text.index("other hosts") :].count(f"{sum(n for _, n in hosts[12:]) + 3:,}") == 1


def test_large_numbers_fit_beside_a_plot() -> None:
    """In thousands and millions; the table has all digits."""
    page = _Page(render(report(day(1, views=34_000), day(2, views=3_400_000))))
    assert page.text[page.text.index("1 M") - 1 :][:5] == ["0", "1 M", "2 M", "3 M", "4 M"]
    assert page.row("2026-11-02")[1] == "3,400,000"
    assert "40 k" in _Page(render(report(day(1, views=34_000)))).text


def test_a_long_period_has_no_dots_and_few_labels() -> None:
    days = [replace(day(1), day=date.fromordinal(date(2025, 11, 24).toordinal() + number)) for number in range(366)]
    text = render(report(*days))
    assert 'class="dots' not in text.replace('class="dots ring', "").replace('class="dots hole', "")
    assert len(re.findall(r">\d+ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)</span>", text)) <= 18


@given(st.lists(st.integers(min_value=0, max_value=10**9)))
def test_a_scale_ends_at_a_round_number_above_all_values(values: list[int]) -> None:
    top = round_top(values)
    assert top % 4 == 0
    assert max(values, default=0) <= top <= max(4, 2 * max(values, default=0) + 4)
    assert len(Plot(slots=1, top=top).ticks()) == 5


@pytest.mark.parametrize(("highest", "top"), [(0, 0.4), (0.1, 0.4), (0.5, 0.6), (3, 3.2), (3.3, 4), (7, 8), (77, 80)])
def test_a_scale_of_averages_fits_small_values(highest: float, top: float) -> None:
    assert round_top([highest], whole=False) == pytest.approx(top)


@pytest.mark.parametrize(("slots", "most", "expected"), [(5, 10, 5), (30, 10, 10), (366, 6, 6), (1, 6, 1)])
def test_a_few_slots_including_the_first_are_labelled(slots: int, most: int, expected: int) -> None:
    places = labelled(slots, most=most)
    assert (places[0], len(places)) == (0, expected)


def test_a_plot_puts_values_side_by_side() -> None:
    """In percent of its frame, whose origin is the upper left corner."""
    plot = Plot(slots=2, top=40)
    assert [plot.x(0), plot.x(1)] == [25, 75]
    assert [plot.y(0), plot.y(20), plot.y(40)] == [100, 50, 0]
    assert plot.line([0, 40]) == "M25.0,100.0L75.0,0.0"
    assert plot.area([0, 40]) == "M25.0,100.0L75.0,0.0L75.0,100L25.0,100Z"
    assert (plot.line([]), plot.area([])) == ("", "")
    assert plot.bar(1, 20, on=20, gap=0) == (50, 0, 50, 50)
    assert Plot(slots=1, top=0).y(0) == 100
