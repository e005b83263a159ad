"""`vitrina dev`: the whole service on one machine, with an engine of its own and demo data."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Final, Literal

import click
from rich.console import Console

from vitrina.api.app import create_app
from vitrina.api.server import serve
from vitrina.cli import demo
from vitrina.cli.dynamodb_local import MissingToolError
from vitrina.cli.engines import ROOT, EngineError, dynamodb_local, embedded
from vitrina.cli.running import Refused
from vitrina.cli.table import prepare
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings

_BCRYPT_COST: Final = 8
"""Signing in should be quick in a demo, whose password everybody knows."""


@click.command()
@click.option("--port", default=8080, show_default=True, help="Port of the API on 127.0.0.1; 0 takes a free one.")
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["embedded", "dynamodb-local"]),
    default="embedded",
    show_default=True,
    help="MiniStack, or AWS's DynamoDB Local (needs Java, and npm the first time).",
)
@click.option("--empty", is_flag=True, help="Only the four accounts, and nothing stays for the next start.")
@click.option("--fresh", is_flag=True, help="Forget what stayed from earlier starts.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".vitrina",
    show_default=".vitrina",
    help="Where the data stay from one start to the next.",
)
def dev(port: int, engine_name: Literal["embedded", "dynamodb-local"], data: Path, *, empty: bool, fresh: bool) -> None:
    """Serve the API with demo data until Ctrl-C; the data stay for the next start."""
    console = Console(stderr=True, highlight=False)
    state = None if empty else data / engine_name
    seeded = state / "seeded" if state else None
    if state and (fresh or (seeded and not seeded.exists())):
        shutil.rmtree(state, ignore_errors=True)
    # A stop while the engine starts or the data are made must end the engine too; once the API runs, it heeds signals.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    engine = embedded(state=state) if engine_name == "embedded" else dynamodb_local(db_path=state)
    try:
        with console.status(f"Starting {engine.name} ..."):
            endpoint = engine.start().wait()
        settings = _settings(endpoint, port)
        asyncio.run(_prepare(settings, console, catalogue=not empty))
        if seeded:
            seeded.touch()
        sys.exit(serve(create_app, settings, on_ready=lambda url: _greet(console, url, endpoint)))
    except (EngineError, MissingToolError) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"cannot listen on port {port}: {error.strerror}") from error
    finally:
        engine.stop()


def _settings(endpoint: str, port: int) -> Settings:
    """Return the demo's settings; those of the environment come first, but for the table's place."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "local")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "local")
    demo_settings = {
        "VITRINA_ENVIRONMENT": "development",
        "VITRINA_SIGNING_KEYS": DEMO_SIGNING_KEYS,
        "VITRINA_SECRET_KEY": DEMO_SECRET_KEY,
        "VITRINA_BCRYPT_COST": str(_BCRYPT_COST),
        "VITRINA_LOG_FORMAT": "console" if sys.stderr.isatty() else "json",
    }
    for name, value in demo_settings.items():
        os.environ.setdefault(name, value)
    return Settings(writer_endpoint=endpoint, reader_endpoint=None, host="127.0.0.1", port=port)


async def _prepare(settings: Settings, console: Console, *, catalogue: bool) -> None:
    """Bring the table up to date, and fill one that is new."""
    is_new = await prepare(settings)
    if is_new:
        await demo.make(settings, catalogue=catalogue, console=console)


def _greet(console: Console, url: str, endpoint: str) -> None:
    """Say where everything is and who may sign in; the last line is for programs that wait for it (api.md)."""
    emails = [demo.SUPER_ADMIN[0], *(email for email, _, _ in demo.ACCOUNTS)]
    console.print(f"API       {url}/v1/products")
    console.print(f"Docs      {url}/docs")
    console.print(f"DynamoDB  {endpoint}")
    console.print(f"Sign in   {', '.join(emails)} with {demo.PASSWORD}")
    print(f"ready {url}", flush=True)
