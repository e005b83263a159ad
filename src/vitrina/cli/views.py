"""`vitrina views`: what is to be done with the history of views."""

from typing import Final

from vitrina.cli import LazyGroup

views: Final = LazyGroup(
    name="views",
    help="Roll the history of views up, export it, and tell what it says.",
    commands={
        "rollup": ("vitrina.cli.view_reports:rollup", "Count closed days once, for reports to read."),
        "export": ("vitrina.cli.view_export:export", "Write it out: one row per event."),
        "report": ("vitrina.cli.view_reports:report", "Write a page of plots."),
    },
)
