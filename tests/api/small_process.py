"""The small application in its own processes: `python -m tests.api.small_process WORKERS SETTINGS_AS_JSON`."""

import os
import sys
from collections.abc import AsyncIterator

import click
import orjson
from aiohttp import web

from tests.api import small
from vitrina.api.server import process as server, supervisor
from vitrina.config import Settings


async def _resources(_app: web.Application) -> AsyncIterator[None]:
    if "SMALL_FAILS" in os.environ:
        raise RuntimeError("cannot start")
    yield
    click.echo("let go")


def create_app(given: Settings) -> web.Application:
    """Return the small application with a resource to close at the end."""
    app = small.create_app(given)
    app.cleanup_ctx.append(_resources)
    return app


def announce(url: str) -> None:
    """Print the URL."""
    click.echo(url)


if __name__ == "__main__":
    workers, options = int(sys.argv[1]), orjson.loads(sys.argv[2])
    if workers == 1:
        sys.exit(server.serve(create_app, small.settings(**options), on_ready=announce))
    sys.exit(supervisor.serve(create_app, small.settings(**options), workers=workers, on_ready=announce))
