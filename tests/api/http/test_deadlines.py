"""Deadlines: one timer cancels all tasks that exceed their time."""

import asyncio

import pytest

from vitrina.api.http.endpoint import Deadlines


async def _work(deadlines: Deadlines, *, allowed: float, takes: float) -> str:
    task = asyncio.current_task()
    assert task is not None
    deadlines.start(task, seconds=allowed)
    try:
        await asyncio.sleep(takes)
    except asyncio.CancelledError:
        return "late" if deadlines.cancelled(task) else "stopped"
    finally:
        deadlines.end(task)
    return "in time"


async def test_only_late_tasks_are_cancelled() -> None:
    """The tasks share one timer."""
    deadlines = Deadlines()
    works = [_work(deadlines, allowed=allowed, takes=0.2) for allowed in (0.01, 10, 0.05, float("inf"))]
    assert await asyncio.gather(*works) == ["late", "in time", "late", "in time"]
    assert await _work(deadlines, allowed=0.01, takes=0.2) == "late"


async def test_a_cancellation_at_a_stop_is_not_a_timeout() -> None:
    """A cancellation for another reason must not become a 503."""
    deadlines = Deadlines()
    task = asyncio.create_task(_work(deadlines, allowed=10, takes=10))
    await asyncio.sleep(0.01)
    task.cancel()
    assert await task == "stopped"


async def test_a_late_task_can_continue_after_the_timeout() -> None:
    """The same task has to write the 503."""
    deadlines = Deadlines()
    task = asyncio.current_task()
    assert task is not None
    deadlines.start(task, seconds=0)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    assert deadlines.end(task) == 0
    assert task.cancelling() == 0
    async with asyncio.timeout(1):
        await asyncio.sleep(0)


async def test_a_paused_deadline_is_extended() -> None:
    """The deadline does not run while a body arrives."""
    deadlines = Deadlines()
    task = asyncio.current_task()
    assert task is not None
    deadlines.start(task, seconds=5)
    assert deadlines.end(task) == pytest.approx(5, abs=0.1)
