"""The command line: one file per group of commands, imported when one of its commands runs."""

import importlib
from collections.abc import Mapping

import click
from click.shell_completion import CompletionItem

from vitrina.errors import ReportsNotInstalled


def example(line: str) -> str:
    """Return the end of a command's help: a command line, which a test runs."""
    return f"\b\nExample:\n  {line}"


class LazyGroup(click.Group):
    """A group whose `--help` imports none of its commands: each is its place (`module:name`) and its line of help."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - click's
        commands: Mapping[str, "tuple[str, str] | LazyGroup"],
        *,
        epilog: str | None = None,
    ) -> None:
        super().__init__(name=name, help=help, epilog=epilog)
        self._entries = commands
        self._help = {name: it[1] if isinstance(it, tuple) else it.help or "" for name, it in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of declaration."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command, imported if need be, or None when there is none of this name.

        Raises ClickException if the command needs an extra that is not installed.
        """
        entry = self._entries.get(cmd_name)
        if not isinstance(entry, tuple):
            return entry
        module, _, name = entry[0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ReportsNotInstalled as error:
            raise click.ClickException(str(error)) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*self._help.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, without importing any."""
        commands = [CompletionItem(name, help=text) for name, text in self._help.items() if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)
