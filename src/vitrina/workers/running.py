"""A worker as a process: its logs, its signals, its loop and what operations ask of it.

sys.exit(run_worker("relay", work, settings))   # until SIGTERM or Ctrl-C; a second one ends at once
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import make_wsgi_app
from uvloop import new_event_loop

from vitrina import logging
from vitrina.config import Settings
from vitrina.shutdown import install_signal_handlers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = structlog.get_logger(__name__)

Work = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""What a worker does until the event is set; then it finishes what it has at hand and returns."""

_LOOP_PATIENCE: Final = 5.0
"""Seconds in which a loop that turns answers."""


def run_worker(name: str, work: Work, settings: Settings) -> int:
    """Do `work` in this process until it is told to stop; returns the exit code.

    It is 0 when the work came to its end, and 1 when it failed (the log says how), when it took longer than
    `shutdown_timeout` after it was told to stop, or when a second signal cut it short. Raises OSError when
    `worker_metrics_port` cannot be listened on.
    """
    logging.configure(level=settings.log_level, style=settings.log_format)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(_run(name, work, settings))
        except asyncio.CancelledError:
            return 1


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or less if the worker is told to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _run(name: str, work: Work, settings: Settings) -> int:
    stop = asyncio.Event()
    install_signal_handlers(stop)
    with _watched(settings):
        log.info("started", worker=name)
        task = asyncio.ensure_future(work(settings, stop))
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                log.info("stopping", worker=name)
                await asyncio.wait((task,), timeout=settings.shutdown_timeout)
            if not task.done():
                log.error("stop_took_too_long", worker=name, seconds=settings.shutdown_timeout)
                return 1
            await task
        except Exception:
            log.exception("worker_failed", worker=name)
            return 1
        finally:
            told.cancel()
            task.cancel()
    log.info("stopped", worker=name)
    return 0


@contextmanager
def _watched(settings: Settings) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` on a thread of its own, if a port is set for them."""
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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Log nothing: probes come every few seconds."""


def _operations(loop: asyncio.AbstractEventLoop) -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    metrics: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                status, body = (
                    (HTTPStatus.OK, b"ok\n") if _locks(loop) else (HTTPStatus.SERVICE_UNAVAILABLE, b"stuck\n")
                )
            case _:
                status, body = HTTPStatus.NOT_FOUND, b"not found\n"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return app


def _locks(loop: asyncio.AbstractEventLoop) -> bool:
    turned = threading.Event()
    loop.call_soon_threadsafe(turned.set)
    return turned.wait(_LOOP_PATIENCE)
