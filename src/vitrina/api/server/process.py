"""One process that serves the API; `server/supervisor.py` runs several on one port.

    sys.exit(serve(create_app, settings, on_ready=print))    # until SIGTERM or Ctrl-C; a second signal ends it at once

It stops in this order: readiness fails, `drain_delay` passes, the port closes, requests in flight finish, and the
application closes its own resources. From the beginning on each response closes its connection.
"""

import asyncio
import gc
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog
from aiohttp import web
from uvloop import new_event_loop

from vitrina import emf, logging, tracing
from vitrina.api.server.connection import Connection
from vitrina.config import Settings
from vitrina.errors import TableUnavailable, Unavailable
from vitrina.shutdown import install_signal_handlers

log = structlog.get_logger(__name__)

CreateApp = Callable[[Settings], web.Application]
OnReady = Callable[[str], object]
Probe = Callable[[], Awaitable[object]]
_BACKLOG: Final = 1024
_PROBE_TIMEOUT: Final = 1.0
"""Seconds; load balancers wait for a few."""
_LINGER: Final = 2.0
"""Seconds for which the rest of a refused body is read, so that its sender gets to see the response."""


class Readiness:
    """Whether load balancers should send requests: while `ready` is true and `probe`, if set, does not raise."""

    def __init__(self) -> None:
        self.ready = True
        self.probe: Probe | None = None

    async def check(self) -> None:
        """Raise Unavailable unless the process is ready."""
        if not self.ready:
            raise Unavailable
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                if self.probe is not None:
                    await self.probe()
        except TimeoutError as error:
            raise TableUnavailable from error


READINESS: Final = web.AppKey("readiness", Readiness)


def serve(create_app: CreateApp, settings: Settings, *, on_ready: OnReady, supervised: bool = False) -> int:
    """Serve in this process until a signal; `on_ready` gets the URL once the port is open.

    Returns the exit code: 0 after a complete stop, 1 when a second signal interrupted it. Raises OSError when it cannot
    listen, and whatever the application raises when it starts. A `supervised` process shares its port, leaves Ctrl-C to
    its parent, and stops when the parent has ended.
    """
    logging.configure(level=settings.log_level, style=settings.log_format)
    with tracing.running("vitrina-api", on=settings.tracing), asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(_serve(create_app, settings, on_ready, supervised=supervised))
        except asyncio.CancelledError:
            return 1
    return 0


@asynccontextmanager
async def listening(app: web.Application, settings: Settings, *, reuse_port: bool = False) -> AsyncIterator[str]:
    """Serve `app` and yield its URL. On exit, close the port, then wait for the requests in flight."""
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, shutdown_timeout=settings.shutdown_timeout)
    await runner.setup()
    try:
        assert runner.server is not None  # noqa: S101 - it is there after `setup`
        protocol = partial(Connection, runner.server, loop=loop, **protocol_options(settings))
        listener = await loop.create_server(
            protocol, settings.host, settings.port, backlog=_BACKLOG, reuse_port=reuse_port
        )
        try:
            yield url_of(settings.host, listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
    finally:
        await runner.cleanup()


def protocol_options(settings: Settings) -> dict[str, Any]:
    """Return aiohttp's options for connections: bodies stay compressed, and the access log is our own."""
    return {
        "access_log": None,
        "auto_decompress": False,
        "keepalive_timeout": settings.keepalive_timeout,
        "lingering_time": _LINGER,
    }


def url_of(host: str, port: int) -> str:
    """Return the URL of an address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _serve(create_app: CreateApp, settings: Settings, on_ready: OnReady, *, supervised: bool) -> None:
    stop = asyncio.Event()
    install_signal_handlers(stop, (signal.SIGTERM,) if supervised else (signal.SIGINT, signal.SIGTERM))
    if supervised:
        _stop_with_parent(stop)
    app = create_app(settings)
    async with emf.printed(settings.metrics_namespace), listening(app, settings, reuse_port=supervised) as url:
        gc.freeze()  # Loaded modules are never freed: exclude them from garbage collections, which pause requests.
        on_ready(url)
        await stop.wait()
        log.info("stopping")
        app[READINESS].ready = False
        Connection.stopping = True
        await asyncio.sleep(settings.drain_delay)
    log.info("stopped")


def _stop_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` when the parent process has ended, however it ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - it is supervised
    loop = asyncio.get_running_loop()

    def parent_ended() -> None:
        loop.remove_reader(parent.sentinel)
        stop.set()

    loop.add_reader(parent.sentinel, parent_ended)
