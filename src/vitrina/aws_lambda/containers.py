"""Keeps an event loop and its clients from one invocation of a Lambda container to the next."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, TypeVar

from vitrina import emf, logging, tracing
from vitrina.config import Settings

T = TypeVar("T")
R = TypeVar("R")


class Container(Generic[T]):
    """Opens a resource at the first invocation and keeps it, so that importing a handler opens nothing."""

    def __init__(self, opens: Callable[[Settings], AbstractAsyncContextManager[T]]) -> None:
        self._opens = opens
        self._runner: asyncio.Runner | None = None
        self._opened: T | None = None
        self._metrics: emf.EmbeddedMetrics | None = None
        self._stack = AsyncExitStack()

    def run(self, work: Callable[[T], Coroutine[Any, Any, R]]) -> R:
        """Run the work of an invocation on the container's event loop."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        if self._opened is None:
            settings = Settings()
            logging.configure(level=settings.log_level, style=settings.log_format)
            self._opened = self._runner.run(self._stack.enter_async_context(self._opens(settings)))
            name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "vitrina")
            self._stack.enter_context(tracing.running(name, on=settings.tracing))
            if settings.metrics_namespace:
                self._metrics = emf.EmbeddedMetrics(settings.metrics_namespace)
        try:
            return self._runner.run(work(self._opened))
        finally:
            tracing.flush()
            if self._metrics is not None and (line := self._metrics.line()):
                print(line.decode(), flush=True)  # noqa: T201 - where CloudWatch looks for it
            logging.flush()  # Lambda freezes the process now, perhaps for ever.

    def close(self) -> None:
        """Close the resource and the loop. Used by tests; Lambda only ends the process."""
        if self._runner is not None:
            self._runner.run(self._stack.aclose())
            self._runner.close()
        self._runner = self._opened = None
