"""Runs a worker as a process: logging, signals, event loop, metrics and health.

sys.exit(run_worker("relay", work, settings))   # until SIGTERM or Ctrl-C; a second signal ends it at once
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import make_wsgi_app
from uvloop import new_event_loop

from vitrina import emf, logging, tracing
from vitrina.config import Settings
from vitrina.shutdown import install_signal_handlers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = structlog.get_logger(__name__)

Work = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""A worker: runs until the event is set, finishes its current work and returns."""

_LOOP_TIMEOUT: Final = 5.0
"""Seconds in which a healthy event loop runs a callback."""


def run_worker(name: str, work: Work, settings: Settings) -> int:
    """Run `work` in this process until SIGINT or SIGTERM; returns the exit code.

    The code is 0 if the work ended, and 1 if it failed (the log has the error), took longer than `shutdown_timeout` to
    stop, or was interrupted by a second signal. Raises OSError if `worker_metrics_port` cannot be opened.
    """
    logging.configure(level=settings.log_level, style=settings.log_format)
    with (
        tracing.running(f"vitrina-{name}", on=settings.tracing),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        try:
            return runner.run(_run(name, work, settings))
        except asyncio.CancelledError:
            return 1


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or until `stop` is set."""
    await wait_for_any(stop, seconds=seconds)


async def wait_for_any(*events: asyncio.Event, seconds: float) -> None:
    """Wait until one of the events is set, or for `seconds`."""
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


async def _run(name: str, work: Work, settings: Settings) -> int:
    stop = asyncio.Event()
    install_signal_handlers(stop)
    async with emf.printed(settings.metrics_namespace):
        with _monitored(settings):
            log.info("started", worker=name)
            task = asyncio.ensure_future(work(settings, stop))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    log.info("stopping", worker=name)
                    await asyncio.wait((task,), timeout=settings.shutdown_timeout)
                if not task.done():
                    log.error("shutdown_timed_out", worker=name, seconds=settings.shutdown_timeout)
                    return 1
                await task
            except Exception:
                log.exception("worker_failed", worker=name)
                return 1
            finally:
                stopping.cancel()
                task.cancel()
    log.info("stopped", worker=name)
    return 0


@contextmanager
def _monitored(settings: Settings) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` on a separate thread, if `worker_metrics_port` is set."""
    if not settings.worker_metrics_port:
        yield
        return
    app = _operations(asyncio.get_running_loop())
    with make_server(settings.host, settings.worker_metrics_port, app, handler_class=_Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[float | None] = 5.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: probes come every few seconds."""


def _operations(loop: asyncio.AbstractEventLoop) -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    metrics: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                status, body = (
                    (HTTPStatus.OK, b"ok\n") if _is_running(loop) else (HTTPStatus.SERVICE_UNAVAILABLE, b"stuck\n")
                )
            case _:
                status, body = HTTPStatus.NOT_FOUND, b"not found\n"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return app


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    turned = threading.Event()
    loop.call_soon_threadsafe(turned.set)
    return turned.wait(_LOOP_TIMEOUT)
