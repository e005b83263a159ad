"""The command line: one file per group of commands, imported when one of its commands runs."""

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """A group whose `--help` imports none of its commands: each is its place (`module:name`) and its line of help."""

    def __init__(self, name: str, help: str, commands: Mapping[str, "tuple[str, str] | LazyGroup"]) -> None:  # noqa: A002 - click's
        super().__init__(name=name, help=help)
        self._entries = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of declaration."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command, imported if need be, or None when there is none of this name."""
        entry = self._entries.get(cmd_name)
        if not isinstance(entry, tuple):
            return entry
        module, _, name = entry[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        entries = self._entries.items()
        with formatter.section("Commands"):
            formatter.write_dl([(name, it[1] if isinstance(it, tuple) else it.help or "") for name, it in entries])
