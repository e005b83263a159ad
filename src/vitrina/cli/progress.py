"""The progress line of long commands: on standard error, and only when that is a terminal.

with progress() as display:
    task = display.add_task("Exporting", total=30, unit="days")
    display.update(task, advance=1, detail="1,200 events")   # `unit` and `detail` are optional
"""

from rich.console import Console
from rich.progress import BarColumn, GetTimeCallable, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Count(ProgressColumn):
    """Steps done and steps in all with their unit, the rate if it is one a second or more, and the detail."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{int(task.total):,}"
        count = f"{int(task.completed):,}{total} {task.fields.get('unit', '')}".rstrip()
        speed = task.finished_speed or task.speed or 0
        rate = f"{speed:,.0f}/s" if speed >= 1 else ""
        return Text(", ".join(filter(None, (count, rate, task.fields.get("detail")))))


def progress(*, clock: GetTimeCallable | None = None) -> Progress:
    """Return a display for any number of tasks; each shows its steps, their rate and the time that is left."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), _Count(), TimeRemainingColumn())
    return Progress(*columns, console=console, get_time=clock, transient=True, disable=not console.is_terminal)
