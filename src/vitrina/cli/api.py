"""`vitrina api`: the HTTP API in the foreground."""

import os
import sys

import click

from vitrina.api.application import create_app
from vitrina.api.server import process as server, supervisor
from vitrina.cli.running import CommandFailed, load_settings
from vitrina.errors import VitrinaError


@click.command()
@click.option("--host", help="Address to listen on.  [default: VITRINA_HOST]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 takes a free one.  [default: VITRINA_PORT]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that share the port.")
def api(host: str | None, port: int | None, workers: int) -> None:
    """Serve the API until SIGTERM or Ctrl-C, which let requests in flight finish; a second one does not."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(with_keys=True).model_copy(update=given)
    try:
        if workers == 1:
            code = server.serve(create_app, settings, on_ready=_announce)
        else:
            code = supervisor.serve(create_app, settings, workers=workers, on_ready=_announce)
    except OSError as error:
        # What asyncio and socket say themselves repeats the address.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise CommandFailed(f"cannot listen on {settings.host}:{settings.port}: {why}") from error
    except (VitrinaError, supervisor.WorkerFailed) as error:
        raise CommandFailed(str(error)) from error
    sys.exit(code)


def _announce(url: str) -> None:
    click.echo(f"ready {url}")
