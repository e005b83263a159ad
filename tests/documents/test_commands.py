"""The commands that the documents name exist, with the options that they name."""

import importlib.util
import os
import re

import click
import pytest

from scripts.benchmarks.__main__ import main as bench
from tests.documents.pages import CONTRIBUTING, README, ROOT, RUNBOOK, SECURITY, code_spans, text
from vitrina.__main__ import main

PAGES = (README, "table_design.md", CONTRIBUTING, SECURITY, RUNBOOK)


def commands(words: list[str]) -> list[click.Command]:
    """Return the commands that a span such as `queue dlq list|purge --yes` names; fails if one does not exist."""
    found: list[click.Command] = [main]
    for word in words:
        group = found[0]
        if not isinstance(group, click.Group) or word.startswith(("-", "[")):
            break
        names = word.replace("\\|", "|").split("|")
        made = [(name, group.get_command(click.Context(group), name)) for name in names]
        assert all(command for _, command in made), f"there is no command {word} in {group.name}"
        found = [command for _, command in made if command]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_vitrina_exists(page: str) -> None:
    for span in code_spans(page):
        if not span.startswith("vitrina "):
            continue
        found = commands(span.split()[1:])
        for option in re.findall(r"--[a-z][a-z-]*", span):
            options = {name for command in found for parameter in command.params for name in parameter.opts}
            assert option in options, span


@pytest.mark.parametrize("page", PAGES)
def test_every_script_and_module_that_is_run_exists(page: str) -> None:
    for script in re.findall(r"(?<![/\w])scripts/[a-z_-]+(?![\w./<-])", text(page)):
        assert (ROOT / script).is_dir() or os.access(ROOT / script, os.X_OK), script
    for module in re.findall(r"python -m ([a-z_.]+)", text(page)):
        assert importlib.util.find_spec(module), module


def test_the_benchmarks_that_documents_name_exist() -> None:
    """Each row of the table of figures has the command that prints it."""
    figures = re.search(r"^\| what \| measured \| command \|\n\|[-|]+\|\n((?:\|.+\n)+)", text(README), re.MULTILINE)
    assert figures is not None
    for row in figures[1].splitlines():
        command = re.fullmatch(r"\|.+\|.+\| `scripts/bench ([a-z]+)` \|", row)
        assert command, row
        assert command[1] in bench.commands
    everything = re.search(r"`scripts/bench ([a-z|]+)` measures", text(CONTRIBUTING))
    assert everything is not None
    assert set(everything[1].split("|")) == bench.commands.keys()
    for page in PAGES:
        assert set(re.findall(r"`scripts/bench ([a-z]+)`", text(page))) <= bench.commands.keys(), page
