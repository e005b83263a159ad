"""`vitrina relay`: from the table's stream to the queue, in the foreground."""

import sys

import click

from vitrina.cli.running import CommandFailed, load_settings
from vitrina.workers.relay import relay as work
from vitrina.workers.running import run_worker


@click.command()
def relay() -> None:
    """Send changed prices to the queue until SIGTERM or Ctrl-C; any number of relays share the stream's shards."""
    settings = load_settings()
    try:
        code = run_worker("relay", work, settings)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {settings.host}:{settings.worker_metrics_port}: {error.strerror}"
        ) from error
    sys.exit(code)
