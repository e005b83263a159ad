"""`vitrina api` serves the HTTP API in the foreground; `vitrina openapi` prints its description."""

import os
import sys

import click
import orjson

from vitrina.api.application import ROUTES, all_routes, create_app
from vitrina.api.http.routing import Route
from vitrina.api.openapi.document import document
from vitrina.api.server import process, supervisor
from vitrina.cli import example
from vitrina.cli.running import CommandFailed, load_settings, standard_output
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.errors import VitrinaError


@click.command(epilog=example("vitrina api --workers 2"))
@click.option("--host", help="Address to listen on.  [default: VITRINA_HOST]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 takes a free one.  [default: VITRINA_PORT]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that share the port.")
def api(host: str | None, port: int | None, workers: int) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    The first signal lets requests in flight finish; a second one ends the process at once.
    """
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(with_keys=True).model_copy(update=given)
    try:
        if workers == 1:
            code = process.serve(create_app, settings, on_ready=_announce)
        else:
            code = supervisor.serve(create_app, settings, workers=workers, on_ready=_announce)
    except OSError as error:
        # The texts of asyncio and socket repeat the address.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise CommandFailed(f"cannot listen on {settings.host}:{settings.port}: {why}") from error
    except (VitrinaError, supervisor.WorkerFailed) as error:
        raise CommandFailed(str(error)) from error
    sys.exit(code)


@click.command(epilog=example("vitrina openapi --server https://api.example.com"))
@click.option("--server", default="", help="URL of the service.  [default: the URL that serves the document]")
def openapi(server: str) -> None:
    """Print the OpenAPI document; needs no settings and no table."""
    text = orjson.dumps(document(declared_routes(), server=server), option=orjson.OPT_INDENT_2)
    with standard_output():
        click.echo(text)


def declared_routes() -> tuple[Route, ...]:
    """Return every route of the service; needs no settings and no table."""
    settings = Settings(
        environment="development", region="none", signing_keys=DEMO_SIGNING_KEYS, secret_key=DEMO_SECRET_KEY
    )
    return all_routes(settings, ROUTES)


def _announce(url: str) -> None:
    click.echo(f"ready {url}")
