"""The progress line of long commands."""

from rich.console import Console

from vitrina.cli.progress import progress


def shown(*, total: int | None, unit: str = "", detail: str = "") -> str:
    """Return the line of a task of which 50 steps are done, 10 every second."""
    seconds = iter(range(100))
    display = progress(clock=lambda: float(next(seconds)))
    number = display.add_task("Writing", total=total, unit=unit, detail=detail)
    for _ in range(5):
        display.update(number, advance=10)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(display.get_renderable())
    return captured.get()


def test_a_line_shows_count_unit_rate_and_detail() -> None:
    assert "50/1,000 days, 10/s, 7 events" in shown(total=1_000, unit="days", detail="7 events")


def test_a_total_that_is_unknown_is_left_out() -> None:
    assert "50 items, 10/s" in shown(total=None, unit="items")


def test_no_rate_is_shown_before_there_is_one() -> None:
    display = progress()
    display.add_task("Writing", total=100)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(display.get_renderable())
    assert "0/100" in captured.get()
    assert "/s" not in captured.get()


def test_nothing_is_shown_unless_standard_error_is_a_terminal() -> None:
    with progress() as display:
        display.add_task("Writing", total=1)
    assert display.disable
