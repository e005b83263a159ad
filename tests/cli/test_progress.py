"""How far a long command has come."""

import io

from rich.console import Console

from vitrina.cli.progress import Rate, progress


def test_a_rate_is_shown_once_there_is_one() -> None:
    """By the display's own clock."""
    time = iter(range(100))
    with progress() as display:
        display.get_time = lambda: float(next(time))
        number = display.add_task("Writing", total=100)
        (task,) = display.tasks
        assert Rate().render(task).plain == ""
        for _ in range(5):
            display.update(number, advance=10)
        assert Rate().render(task).plain.endswith("/s")


def test_nothing_is_shown_to_a_pipe() -> None:
    """The display is for a person who watches."""
    with progress() as display:
        display.add_task("Writing", total=1)
    assert display.disable
    assert Console(file=io.StringIO()).is_terminal is False
