"""The command line: one file a group of commands, imported when it is called."""

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """Knows its commands by `module:name` and a line of help, so that `--help` imports none of them."""

    def __init__(self, *, name: str, help: str, commands: Mapping[str, tuple[str, str]]) -> None:  # noqa: A002 - click's
        super().__init__(name=name, help=help)
        self._places = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which they were given."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in self._places.items()])
