"""Renders the report page with plots as inline SVG, so that it needs no script, library or network."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from importlib.resources import files
from typing import Any, Final

import jinja2

from vitrina.services.analytics.report.data import LeaderTrend, ReportData
from vitrina.services.analytics.report.plots import Plot, labelled, round_top

_HOSTS: Final = 12
"""Referrer hosts that have a line of their own; all others share one."""
_WHOLE: Final = 960
_HALF: Final = 450
"""Widths of plots; a unit is about a pixel of a large screen."""
_TEMPLATE: Final = "page.html.jinja"


def render(data: ReportData, *, made_at: datetime) -> str:
    """Return the page as HTML; every name in it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "day": _day}
    template = environment.from_string(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    people = [day.total.views for day in data.days]
    bots = [day.total.bots for day in data.days]
    return template.render(
        period=data.period,
        made_at=made_at.strftime("%d %B %Y, %H:%M UTC"),
        days=data.days,
        people=people,
        visitors=[day.total.unique_visitors for day in data.days],
        bots=bots,
        bot_share=_share(sum(bots), sum(bots) + sum(people)),
        hours=_hours(data),
        referrers=_referrers(data),
        leaders=[_leader(leader, data) for leader in data.leaders],
        busiest=max(data.days, key=lambda day: day.total.views),
        by_day=_plot(people, len(data.days)),
        by_kind=_plot([sum(both) for both in zip(people, bots, strict=True)], len(data.days), width=_HALF),
        by_hour=_plot([sum(hour) for hour in _hours(data)], 24, width=_HALF),
        labels=labelled(len(data.days), most=10),
        few_labels=labelled(len(data.days), most=6),
    )


def _plot(values: Sequence[int], slots: int, *, width: int = _WHOLE) -> Plot:
    return Plot(width=width, height=220, left=52, margin=12, slots=slots, top=round_top(values))


def _hours(data: ReportData) -> list[tuple[int, int]]:
    return [
        (sum(day.hours[hour].people for day in data.days), sum(day.hours[hour].bots for day in data.days))
        for hour in range(24)
    ]


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
    spark = Plot(width=160, height=28, margin=3, slots=len(leader.trend), top=max(leader.trend, default=0))
    return {
        "product": leader.product,
        "counts": leader.counts,
        "width": 100 * leader.counts.views / data.leaders[0].counts.views,
        "line": spark.line(leader.trend),
        "area": spark.area(leader.trend),
        "end": (spark.x(len(leader.trend) - 1), spark.y(leader.trend[-1])),
    }


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _number(value: int) -> str:
    return f"{value:,}"


def _day(value: date) -> str:
    return f"{value.day} {value:%b}"
