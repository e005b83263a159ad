"""`vitrina relay` and `vitrina notifier`: the workers, in the foreground."""

import sys

import click

from vitrina.cli import example
from vitrina.cli.running import CommandFailed, UsageError, load_settings
from vitrina.config import Settings
from vitrina.mail.message import sender_address
from vitrina.workers.notifier import notifier as notifier_work
from vitrina.workers.relay import relay as relay_work
from vitrina.workers.running import Work, run_worker


@click.command(epilog=example("vitrina relay"))
def relay() -> None:
    """Copy price changes from the table's stream to the queue until SIGTERM or Ctrl-C.

    Any number of relays can run at once: they share the stream's shards.
    """
    _run("relay", relay_work, load_settings())


@click.command(epilog=example("vitrina notifier"))
def notifier() -> None:
    """Notify admins of price changes, by inbox and by mail, until SIGTERM or Ctrl-C.

    Any number of notifiers can run at once: they share the queue and the mails.
    """
    settings = load_settings()
    try:
        sender_address(settings.mail_from)
    except ValueError as error:
        raise UsageError(f"VITRINA_MAIL_FROM: {error}") from error
    if settings.mail_transport == "directory" and not settings.mail_directory:
        raise UsageError("VITRINA_MAIL_DIRECTORY: the mail transport `directory` needs a folder to write to")
    _run("notifier", notifier_work, settings)


def _run(name: str, work: Work, settings: Settings) -> None:
    try:
        code = run_worker(name, work, settings)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {settings.host}:{settings.worker_metrics_port}: {error.strerror}"
        ) from error
    sys.exit(code)
