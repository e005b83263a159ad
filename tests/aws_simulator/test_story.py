"""An installation works on AWS as it is simulated here.

Without stale reads: in the first 300 ms a new product is still 404 to a third of its anonymous readers.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws_simulator.profile import aws
from tests.aws_simulator.proxy import simulate
from tests.aws_simulator.staleness import Staleness
from tests.e2e import test_story as story
from tests.e2e.test_story import installed

__all__ = ["installed"]


@pytest.fixture(scope="module")
def environment(engine: str) -> Iterator[dict[str, str]]:
    """The environment of an installation on AWS, which runs in a thread: the story blocks the tests' event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    simulated = simulate(engine, [each for each in aws() if not isinstance(each, Staleness)])
    urls = asyncio.run_coroutine_threadsafe(simulated.__aenter__(), loop).result(30)
    yield story.variables(urls.dynamodb)
    asyncio.run_coroutine_threadsafe(simulated.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_an_installation_works_from_setup_to_shutdown(installed: dict[str, str], tmp_path: Path) -> None:
    await story.test_an_installation_works_from_setup_to_shutdown(installed, tmp_path, "1")
