"""The demo's workers are started again when they die; an engine that dies ends the demo."""

import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from scripts.devstack import watch
from scripts.devstack.engines import Engine, EngineError
from scripts.devstack.watch import watched
from vitrina.backoff import Backoff


def running(name: str, code: str = "import time; time.sleep(60)") -> Engine:
    """Start a process that needs not respond."""
    return Engine(name, lambda _: [sys.executable, "-c", code]).start()


def until(holds: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_INTERVAL", 0.01)
    monkeypatch.setattr(watch, "_PAUSE", Backoff(first=0.1, longest=10, jitter=0))


def test_the_pause_before_the_next_start_grows_and_each_death_is_one_line() -> None:
    said: list[str] = []
    worker = running("relay")
    with watched([], [worker], say=said.append):
        for deaths in (1, 2):
            pid = worker.process.pid
            worker.process.kill()
            until(lambda: worker.process.pid != pid)  # noqa: B023 - it is called in this round
            assert len(said) == deaths
    assert [line.partition(";")[0] for line in said] == [
        "relay ended with -9, and starts again in 0.1 s",
        "relay ended with -9, and starts again in 0.2 s",
    ]
    assert worker.process.poll() == -signal.SIGTERM


def test_a_worker_that_ran_for_a_minute_begins_with_the_shortest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_STEADY", 0.0)
    said: list[str] = []
    worker = running("notifier", "raise SystemExit(3)")
    with watched([], [worker], say=said.append):
        until(lambda: len(said) >= 3)
    assert {line.partition(";")[0] for line in said} == {"notifier ended with 3, and starts again in 0.1 s"}


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """The SIGTERMs that this process gets."""
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    yield got
    signal.signal(signal.SIGTERM, before)


def test_an_engine_that_dies_ends_the_demo_with_its_name(signals: list[int]) -> None:
    """This process gets SIGTERM, as from a user."""
    engine, worker = running("Sham", "raise SystemExit(4)"), running("relay")
    with (
        pytest.raises(EngineError, match=r"^Sham ended with 4: start the demo again$"),
        watched([engine], [worker], say=print),
    ):
        until(lambda: signals)
    assert signals == [signal.SIGTERM]
    assert worker.process.poll() is not None
    engine.stop()
