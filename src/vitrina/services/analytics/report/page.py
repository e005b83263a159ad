"""Renders the report page with plots as inline SVG, so that it needs no script, library or network."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from itertools import pairwise
from statistics import fmean
from typing import Any, Final, NamedTuple

import jinja2

from vitrina.services.analytics.report.data import LeaderTrend, ReportData
from vitrina.services.analytics.report.plots import Plot, labelled, round_top

_HOSTS: Final = 12
"""Referrer hosts that have a line of their own; all others share one."""
_CHANGES: Final = 2
"""Price changes of a product that are written out; its line marks all of them."""
_PRECISE: Final = 10
_TEMPLATE: Final = "page.html.jinja"


class _Hour(NamedTuple):
    """The mean views of people and of bots in an hour of the day, over the `days` on which it has passed."""

    people: float
    bots: float
    days: int


class _Change(NamedTuple):
    """A price change: its day, its place on the line, `rise`, `cut` or `other` currency, and both prices."""

    day: date
    x: float
    kind: str
    prices: str


def render(data: ReportData) -> str:
    """Return the page as HTML; every name in it is escaped.

    Today is not over, so averages leave it out. They also leave out days without any view, such as those before the
    shop opened.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "short": _short, "share": _share, "day": _day, "long": _long}
    template = environment.from_string(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    people = [day.total.views for day in data.days]
    visitors = [day.total.unique_visitors for day in data.days]
    bots = [day.total.bots for day in data.days]
    hours = _hours(data)
    leaders = [_leader(leader, data) for leader in data.leaders]
    return template.render(
        data=data,
        today=data.at.date(),
        is_open=data.days[-1].day == data.at.date(),
        finished=[day for day in data.days if day.total.events and day.day < data.at.date()],
        people=people,
        visitors=visitors,
        bots=bots,
        hours=hours,
        referrers=_referrers(data),
        leaders=leaders,
        kinds={change.kind for leader in leaders for change in leader["changes"]},
        busiest=max(data.days, key=lambda day: day.total.views),
        by_day=_plot(people),
        by_kind=_plot([sum(both) for both in zip(people, bots, strict=True)]),
        by_hour=Plot(slots=24, top=round_top([hour.people + hour.bots for hour in hours], whole=False)),
        labels=labelled(len(data.days), most=10),
        few_labels=labelled(len(data.days), most=5),
        mean=fmean,
    )


def _plot(values: Sequence[int]) -> Plot:
    return Plot(slots=len(values), top=round_top(values))


def _hours(data: ReportData) -> list[_Hour]:
    hours: list[_Hour] = []
    for hour in range(24):
        passed = [
            day.hours[hour]
            for day in data.days
            if day.total.events and (day.day < data.at.date() or hour < data.at.hour)
        ]
        people, bots = sum(views.people for views in passed), sum(views.bots for views in passed)
        days = len(passed)
        hours.append(_Hour(people / max(1, days), bots / max(1, days), days))
    return hours


def _referrers(data: ReportData) -> list[dict[str, Any]]:
    """Return the lines of the referrer table, most frequent host first, other hosts and no referrer last."""
    hosts: Counter[str] = Counter()
    for day in data.days:
        hosts.update(dict(day.referrers))
    named = sorted(hosts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(number for _, number in named[_HOSTS:]) + sum(day.other for day in data.days)
    lines = [(host, number, "host") for host, number in named[:_HOSTS]]
    lines += [("other hosts", rest, "rest")] if rest else []
    if direct := sum(day.direct for day in data.days):
        lines.append(("no referrer", direct, "rest"))
    total = sum(number for _, number, _ in lines)
    most = max((number for _, number, _ in lines), default=1)
    return [
        {"name": name, "views": number, "kind": kind, "share": _share(number, total), "width": 100 * number / most}
        for name, number, kind in lines
    ]


def _leader(leader: LeaderTrend, data: ReportData) -> dict[str, Any]:
    plot = Plot(slots=len(leader.trend), top=max(leader.trend, default=0))
    changes: list[_Change] = []
    for after, before in pairwise(leader.prices):
        day, same = after.since.date(), after.currency == before.currency
        if data.period.first <= day <= data.period.last:
            kind = ("rise" if after.price > before.price else "cut") if same else "other"
            old = f"{before.price}" if same else f"{before.price} {before.currency}"
            x = plot.x((day - data.period.first).days)
            changes.append(_Change(day, x, kind, f"{old} \N{RIGHTWARDS ARROW} {after.price} {after.currency}"))
    return {
        "product": leader.product,
        "counts": leader.counts,
        "plot": plot,
        "trend": leader.trend,
        "changes": changes,
        "written": changes[:_CHANGES],
    }


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _number(value: float) -> str:
    """Write a number; an average below `_PRECISE` has up to two decimals."""
    return f"{value:,.0f}" if value >= _PRECISE else f"{value:.2f}".rstrip("0").rstrip(".")


def _short(value: float) -> str:
    """Write a round number in the space beside a plot."""
    for least, size, unit in ((1_000_000, 1_000_000, "M"), (10_000, 1_000, "k")):
        if value >= least:
            return f"{value / size:,g} {unit}"
    return _number(value)


def _day(value: date) -> str:
    return f"{value.day} {value:%b}"


def _long(value: date) -> str:
    return f"{value.day} {value:%B %Y}"
