"""`vitrina prices export`: each price that was in force."""

from datetime import date, datetime

import click

from vitrina.bootstrap import Services, open_place
from vitrina.cli import example
from vitrina.cli.exporting import (
    STANDARD_OUTPUT,
    TRIES,
    check_order,
    exporting,
    format_option,
    last_day,
    out_option,
    to_standard_output,
)
from vitrina.cli.progress import progress
from vitrina.cli.running import DAY, PATIENCE, json_option, load_settings, print_result, run
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import Format, Period
from vitrina.services.exports.prices import PRICES, PriceExporter


@click.command(epilog=example("vitrina prices export --out exports"))
@click.option("--from", "first", type=DAY, help="First day, UTC.  [default: the beginning]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: today]")
@format_option
@out_option
@json_option
def export(first: datetime | None, last: datetime | None, form: Format, out: str, *, as_json: bool) -> None:
    """Write each price that was in force on these days, one row a price, as one file in the folder `prices`.

    `valid_to` is empty for a price that is in force. A deletion ends a product's price, and a restoration begins one.
    Join views with prices on `product_id`, where `event_time` is not before `valid_from` and before `valid_to`. A
    second run replaces the file.
    """
    until = last_day(last and last.date())
    since = first.date() if first else date.min
    check_order(since, until)
    period = Period(since, until) if first or last else None
    with exporting(out, form, as_json=as_json):
        run(_export(load_settings(), period, form, out, as_json=as_json))


async def _export(settings: Settings, period: Period | None, form: Format, out: str, *, as_json: bool) -> None:
    async with Services(settings, patient=PATIENCE) as services:
        with progress() as display:
            task = display.add_task("Exporting", total=None, unit="products")
            exporter = PriceExporter(
                services.product_listings, tries=TRIES, report=lambda done: display.update(task, completed=done)
            )
            if out == STANDARD_OUTPUT:
                await to_standard_output(exporter.stream(form, period))
                return
            async with open_place(settings, out, PRICES) as place:
                await exporter.export(place, form, period, at=now())
    text = f"{out}: {exporter.rows:,} prices of {exporter.products:,} products"
    print_result({"out": out, "prices": exporter.rows, "products": exporter.products}, text, as_json=as_json)
