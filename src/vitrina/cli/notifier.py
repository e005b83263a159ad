"""`vitrina notifier`: from the queue to inboxes and mail, in the foreground."""

import sys

import click

from vitrina.cli.running import CommandFailed, UsageError, load_settings
from vitrina.mail.message import sender_address
from vitrina.workers.notifier import notifier as work
from vitrina.workers.running import run_worker


@click.command()
def notifier() -> None:
    """Tell admins of changed prices until SIGTERM or Ctrl-C; any number of notifiers share the queue and the mail."""
    settings = load_settings()
    try:
        sender_address(settings.mail_from)
    except ValueError as error:
        raise UsageError(f"VITRINA_MAIL_FROM: {error}") from error
    if settings.mail_transport == "directory" and not settings.mail_directory:
        raise UsageError("VITRINA_MAIL_DIRECTORY: say where the transport `directory` writes")
    try:
        code = run_worker("notifier", work, settings)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {settings.host}:{settings.worker_metrics_port}: {error.strerror}"
        ) from error
    sys.exit(code)
