"""Watches the processes of the demo: a worker that dies is started again, and an engine that dies ends the demo."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from scripts.devstack.engines import Engine, EngineError
from vitrina.backoff import Backoff

_PAUSE: Final = Backoff(first=1, longest=30, jitter=0)
_STEADY: Final = 60.0
"""Seconds after which a death no longer lengthens the pause before the next start."""
_INTERVAL: Final = 0.2


@dataclass(slots=True)
class _Worker:
    """A worker, when it was started or is to be started again, and how often it died in a row."""

    process: Engine
    started: float
    deaths: int = 0
    due: float | None = None

    def look(self, say: Callable[[str], None]) -> None:
        """See whether it has died or is due; starts it again, and says what it does."""
        now = time.monotonic()
        if self.due is not None:
            if now >= self.due:
                self.process.stop()  # Deletes its folder.
                self.process.start()
                self.started, self.due = now, None
        elif (code := self.process.process.poll()) is not None:
            self.deaths = 1 if now - self.started > _STEADY else self.deaths + 1
            pause = _PAUSE.pause(self.deaths)
            self.due = now + pause
            say(f"{self.process.name} ended with {code}, and starts again in {pause:g} s; its log: {self.process.log}")


@contextmanager
def watched(engines: Sequence[Engine], workers: Sequence[Engine], *, say: Callable[[str], None]) -> Iterator[None]:
    """Watch running processes for the time of the block, and stop the workers at its end.

    When an engine dies this process gets SIGTERM, and the end of the block raises EngineError. The demo cannot go on:
    the embedded engine has lost what was written since its start.
    """
    lock, stopping, ended = threading.Lock(), threading.Event(), threading.Event()
    states = [_Worker(worker, time.monotonic()) for worker in workers]
    dead: list[Engine] = []

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            with lock:
                if stopping.is_set() or dead:
                    continue
                for worker in states:
                    worker.look(say)
                dead.extend(engine for engine in engines if engine.process.poll() is not None)
                if dead:
                    os.kill(os.getpid(), signal.SIGTERM)

    # The thread lives until the workers have been stopped: the kernel ends those that it started together with it.
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        with lock:
            stopping.set()
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.stop()
        ended.set()
        watcher.join()
    for engine in dead:
        raise EngineError(f"{engine.name} ended with {engine.process.returncode}: start the demo again")
