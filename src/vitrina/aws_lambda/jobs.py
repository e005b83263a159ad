"""The daily jobs as Lambda functions on a schedule: the commands of `vitrina`, for days that take less than 15 minutes.

A failure is raised, so that Lambda tries again; each job continues where the last run has stopped. A larger
catalogue runs the same commands as a task of ECS.
"""

from collections.abc import Mapping

import click

from vitrina.cli import price_export, view_export, view_reports


def rollup(_event: Mapping[str, str], _context: object) -> None:
    """Roll up the closed days: `vitrina views rollup`."""
    _run(view_reports.rollup, "--json")


def export(event: Mapping[str, str], _context: object) -> None:
    """Export the closed days of views that are missing, and all prices, to `out` of the event, `s3://bucket/prefix`."""
    _run(view_export.export, "--new", "--out", event["out"], "--json")
    _run(price_export.export, "--out", event["out"], "--json")


def _run(command: click.Command, *arguments: str) -> None:
    command.main(arguments, standalone_mode=False)
